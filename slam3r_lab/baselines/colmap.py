"""COLMAP (Schoenberger and Frahm 2016) through `pycolmap`: the offline classical reference, poses and sparse points."""

from __future__ import annotations

import importlib.util
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from slam3r_lab.baselines.result import BaselineError, BaselineResult
from slam3r_lab.sequences.sequence import ImageSequence, SequenceError
from slam3r_ros.geometry.se3 import invert_rigid, rigid
from slam3r_ros.types import MapPoints, StampedPose

MOST_IMAGES = 120
"""Longer sequences are thinned out evenly to about this many images."""
MOST_SECONDS = 600
"""After which mapping stops with what it has."""
MOST_FEATURES = 2048
NEIGHBOURS = 8
"""Images matched with each, and 2, 4, 8 ... further away."""
SEED = 0


def colmap(sequence: ImageSequence) -> BaselineResult:
    """Structure from motion of the images: SIFT on the CPU, sequential matching, incremental mapping.

    Intrinsics are used where they are known and estimated with one radial coefficient otherwise. The trajectory has the
    registered ones of the images used. Raises BaselineError where `pycolmap` is not installed.
    """
    if importlib.util.find_spec("pycolmap") is None:
        raise BaselineError("baseline 'colmap' needs the package pycolmap: pip install '.[colmap]' in the source tree")
    import pycolmap

    problems: list[str] = []
    step = -(-len(sequence) // MOST_IMAGES)
    if step > 1:
        problems.append(f"COLMAP was given every {step}. image")
    with tempfile.TemporaryDirectory(prefix="slam3r_colmap_") as folder:
        stamps = _write_images(sequence.every(max(1, step)), Path(folder) / "images", problems)
        started = time.perf_counter()
        model = _reconstruct(pycolmap, Path(folder), sequence, problems) if len(stamps) > 1 else None
        seconds = time.perf_counter() - started
    if model is None:
        return BaselineResult([], None, seconds, [*problems, "COLMAP found no pair of images to begin with"])
    trajectory = sorted(
        (_stamped_pose(image, stamps) for image in model.images.values() if image.has_pose),
        key=lambda pose: pose.stamp_ns,
    )
    if len(trajectory) < len(stamps):
        problems.append(f"COLMAP registered {len(trajectory)} of {len(stamps)} images")
    return BaselineResult(trajectory, _points(model), seconds, problems)


def _write_images(sequence: ImageSequence, folder: Path, problems: list[str]) -> dict[str, int]:
    """The images without distortion as files; their stamps by name."""
    folder.mkdir()
    stamps = {}
    for frame in sequence.frames:
        try:
            image = sequence.image(frame)
        except SequenceError as error:
            problems.append(str(error))
            continue
        name = f"{frame.index:06d}.png"
        Image.fromarray(image).save(folder / name, compress_level=1)
        stamps[name] = frame.stamp_ns
    return stamps


def _reconstruct(pycolmap: Any, folder: Path, sequence: ImageSequence, problems: list[str]) -> Any | None:
    """The largest model; None where there is none."""
    pycolmap.logging.minloglevel = int(pycolmap.logging.Level.FATAL)
    pycolmap.set_random_seed(SEED)
    database, images, models = folder / "database.db", folder / "images", folder / "models"
    models.mkdir()
    reader, extraction = pycolmap.ImageReaderOptions(), pycolmap.FeatureExtractionOptions()
    extraction.sift.max_num_features = MOST_FEATURES
    camera = sequence.camera
    reader.camera_model = "SIMPLE_RADIAL" if camera is None else "PINHOLE"
    if camera is not None:  # COLMAP counts from the corner of the first pixel
        reader.camera_params = f"{camera.fx},{camera.fy},{camera.cx + 0.5},{camera.cy + 0.5}"
    one_camera, cpu = pycolmap.CameraMode.SINGLE, pycolmap.Device.cpu
    pycolmap.extract_features(
        database, images, camera_mode=one_camera, reader_options=reader, extraction_options=extraction, device=cpu
    )
    pairing = pycolmap.SequentialPairingOptions()
    pairing.overlap = NEIGHBOURS
    pycolmap.match_sequential(database, pairing_options=pairing, device=cpu)
    mapping = pycolmap.IncrementalPipelineOptions()
    mapping.random_seed, mapping.max_runtime_seconds = SEED, MOST_SECONDS
    mapping.ba_refine_focal_length = mapping.ba_refine_extra_params = camera is None
    found = pycolmap.incremental_mapping(database, images, models, options=mapping)
    if len(found) > 1:
        problems.append(f"COLMAP made {len(found)} unconnected models; the largest is used")
    return max(found.values(), key=lambda model: model.num_reg_images(), default=None)


def _stamped_pose(image: Any, stamps: dict[str, int]) -> StampedPose:
    T_camera_world = image.cam_from_world()
    pose = invert_rigid(rigid(T_camera_world.rotation.matrix(), T_camera_world.translation))
    return StampedPose(stamps[image.name], pose)


def _points(model: Any) -> MapPoints:
    """The sparse points; confidence is the number of images that see each."""
    points = list(model.points3D.values())
    return MapPoints(
        np.array([point.xyz for point in points], np.float32).reshape(-1, 3),
        np.array([point.color for point in points], np.uint8).reshape(-1, 3),
        np.array([point.track.length() for point in points], np.float32),
    )
