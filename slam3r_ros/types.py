"""The values that pass between the engine's stages.

The type says what has happened to a frame: Frame -> PreparedFrame -> EncodedFrame -> Window -> LocalPointmap ->
Keyframe -> MapUpdate.
Tensors stay on the networks' device; a Keyframe has its pointmaps on the host too, copied once for a whole round.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from slam3r_ros.geometry.camera import Camera
from slam3r_ros.networks.blocks import LayerActivations


class InputError(ValueError):
    """A value given to the engine cannot be used; the message says what was expected and what came."""


class State(Enum):
    """What the engine is doing."""

    WAITING_FOR_IMAGES = 0
    INITIALIZING = 1
    TRACKING = 2
    LOST = 3


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One image as it came from a camera."""

    stamp_ns: int
    """Time the image was taken, integer nanoseconds."""
    image: NDArray[np.uint8]
    """(height, width, 3) RGB."""
    camera: Camera | None = None
    """Intrinsics of this image where they are known."""
    skipped: int = 0
    """Images of the camera's stream that were left out between the frame before and this one."""

    def __post_init__(self) -> None:
        image = self.image
        if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            got = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
            raise InputError(f"Frame.image: expected uint8 (height, width, 3) RGB, got {got}")
        if min(image.shape[:2]) < 2:
            raise InputError(f"Frame.image: expected at least 2 x 2 pixels, got {image.shape[1]} x {image.shape[0]}")
        if self.camera is not None and (self.camera.height, self.camera.width) != image.shape[:2]:
            raise InputError(
                f"Frame.camera: expected intrinsics of {image.shape[1]} x {image.shape[0]} pixels, "
                f"got {self.camera.width} x {self.camera.height}"
            )


@dataclass(frozen=True, slots=True, eq=False)
class PreparedFrame:
    """A frame as the encoder takes it: undistorted, and at the networks' size unless their device sees to that."""

    stamp_ns: int
    image: NDArray[np.uint8]
    """(H, W, 3) RGB: the centre crop at the networks' size, or the whole image."""
    camera: Camera | None
    """Pinhole intrinsics of the whole image where they are known."""
    source_size: tuple[int, int]
    """(height, width) of the image as it came from the camera."""
    skipped: int = 0
    """As the frame's."""
    grey: NDArray[np.uint8] | None = None
    """As the encoded frame's."""
    encoded: EncodedFrame | None = None
    """Where it has been encoded ahead: all but its numbers."""
    encoded_mark: Any = None
    """What the device has to reach before that may be used, as `Beside.mark` gives it."""


@dataclass(frozen=True, slots=True, eq=False)
class EncodedFrame:
    """A frame after the encoder, with what every later use of it shares."""

    index: int
    """Number of the frame among those the engine has processed since its start, from 0."""
    stamp_ns: int
    image: NDArray[np.uint8]
    """(H, W, 3) RGB: the centre crop at the networks' size; its pixels are those of the pointmaps."""
    camera: Camera | None
    """Pinhole intrinsics of the crop where the frame's were known."""
    tokens: Tensor
    """(tokens, encoder width), before the encoder's norm."""
    reference_activations: LayerActivations
    """I2P's layer-0 activations of this frame as a reference view: (tokens, width), (tokens, heads, head width)."""
    source_activations: LayerActivations
    """The same as a source."""
    source_index: int
    """Number of the image in the camera's stream, from 0, those left out counted too: what strides are counted in."""
    grey: NDArray[np.uint8] | None = None
    """(n H, n W) the same crop for the image tracks, finer by a whole number n; None without them."""


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """A frame and its neighbours in the stream: what one I2P call sees."""

    reference: EncodedFrame
    sources: tuple[EncodedFrame, ...]


@dataclass(frozen=True, slots=True, eq=False)
class LocalPointmap:
    """A frame's own points, from its window."""

    frame: EncodedFrame
    points_camera: Tensor
    """(H, W, 3) float32 in the frame's camera, at I2P's own scale."""
    confidence: Tensor
    """(H, W) float32, I2P's."""
    valid: Tensor
    """(H, W) bool: confident enough for registration."""
    points_normalised: Tensor
    """(H, W, 3) float32: the valid points with mean distance 1, the others zero; L2W's input."""
    mean_confidence: Tensor
    """() float32, I2P's."""


