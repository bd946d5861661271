"""Files to upload: small, real ones of every kind."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np

from slam3r_ros.app.limits import UploadLimits
from slam3r_ros.app.upload_folder import UploadFolder
from slam3r_ros.io.sources.example import EXAMPLE


def png(width: int = 8, height: int = 6, grey: int = 90) -> bytes:
    """Return a PNG of one colour."""
    return bytes(cv2.imencode(".png", np.full((height, width, 3), grey, np.uint8))[1])


def video(path: Path, frames: int = 5, size: tuple[int, int] = (64, 48), rate_hz: float = 10.0) -> bytes:
    """Write a video of random frames, (width, height) large; return what is in the file."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), rate_hz, size)
    generator = np.random.default_rng(0)
    for _ in range(frames):
        writer.write(generator.integers(0, 255, (size[1], size[0], 3), np.uint8))
    writer.release()
    return path.read_bytes()


def example_images(folder: Path, numbers: tuple[int, ...]) -> list[Path]:
    """Write images of the example clip as PNG."""
    capture = cv2.VideoCapture(str(EXAMPLE / "rgb.mp4"))
    paths = []
    for number in range(max(numbers) + 1):
        image = capture.read()[1]
        if number in numbers:
            paths.append(folder / f"{number:04}.png")
            cv2.imwrite(str(paths[-1]), image)
    capture.release()
    return paths


def archive(path: Path, members: Mapping[str, bytes]) -> bytes:
    """Write a ZIP archive; return what is in the file."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return path.read_bytes()


def uploaded(folder: Path, files: Mapping[str, bytes], limits: UploadLimits | None = None) -> UploadFolder:
    """Return a folder with these files uploaded, by their names."""
    uploads = UploadFolder(folder / "uploads", limits or UploadLimits())
    for name, content in files.items():
        with uploads.receive(name, len(content)) as file:
            file.write(content)
            file.complete()
    return uploads
