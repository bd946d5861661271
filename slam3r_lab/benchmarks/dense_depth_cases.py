"""Keyframes with their partners and true depths, by true poses or by those of the engine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from slam3r_lab.sequences.sequence import ImageSequence, SequenceFrame
from slam3r_ros.dense_depth.partners import choose_partners
from slam3r_ros.dense_depth.posed_view import DepthMap, PosedView
from slam3r_ros.engine.keyframe_view import KeyframeView
from slam3r_ros.engine.slam import Slam
from slam3r_ros.geometry.se3 import Array, invert_rigid, rigid, transform_points
from slam3r_ros.geometry.umeyama import umeyama
from slam3r_ros.networks.interfaces import NetworkPair
from slam3r_ros.settings import SlamSettings
from slam3r_ros.types import Frame, MapPoints, MapUpdate
from slam3r_ros.vision.tuning import TUNING as VISION_TUNING

WIDTH = 320
"""Pixels of the images that depth is computed for."""
KEYFRAME_MOTION = 0.04
"""Median motion in the image since the last keyframe, as a share of the width, that makes the next one, as in the
engine."""
REACH = 12
"""Keyframes before and after a keyframe that may be its partners."""
GUESS_DEPTHS = 300
"""Number of true depths of the centre square that are the guess with true poses, as landmarks would give them."""

Depth = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Keyframe:
    """One keyframe."""

    view: PosedView
    colours: NDArray[np.uint8]
    """(H, W, 3) RGB."""
    true_depth: Depth
    """(H, W) metres, NaN where it is not known."""
    guess: Depth
    """(H, W) metres: what is known before; the engine's depths of the centre square, or some true ones."""
    T_true: Array
    """(4, 4) true T_world_camera, metres."""


@dataclass(frozen=True, slots=True, eq=False)
class Recording:
    """The keyframes of a sequence, in the metres of the truth."""

    name: str
    keyframes: list[Keyframe]
    map_points: MapPoints | None
    """The engine's map; None with true poses."""
    engine_depths: dict[int, DepthMap] = field(default_factory=dict)
    """The dense depth images of the engine's views, by the position of their keyframe."""

    def partners(self, number: int) -> list[int]:
        """Positions of a keyframe's partners."""
        near = [
            other
            for other in range(max(number - REACH, 0), min(number + REACH + 1, len(self.keyframes)))
            if other != number
        ]
        keyframe = self.keyframes[number]
        chosen = choose_partners(keyframe.view, [self.keyframes[other].view for other in near], keyframe.guess)
        return [near[position] for position in chosen]


def by_true_poses(sequence: ImageSequence, most: int) -> Recording:
    """At most so many keyframes, chosen by their true motion in the image."""
    keyframes: list[Keyframe] = []
    for frame in sequence.frames:
        assert frame.T_world_camera is not None
        if len(keyframes) == most:
            break
        keyframe = _keyframe(sequence, frame, frame.T_world_camera)
        if not np.isfinite(keyframe.true_depth).any():
            continue
        if not keyframes or _motion(keyframes[-1], keyframe) >= KEYFRAME_MOTION:
            keyframes.append(keyframe)
    return Recording(sequence.name, keyframes, None)


def by_engine(sequence: ImageSequence, networks: NetworkPair, settings: SlamSettings, most: int) -> Recording:
    """At most so many keyframes that the engine makes of the sequence, at its final poses, moved to the truth as a
    whole (Umeyama 1991)."""
    slam = Slam(networks, settings)
    updates = []
    for frame in sequence.frames:
        image = sequence.image(frame)
        updates += slam.push(Frame(frame.stamp_ns, image, sequence.camera_of(image)))
    updates += slam.flush()
    poses = {pose.stamp_ns: pose.T_world_camera for pose in slam.trajectory()}
    frames = {frame.stamp_ns: frame for frame in sequence.frames}
    places = np.array([T[:3, 3] for T in poses.values()])
    true = np.array([_pose(frames[stamp])[:3, 3] for stamp in poses])
    to_truth = umeyama(places, true)
    if to_truth is None:
        raise ValueError(f"{sequence.name}: the engine's poses do not fit the true ones")
    keyframes: list[Keyframe] = []
    views = {
        view.header.stamp_ns: view for view in updates if isinstance(view, KeyframeView) and view.added is not None
    }
    engine_depths: dict[int, DepthMap] = {}
    for update in updates:
        if not isinstance(update, MapUpdate) or update.pose is None or not update.is_tracked:
            continue
        stamp_ns = update.header.stamp_ns
        if stamp_ns not in poses:
            continue
        if len(keyframes) == most:
            break
        T = poses[stamp_ns]
        T_truth = rigid(to_truth.rotation @ T[:3, :3], to_truth.apply(T[:3, 3]))
        points = transform_points(invert_rigid(update.pose.T_world_camera), update.pointmaps.points_world)
        own = np.where(update.pointmaps.points_world.any(axis=2), points[..., 2], np.nan) * to_truth.scale
        keyframe = _keyframe(sequence, frames[stamp_ns], T_truth, own.astype(np.float32))
        if stamp_ns in views:
            engine_depths[len(keyframes)] = _of_view(views[stamp_ns], keyframe, float(to_truth.scale))
        keyframes.append(keyframe)
    cloud = slam.map_points()
    moved = MapPoints(to_truth.apply(cloud.points_world).astype(np.float32), cloud.colours, cloud.confidence)
    return Recording(sequence.name, keyframes, moved, engine_depths)