@dataclass(frozen=True, slots=True, eq=False)
class SceneInput:
    """What L2W takes of a keyframe as a scene frame; depends on that keyframe alone."""

    embedding: Tensor
    """(tokens, width): the embedding of its world points."""
    layer: LayerActivations
    """Layer-0 activations as a reference view."""


@dataclass(frozen=True, slots=True, eq=False)
class Registration:
    """One L2W call, by frame index."""

    registered: tuple[int, ...]
    scene_frames: tuple[int, ...]
    candidates: tuple[int, ...]
    """The buffer's frames that retrieval chose from."""
    candidate_scores: tuple[float, ...]
    """Mean retrieval score of each candidate; empty where all of the buffer was taken."""


@dataclass(frozen=True, slots=True, eq=False)
class PoseEstimate:
    """A camera's pose and how far to trust it."""

    T_world_camera: NDArray[np.float64]
    """(4, 4): takes camera points (x right, y down, z forward) to the world, scene units."""
    focal_px: float
    """Focal length used, pixels of the crop."""
    inlier_fraction: float
    """Share of the tested points whose reprojection error is below the threshold; of the image tracks where they alone
    give the pose. Where they have moved L2W's pose it is still that of L2W's points."""
    reprojection_error_px: float
    """Median reprojection error of the inliers, of the same points or tracks, pixels of the crop."""
    scale: float
    """World length of one unit of this frame's own pointmap, from the similarity between the two."""
    similarity_error: float
    """Distance between this position and the similarity's, as a fraction of the points' mean depth."""
    by_tracks: bool = False
    """Whether image tracks alone give the pose."""


@dataclass(frozen=True, slots=True, eq=False)
class HostPointmaps:
    """A registered frame's pointmaps as arrays, which may share the tensors' memory: not to be written to."""

    points_world: NDArray[np.float32]
    """(H, W, 3) scene units."""
    confidence: NDArray[np.float32]
    """(H, W) L2W's."""
    points_camera: NDArray[np.float32]
    """(H, W, 3) in the frame's camera, at I2P's own scale."""
    confidence_camera: NDArray[np.float32]
    """(H, W) I2P's."""
    valid: NDArray[np.bool_]
    """(H, W): whether the frame's own point is confident enough for registration."""


@dataclass(frozen=True, slots=True, eq=False)
class RegisteredFrame:
    """A frame registered in the world."""

    local: LocalPointmap
    points_world: Tensor
    """(H, W, 3) float32, scene units, world = the camera of the initial window's reference."""
    confidence: Tensor
    """(H, W) float32, L2W's."""
    on_host: HostPointmaps
    mean_confidence: float
    """L2W's."""
    local_mean_confidence: float
    """I2P's."""
    registration: Registration | None = None
    """None for the initial frames, which set up the world."""
    pose: PoseEstimate | None = None
    """None until it is estimated, and where it cannot be."""
    state: State = State.TRACKING
    """TRACKING or LOST."""
    held: bool = False
    """Whether the frame is kept from map and buffer: L2W lost it, or image tracks expect nothing new of it."""

    @property
    def index(self) -> int:
        return self.local.frame.index


@dataclass(frozen=True, slots=True, eq=False)
class KeyframeRecord:
    """What is kept for ever of a frame that entered the buffering set."""

    id: int
    """Counted from 0 in the order of entering."""
    index: int
    stamp_ns: int
    pose: PoseEstimate | None
    mean_confidence: float
    """L2W's."""


@dataclass(frozen=True, slots=True, eq=False)
class StampedPose:
    """One pose of the trajectory."""

    stamp_ns: int
    T_world_camera: NDArray[np.float64]
    """(4, 4) scene units."""


@dataclass(frozen=True, slots=True, eq=False)
class MapPoints:
    """Coloured points of the map."""

    points_world: NDArray[np.float32]
    """(N, 3) scene units."""
    colours: NDArray[np.uint8]
    """(N, 3) RGB."""
    confidence: NDArray[np.float32]
    """(N,) L2W's."""

    def __len__(self) -> int:
        return len(self.points_world)


