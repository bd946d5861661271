"""Images, depths, confidences, points, pixels and poses as bytes, and back. All numbers are little-endian."""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from slam3r_ros.geometry.camera import Camera
from slam3r_ros.geometry.se3 import Array
from slam3r_ros.geometry.sim3 import Sim3
from slam3r_ros.loop_closure.place import Place
from slam3r_ros.types import ImageHeader, MapPoints
from slam3r_ros.vision.feature_image import Features


@dataclass(frozen=True, slots=True)
class CodecTuning:
    """How much of a keyframe's exactness is given for a small file."""

    image_bytes: int = 36_000
    """Bytes of a JPEG above which a lower quality is tried."""
    jpeg_qualities: tuple[int, ...] = (90, 80, 70, 60, 50, 40)
    """Qualities of JPEG, the best first."""
    depth_bytes: int = 30_000
    """Bytes of a depth image above which a coarser step is tried."""
    depth_steps: tuple[float, ...] = (0.0005, 0.001, 0.002, 0.004, 0.008)
    """Ratios of neighbouring depth values less 1, the finest first. The error is half of it."""
    points_grid: int = 1 << 14
    """Cells along the longest side of a box of points; a point is rounded to one."""


Image = NDArray[np.uint8] | NDArray[np.uint16]
"""An image of one or three channels as OpenCV encodes it."""
TUNING = CodecTuning()
"""The values in use."""
TRAJECTORY = np.dtype([("frame", "<i8"), ("stamp_ns", "<i8"), ("pose", "<f8", (3, 4))])
"""A record of the trajectory: number of the frame, stamp, and the upper three rows of T_world_camera."""
_CONFIDENCE_STEPS = 10
"""Steps of the 8-bit confidence in which 1 + confidence grows by the factor e."""


class CodecError(ValueError):
    """Bytes that are not what they should be."""


def encode_image(image: NDArray[np.uint8]) -> bytes:
    """A JPEG of an (H, W, 3) RGB image, of the best quality that keeps it small."""
    reversed_channels = np.ascontiguousarray(image[..., ::-1])
    return _smallest_of(
        TUNING.jpeg_qualities,
        lambda quality: _encoded(".jpg", reversed_channels, [cv2.IMWRITE_JPEG_QUALITY, quality]),
        TUNING.image_bytes,
    )[0]


def decode_image(data: bytes) -> NDArray[np.uint8]:
    """The (H, W, 3) RGB image of a JPEG; raises CodecError."""
    return np.ascontiguousarray(_decoded(data, cv2.IMREAD_COLOR)[..., ::-1], np.uint8)


def encode_depth(depth: NDArray[np.float32]) -> tuple[bytes, float, float]:
    """An (H, W) depth image, NaN where unknown, as a PNG of 16 bits, the depth of its value 1, and its step.

    The step is logarithmic, so that near and far depths have the same relative error.
    """
    known = np.isfinite(depth) & (depth > 0)
    nearest = float(depth[known].min()) if known.any() else 1.0
    logarithms = np.log(np.where(known, depth, nearest).astype(np.float64) / nearest)

    def encoded(step: float) -> bytes:
        values = np.minimum(1 + np.round(logarithms / step), np.iinfo(np.uint16).max)
        return _encoded(".png", np.where(known, values, 0).astype(np.uint16), [])

    data, step = _smallest_of(TUNING.depth_steps, encoded, TUNING.depth_bytes)
    return data, nearest, step


def decode_depth(data: bytes, scale: float, step: float) -> NDArray[np.float32]:
    """The (H, W) depth image that `encode_depth` has made bytes of, NaN where unknown; raises CodecError."""
    values = _decoded(data, cv2.IMREAD_UNCHANGED)
    if values.dtype != np.uint16 or values.ndim != 2:
        raise CodecError(f"expected a PNG of 16 bits and one channel, got {values.dtype} {values.shape}")
    depths = scale * np.exp(step * (values.astype(np.float64) - 1))
    return np.where(values > 0, depths, np.nan).astype(np.float32)


