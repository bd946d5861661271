"""`slam3r_lab render`: a video of a procedural world, with depth, poses and intrinsics."""

from __future__ import annotations

import argparse
import importlib.util
import sys
import time
from pathlib import Path

from slam3r_lab.training.seeds import FIRST_DEMO_SEED
from slam3r_lab.worlds.family import FAMILIES, FamilyError, family_of
from slam3r_lab.worlds.paths.choose import PathSettings
from slam3r_lab.worlds.paths.curves import NoFreePathError
from slam3r_lab.worlds.sequence_files import VIDEO_NAME, render_sequence, write_sequence, write_video
from slam3r_ros.io.arguments import positive
from slam3r_ros.networks.errors import WeightsError
from slam3r_ros.networks.weights import choose_device


def image_size(text: str) -> tuple[int, int]:
    """(width, height) of `WIDTHxHEIGHT`; raises argparse.ArgumentTypeError."""
    width, _, height = text.lower().partition("x")
    if not (width.isdigit() and height.isdigit() and int(width) >= 16 and int(height) >= 16):
        raise argparse.ArgumentTypeError(f"expected WIDTHxHEIGHT with both at least 16, such as 640x480, got '{text}'")
    return int(width), int(height)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line of ``slam3r_lab render``."""
    parser.add_argument(
        "--seed",
        type=int,
        default=FIRST_DEMO_SEED,
        help=f"world and camera path; {FIRST_DEMO_SEED} and up were never trained on (default: %(default)s)",
    )
    parser.add_argument("--frames", type=int, default=300, help="number of images (default: %(default)s)")
    parser.add_argument("--size", type=image_size, default=(640, 480), help="WIDTHxHEIGHT, pixels (default: 640x480)")
    parser.add_argument("--rate", type=positive, default=30.0, help="images a second (default: %(default)s)")
    parser.add_argument(
        "--family", default="narrow", help=f"family of worlds: {', '.join(FAMILIES)} (default: %(default)s)"
    )
    parser.add_argument("--device", default="cpu", help="cpu or cuda (default: %(default)s)")
    parser.add_argument(
        "--video",
        action="store_true",
        help=f"write the images as one H.264 video, {VIDEO_NAME}, and no depth (needs the package av)",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder to write")


def main(arguments: argparse.Namespace) -> int:
    """Render the video; returns the exit status."""
    wrong = _what_is_wrong(arguments)
    if wrong is not None:
        print(f"render: {wrong}", file=sys.stderr)
        return 2
    started = time.monotonic()
    try:
        family, device = family_of(arguments.family), str(choose_device(arguments.device))
        settings = PathSettings(arguments.frames, arguments.rate)
        frames = render_sequence(arguments.seed, settings, arguments.size, family, device=device)
        write = write_video if arguments.video else write_sequence
        count = write(frames, arguments.rate, arguments.out)
    except (FamilyError, WeightsError) as error:
        print(f"render: {error}", file=sys.stderr)
        return 2
    except NoFreePathError as error:
        print(f"render: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"render: cannot write {arguments.out}: {error.strerror or error}", file=sys.stderr)
        return 1
    seconds = time.monotonic() - started
    print(f"{count} frames in {arguments.out}, {seconds:.1f} s, {count / seconds:.1f} frames/s")
    return 0


def _what_is_wrong(arguments: argparse.Namespace) -> str | None:
    """Why nothing can be rendered, as a sentence; None if nothing is wrong."""
    if arguments.frames < 1:
        return f"--frames must be at least 1, got {arguments.frames}"
    if arguments.seed < 0:
        return f"--seed must be 0 or more, got {arguments.seed}"
    if arguments.video and importlib.util.find_spec("av") is None:
        return "--video needs the package av: pip install './slam3r_lab[video]' in the source tree"
    if _holds_video(arguments.out):
        return (
            f"{arguments.out} already holds a video, which would be mixed with this one: choose another --out "
            f"or remove its rgb/, depth/ or {VIDEO_NAME}"
        )
    return None


def _holds_video(folder: Path) -> bool:
    parts = [folder / "rgb", folder / "depth"]
    return (folder / VIDEO_NAME).exists() or any(part.is_dir() and any(part.iterdir()) for part in parts)