def _of_view(view: KeyframeView, keyframe: Keyframe, metres_per_unit: float) -> DepthMap:
    """The depth image of one of the engine's views, in metres, at the size of the keyframe's image."""
    size = keyframe.view.size
    depth, confidence = (
        np.asarray(cv2.resize(each, size, interpolation=cv2.INTER_NEAREST_EXACT), np.float32)
        for each in (view.depth, view.confidence)
    )
    sigma = np.where(np.isfinite(depth), VISION_TUNING.confidence_times_error / np.maximum(confidence, 1e-6), np.inf)
    return DepthMap(depth * np.float32(metres_per_unit), sigma.astype(np.float32))


def _pose(frame: SequenceFrame) -> Array:
    assert frame.T_world_camera is not None
    return frame.T_world_camera


def _keyframe(
    sequence: ImageSequence, frame: SequenceFrame, T_world_camera: Array, own: Depth | None = None
) -> Keyframe:
    """Of a frame; ``own`` are depths of the centre square."""
    image = sequence.image(frame)
    camera, depth = sequence.camera_of(image), sequence.depth(frame)
    assert camera is not None and depth is not None
    size = (WIDTH, round(image.shape[0] * WIDTH / image.shape[1]))
    colours = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    true = np.asarray(cv2.resize(depth, size, interpolation=cv2.INTER_NEAREST), np.float32)
    true = np.where(true > 0, true, np.float32(np.nan))
    grey = np.asarray(cv2.cvtColor(colours, cv2.COLOR_RGB2GRAY), np.uint8)
    view = PosedView(grey, camera.scaled(*size).matrix, T_world_camera)
    guess = np.full(true.shape, np.nan, np.float32)
    short = min(size)
    top, left = (true.shape[0] - short) // 2, (true.shape[1] - short) // 2
    centre = (slice(top, top + short), slice(left, left + short))
    if own is None:
        chosen = np.random.default_rng(frame.index).permutation(short * short)[:GUESS_DEPTHS]
        square = np.full(short * short, np.nan, np.float32)
        square[chosen] = true[centre].ravel()[chosen]
        guess[centre] = square.reshape(short, short)
    else:
        guess[centre] = cv2.resize(own, (short, short), interpolation=cv2.INTER_NEAREST)
    return Keyframe(view, colours, true, guess, _pose(frame))


def _motion(before: Keyframe, after: Keyframe) -> float:
    """Median motion in the image, share of its width; infinite where nothing of it is in front."""
    depth = before.true_depth[4::8, 4::8]
    known = np.isfinite(depth)
    points = (before.view.rays()[4::8, 4::8] * depth[..., None])[known].astype(np.float64)
    T = invert_rigid(after.view.T_world_camera) @ before.view.T_world_camera
    seen = transform_points(T, points)
    front = seen[:, 2] > 0
    if not front.any():
        return float("inf")
    focal = before.view.matrix[0, 0]
    motion = seen[front, :2] / seen[front, 2:] - points[front, :2] / points[front, 2:]
    return float(np.median(np.linalg.norm(motion, axis=1))) * focal / WIDTH


def chosen_partners(recording: Recording, number: int) -> Sequence[PosedView]:
    """Views of a keyframe's partners."""
    return [recording.keyframes[other].view for other in recording.partners(number)]