def encode_confidence(confidence: NDArray[np.float32]) -> bytes:
    """(H, W) confidences as a PNG of 8 bits; 1 + confidence is exact to 5 %."""
    return _encoded(".png", _confidence_values(confidence), [])


def decode_confidence(data: bytes) -> NDArray[np.float32]:
    """(H, W) confidences of a PNG of 8 bits; raises CodecError."""
    values = _decoded(data, cv2.IMREAD_UNCHANGED)
    if values.dtype != np.uint8 or values.ndim != 2:
        raise CodecError(f"expected a PNG of 8 bits and one channel, got {values.dtype} {values.shape}")
    return _confidences(values.astype(np.uint8))


def encode_points(points: MapPoints) -> bytes:
    """Points with colours and confidences, rounded to a grid in their box.

    The box's corner (3 float64) and the grid's step (float64), then by zlib: differences from each point to the next
    of the three grid coordinates (high bytes, low bytes), of the colours, and the confidences.
    """
    corner = points.points_world.min(axis=0).astype(np.float64)
    longest = float((points.points_world.max(axis=0) - corner).max())
    step = max(longest / TUNING.points_grid, 1e-12)
    cells = np.round((points.points_world - corner) / step).astype(np.int32)
    differences = np.diff(cells, axis=0, prepend=0).T
    folded = ((differences << 1) ^ (differences >> 31)).astype(np.uint16)  # small numbers for both signs
    colours = np.diff(points.colours.astype(np.int16), axis=0, prepend=0).astype(np.uint8).T
    parts = [(folded >> 8).astype(np.uint8), folded.astype(np.uint8), colours, _confidence_values(points.confidence)]
    head = np.array([*corner, step], "<f8").tobytes()
    return head + zlib.compress(b"".join(np.ascontiguousarray(part).tobytes() for part in parts))


def decode_points(data: bytes, count: int) -> MapPoints:
    """The ``count`` points that `encode_points` has made bytes of, any number where it is -1; raises CodecError."""
    try:
        corner_and_step = np.frombuffer(data[:32], "<f8")
        values = np.frombuffer(zlib.decompress(data[32:]), np.uint8).reshape(10, count)
    except (ValueError, zlib.error) as error:
        raise CodecError(f"points that cannot be read: {error}") from error
    folded = values[:3].astype(np.int32) << 8 | values[3:6]
    cells = np.cumsum((folded >> 1) ^ -(folded & 1), axis=1).T
    positions = (corner_and_step[:3] + corner_and_step[3] * cells).astype(np.float32)
    colours = np.cumsum(values[6:9], axis=1, dtype=np.uint8).T
    return MapPoints(positions, np.ascontiguousarray(colours), _confidences(values[9]))


def encode_pixels(pixels: NDArray[np.bool_]) -> bytes:
    """(H, W) chosen pixels, one bit each, by zlib."""
    return zlib.compress(np.packbits(pixels).tobytes(), 9)