@dataclass(frozen=True, slots=True, eq=False)
class MapUpdate:
    """What one registered frame changed; the only value that leaves the engine for each frame."""

    index: int
    stamp_ns: int
    state: State
    pose: PoseEstimate | None
    """None where no pose could be computed."""
    added: MapPoints
    """Points that this frame added to the map."""
    points_world: NDArray[np.float32]
    """(H, W, 3) the frame's whole world pointmap; this and the next three (0, 0, ...) for a frame that has none, since
    image tracks gave its pose."""
    confidence: NDArray[np.float32]
    """(H, W) L2W's."""
    points_camera: NDArray[np.float32]
    """(H, W, 3) the frame's own pointmap at I2P's scale; `PoseEstimate.scale` takes its lengths to the world's."""
    confidence_camera: NDArray[np.float32]
    """(H, W) I2P's."""
    image: NDArray[np.uint8]
    """(H, W, 3) RGB crop."""
    new_keyframes: tuple[KeyframeRecord, ...]
    """Keyframes that entered the buffering set with this update: this frame or one shortly before it."""
    registration: Registration | None
    """The L2W call that gave this frame; None for the initial frames and those between keyframes."""
    held: bool = False
    """Whether the frame's points are kept from the map."""
    is_early: bool = False
    """Whether only the frame's pose is told so far, by image tracks; all the rest comes with a second update."""
    is_corrected: bool = False
    """Whether a loop was closed since the update before: poses, keyframes and points of earlier updates have moved, and
    `Slam.trajectory`, `Slam.keyframes` and `Slam.map_points` tell where to. After a loop that `Slam.flush` closed no
    update may come; `SlamStatus.loops_closed` tells of that one too."""

    @property
    def is_tracked(self) -> bool:
        """Whether the frame has a pose that is trusted."""
        return self.pose is not None and self.state is State.TRACKING

    @classmethod
    def between_keyframes(cls, frame: EncodedFrame, pose: PoseEstimate) -> MapUpdate:
        """A frame that only has a pose."""
        points, confidence = np.empty((0, 0, 3), np.float32), np.empty((0, 0), np.float32)
        nothing = MapPoints(points.reshape(0, 3), np.empty((0, 3), np.uint8), confidence.reshape(0))
        return cls(
            index=frame.index,
            stamp_ns=frame.stamp_ns,
            state=State.TRACKING,
            pose=pose,
            added=nothing,
            points_world=points,
            confidence=confidence,
            points_camera=points,
            confidence_camera=confidence,
            image=frame.image,
            new_keyframes=(),
            registration=None,
            held=True,
        )

    @classmethod
    def of(cls, keyframe: RegisteredFrame, added: MapPoints, new_keyframes: Sequence[KeyframeRecord]) -> MapUpdate:
        """What a frame with its pose changed."""
        frame, on_host = keyframe.local.frame, keyframe.on_host
        return cls(
            index=frame.index,
            stamp_ns=frame.stamp_ns,
            state=keyframe.state,
            pose=keyframe.pose,
            added=added,
            points_world=on_host.points_world,
            confidence=on_host.confidence,
            points_camera=on_host.points_camera,
            confidence_camera=on_host.confidence_camera,
            image=frame.image,
            new_keyframes=tuple(new_keyframes),
            registration=keyframe.registration,
            held=keyframe.held,
        )


@dataclass(slots=True)
class SlamStatus:
    """Counters and state of the engine; a snapshot, safe to keep."""

    state: State = State.WAITING_FOR_IMAGES
    reason: str = "no image yet"
    """Why the state is what it is, one sentence."""
    processed: int = 0
    """Frames encoded."""
    registered: int = 0
    """Frames with a world pointmap."""
    lost_frames: int = 0
    """Registered frames whose pose was bad."""
    initialisations_failed: int = 0
    keyframes: int = 0
    """Keyframes in the buffering set now."""
    map_points: int = 0
    loops_closed: int = 0
    """Times that the map was corrected since the camera came back to where it had been."""
    stride: int = 0
    """Images of the camera's stream from one member of a window to the next; 0 until it is known."""
    images_per_frame: float = 1.0
    """Images of the camera's stream for each frame processed, a moving average: above 1 while some are left out."""
    voxel_size: float = 0.0
    """Present side of a voxel, scene units."""
    warnings: tuple[str, ...] = ()
    """What did not go as it should since the engine's start: what had to be done because the device's memory was full,
    and how a search for a loop failed, in order."""
    stage_ms: dict[str, float] = field(default_factory=dict)
    """Milliseconds of each stage, a moving average."""