def decode_pixels(data: bytes, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """The pixels (H, W) that `encode_pixels` has made bytes of; raises CodecError."""
    try:
        bits = np.frombuffer(zlib.decompress(data), np.uint8)
    except zlib.error as error:
        raise CodecError(f"pixels that cannot be read: {error}") from error
    count = shape[0] * shape[1]
    if len(bits) != -(-count // 8):
        raise CodecError(f"expected the bits of {shape[1]} x {shape[0]} pixels, got {len(bits)} bytes")
    return np.unpackbits(bits, count=count).reshape(shape).astype(np.bool_)


def encode_pose(T_world_camera: Array) -> bytes:
    """The upper three rows of a (4, 4) pose, 12 float64."""
    return np.asarray(T_world_camera[:3], "<f8").tobytes()


def decode_pose(data: bytes) -> Array:
    """The (4, 4) pose of 12 float64; raises CodecError."""
    if len(data) != 96:
        raise CodecError(f"expected a pose of 96 bytes, got {len(data)}")
    return np.vstack([np.frombuffer(data, "<f8").reshape(3, 4), [0, 0, 0, 1]])


def encode_similarity(similarity: Sim3) -> bytes:
    """One similarity: scale, rotation by rows, translation; 13 float64."""
    parts = [similarity.scale.ravel(), similarity.rotation.ravel(), similarity.translation.ravel()]
    return np.concatenate(parts).astype("<f8").tobytes()


def decode_similarities(rows: list[bytes]) -> Sim3:
    """(N,) similarities of rows of 13 float64; raises CodecError."""
    if any(len(row) != 104 for row in rows):
        raise CodecError("expected similarities of 104 bytes")
    values = np.frombuffer(b"".join(rows), "<f8").reshape(-1, 13)
    return Sim3(values[:, 0], values[:, 1:10].reshape(-1, 3, 3), values[:, 10:])


def encode_place(place: Place) -> bytes:
    """What a place is recognised by, all but its number, as arrays of NumPy (npz)."""
    values: dict[str, Any] = {"pixels": place.features.pixels, "descriptors": place.features.descriptors}
    values |= {each.name: getattr(place, each.name) for each in fields(Place) if each.name not in ("index", "features")}
    file = io.BytesIO()
    np.savez_compressed(file, **values)
    return file.getvalue()


def decode_place(data: bytes, index: int) -> Place:
    """The place with this number; raises CodecError."""
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            values = {name: file[name] if file[name].ndim else file[name].item() for name in file.files}
        features = Features(values.pop("pixels"), values.pop("descriptors"))
        return Place(index=index, features=features, **values)
    except (ValueError, KeyError, TypeError, OSError, zipfile.BadZipFile, zlib.error) as error:
        raise CodecError(f"not a place: {error}") from error


def encode_camera(camera: Camera) -> str:
    """A camera as JSON."""
    return json.dumps(asdict(camera))


def decode_camera(text: str) -> Camera:
    """The camera of a JSON text; raises CodecError."""
    try:
        values = json.loads(text)
        return Camera(**{**values, "distortion": tuple(values["distortion"])})
    except (ValueError, TypeError, KeyError) as error:
        raise CodecError(f"not a camera: {error}") from error


def encode_header(header: ImageHeader) -> str:
    """The header of an image as JSON, without its stamp."""
    camera = None if header.camera is None else asdict(header.camera)
    return json.dumps({"size": header.size, "camera": camera, "frame_id": header.frame_id, "number": header.number})


def decode_header(text: str, stamp_ns: int) -> ImageHeader:
    """The header of a JSON text; raises CodecError."""
    try:
        values = json.loads(text)
        camera = None if values["camera"] is None else decode_camera(json.dumps(values["camera"]))
        height, width = values["size"]
        return ImageHeader(stamp_ns, (height, width), camera, values["frame_id"], values["number"])
    except (ValueError, TypeError, KeyError) as error:
        raise CodecError(f"not the header of an image: {error}") from error


def _confidence_values(confidence: NDArray[np.float32]) -> NDArray[np.uint8]:
    known = np.where(np.isfinite(confidence) & (confidence > 0), confidence, 0)
    return np.minimum(np.round(_CONFIDENCE_STEPS * np.log1p(known)), np.iinfo(np.uint8).max).astype(np.uint8)


def _confidences(values: NDArray[np.uint8]) -> NDArray[np.float32]:
    return np.expm1(values.astype(np.float32) / _CONFIDENCE_STEPS)


def _smallest_of(levels: tuple[float, ...], encode: Callable[..., bytes], limit: int) -> tuple[bytes, float]:
    """The bytes of the first level that keeps within the limit, or of the last, and the level."""
    for level in levels:
        data = encode(level)
        if len(data) <= limit:
            break
    return data, level


def _encoded(suffix: str, image: Image, options: list[int]) -> bytes:
    """The image as a file of this suffix."""
    return bytes(cv2.imencode(suffix, image, options)[1].tobytes())


def _decoded(data: bytes, flags: int) -> Image:
    """The image of a file; raises CodecError."""
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        raise CodecError(f"not an image: {error.err}") from error
    if image is None:
        raise CodecError("not an image")
    return np.asarray(image, np.uint16) if image.dtype == np.uint16 else np.asarray(image, np.uint8)
