"""The values that pass between the engine's stages.

The type says what has happened to a frame: Frame -> PreparedFrame -> UnencodedFrame -> EncodedFrame -> Window ->
LocalPointmap -> RegisteredFrame -> MapUpdate. The facts of the image travel along in its `ImageHeader`.
Tensors stay on the networks' device; a RegisteredFrame has its pointmaps on the host too, copied once for all frames
that were registered together.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from enum import Enum

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from slam3r_ros.geometry.camera import Camera
from slam3r_ros.geometry.dead_reckoning import DeadReckoning
from slam3r_ros.networks.blocks import LayerActivations
from slam3r_ros.vision.working_image import WorkingImage


class InputError(ValueError):
    """A value given to the engine cannot be used; the message says what was expected and what came."""


class State(Enum):
    """What the engine is doing."""

    WAITING_FOR_IMAGES = 0
    INITIALIZING = 1
    TRACKING = 2
    LOST = 3
    LOCALIZING = 5
    """A map was loaded, and it is not known yet where in it the camera is. (4 is PAUSED, which only the node knows.)"""


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """What is known of an image besides its pixels. It travels with the image from the camera to every update of it."""

    stamp_ns: int
    """Time at which the image was taken, integer nanoseconds."""
    size: tuple[int, int]
    """Height and width of the image as it was received, pixels."""
    camera: Camera | None = None
    """Pinhole intrinsics of the whole image after undistortion; None where they are not known."""
    frame_id: str = ""
    """Name of the camera's optical frame (REP-105); empty where the source has no names."""
    number: int | None = None
    """Number of the image in the camera's stream, with the images that were left out counted too; None where nobody
    counts them, which means that none was left out."""


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One image as it came from a camera."""

    stamp_ns: int
    """Time at which the image was taken, integer nanoseconds."""
    image: NDArray[np.uint8]
    """(height, width, 3) RGB."""
    camera: Camera | None = None
    """Intrinsics of this image, with its distortion; None where they are not known."""
    frame_id: str = ""
    """Name of the camera's optical frame (REP-105); empty where the source has no names."""
    number: int | None = None
    """Number of the image in the camera's stream, with the images that were left out counted too; None where nobody
    counts them."""

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
    """A frame as the encoder takes it: undistorted, and at the networks' size unless their device resizes it."""

    header: ImageHeader
    image: NDArray[np.uint8]
    """(H, W, 3) RGB: the centre crop at the networks' size, or the whole undistorted image."""
    working: WorkingImage | None = None
    """The whole undistorted image, at most `PoseSettings.image_side` long; None where odometry is off."""


@dataclass(frozen=True, slots=True, eq=False)
class EncodedImage:
    """An image after the encoder, with everything that later uses of it share."""

    header: ImageHeader
    image: NDArray[np.uint8]
    """(H, W, 3) RGB: the centre crop at the networks' size; its pixels are those of the pointmaps."""
    camera: Camera | None
    """Pinhole intrinsics of the crop; None where those of the image are not known."""
    tokens: Tensor
    """(tokens, encoder width), before the encoder's norm."""
    reference_activations: LayerActivations
    """I2P's layer-0 activations of this frame as a reference view: (tokens, width), (tokens, heads, head width)."""
    source_activations: LayerActivations
    """I2P's layer-0 activations of this frame as a source view: (tokens, width), (tokens, heads, head width)."""
    working: WorkingImage | None
    """The whole undistorted image, at most `PoseSettings.image_side` long; None where odometry is off."""

    @property
    def stamp_ns(self) -> int:
        """Time at which the image was taken, integer nanoseconds."""
        return self.header.stamp_ns

    @property
    def crop_size(self) -> tuple[int, int]:
        """Height and width of the networks' crop, pixels."""
        return self.image.shape[0], self.image.shape[1]


@dataclass(frozen=True, slots=True, eq=False)
class EncodedAhead:
    """An image that another thread has encoded before the engine asks for it."""

    encoded: EncodedImage
    ready: torch.cuda.Event | None
    """What the device has to reach before the tensors may be used; None where they are ready."""


@dataclass(frozen=True, slots=True, eq=False)
class EncodedFrame(EncodedImage):
    """An encoded image with its place in the stream."""

    index: int
    """Number of the frame among those that the engine has processed since its start, from 0."""
    source_index: int
    """Number of the image in the camera's stream, those left out counted too: strides are counted in it."""

    @classmethod
    def of(cls, encoded: EncodedImage, index: int, source_index: int) -> EncodedFrame:
        """The encoded image at this place of the stream."""
        values = {field.name: getattr(encoded, field.name) for field in fields(EncodedImage)}
        return cls(**values, index=index, source_index=source_index)

    @classmethod
    def numbered(cls, encoded: Iterable[EncodedImage], first: int = 0) -> list[EncodedFrame]:
        """Encoded images that follow one another without a gap, the first at this place of the stream."""
        return [cls.of(each, number, number) for number, each in enumerate(encoded, first)]


@dataclass(frozen=True, slots=True, eq=False)
class UnencodedFrame:
    """A frame with its place in the stream that no window has needed so far: visual odometry can track it."""

    index: int
    """Number of the frame among those that the engine has processed since its start, from 0."""
    source_index: int
    """Number of the image in the camera's stream, those left out counted too: strides are counted in it."""
    prepared: PreparedFrame
    """The image as the encoder takes it."""
    camera: Camera | None
    """Pinhole intrinsics of the crop; None where those of the image are not known."""
    crop_size: tuple[int, int]
    """Height and width of the networks' crop, pixels."""

    @property
    def header(self) -> ImageHeader:
        """What is known of the image besides its pixels."""
        return self.prepared.header

    @property
    def working(self) -> WorkingImage | None:
        """The whole undistorted image, at most `PoseSettings.image_side` long; None where odometry is off."""
        return self.prepared.working


StreamFrame = UnencodedFrame | EncodedFrame
"""A frame of the stream. The encoder runs only for frames that a window needs."""


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """A frame and its neighbours in the stream: what one I2P call sees."""

    reference: EncodedFrame
    """The frame whose camera the points of the window are in."""
    sources: tuple[EncodedFrame, ...]
    """The other frames of the window."""


@dataclass(frozen=True, slots=True, eq=False)
class LocalPointmap:
    """A frame's own points, from its window."""

    frame: EncodedFrame
    points_camera: Tensor
    """(H, W, 3) float32 in the frame's camera, at I2P's own scale."""
    confidence: Tensor
    """(H, W) float32, I2P's confidences."""
    valid: Tensor
    """(H, W) bool: confident enough for registration."""
    points_normalised: Tensor
    """(H, W, 3) float32: the valid points with mean distance 1, the others zero; L2W's input."""
    mean_confidence: Tensor
    """() float32, mean of I2P's confidences."""


@dataclass(frozen=True, slots=True, eq=False)
class SceneInput:
    """What L2W takes of a keyframe as a scene frame; depends on that keyframe alone."""

    embedding: Tensor
    """(tokens, width): the embedding of its world points."""
    layer: LayerActivations
    """L2W's layer-0 activations of the keyframe as a reference view."""


@dataclass(frozen=True, slots=True, eq=False)
class Registration:
    """One L2W call, by frame index."""

    registered: tuple[int, ...]
    """The frames that were registered."""
    scene_frames: tuple[int, ...]
    """The keyframes that they were registered against."""
    candidates: tuple[int, ...]
    """The keyframes of the buffer that retrieval chose from."""
    candidate_scores: tuple[float, ...]
    """Mean retrieval score of each candidate; empty where all of the buffer was taken."""


@dataclass(frozen=True, slots=True, eq=False)
class PoseEstimate:
    """A camera's pose, and how well it explains the points that it was computed from."""

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
    """Whether visual odometry alone gives the pose."""
    reckoning: DeadReckoning | None = None
    """Where the camera is by the sum of its motions from frame to frame, which no correction moves; None where visual
    odometry has not tracked the frame."""


@dataclass(frozen=True, slots=True, eq=False)
class HostPointmaps:
    """A registered frame's pointmaps as arrays, which may share the tensors' memory: not to be written to."""

    points_world: NDArray[np.float32]
    """(H, W, 3) points in the world, scene units."""
    confidence: NDArray[np.float32]
    """(H, W) L2W's confidences of the world points."""
    points_camera: NDArray[np.float32]
    """(H, W, 3) points in the frame's camera, at I2P's own scale."""
    confidence_camera: NDArray[np.float32]
    """(H, W) I2P's confidences of the camera points."""
    valid: NDArray[np.bool_]
    """(H, W): whether the frame's own point is confident enough for registration."""


@dataclass(frozen=True, slots=True, eq=False)
class RegisteredFrame:
    """A frame registered in the map."""

    local: LocalPointmap
    points_world: Tensor
    """(H, W, 3) float32, scene units, world = the camera of the initial window's reference."""
    confidence: Tensor
    """(H, W) float32, L2W's confidences."""
    on_host: HostPointmaps
    """The same pointmaps as arrays on the host."""
    mean_confidence: float
    """Mean of L2W's confidences."""
    local_mean_confidence: float
    """Mean of I2P's confidences."""
    registration: Registration | None = None
    """The L2W call that registered the frame; None for the initial frames, which make up the initial map."""
    pose: PoseEstimate | None = None
    """None until it is estimated, and where it cannot be."""
    state: State = State.TRACKING
    """TRACKING or LOST."""
    is_excluded: bool = False
    """Whether the frame is kept out of the map and of the keyframe buffer: L2W lost it, or visual odometry expects
    nothing new of it."""

    @property
    def index(self) -> int:
        return self.local.frame.index


@dataclass(frozen=True, slots=True, eq=False)
class KeyframeRecord:
    """What is kept for ever of a frame that entered the keyframe buffer."""

    id: int
    """Counted from 0 in the order of entering."""
    index: int
    """Number of the frame among those that the engine has processed."""
    header: ImageHeader
    crop_size: tuple[int, int]
    """Height and width of the networks' crop, pixels; those of `PoseEstimate.focal_px` are of this crop."""
    pose: PoseEstimate | None
    mean_confidence: float
    """Mean confidence of its world pointmap, L2W's."""


@dataclass(frozen=True, slots=True, eq=False)
class StampedPose:
    """One pose of the trajectory."""

    stamp_ns: int
    T_world_camera: NDArray[np.float64]
    """(4, 4): takes camera points to the world, scene units."""


@dataclass(frozen=True, slots=True, eq=False)
class MapPoints:
    """Coloured points of the map."""

    points_world: NDArray[np.float32]
    """(N, 3) points in the world, scene units."""
    colours: NDArray[np.uint8]
    """(N, 3) RGB."""
    confidence: NDArray[np.float32]
    """(N,) confidences of the points: L2W's, or 0.2 over the relative error that is expected of a dense depth, which is
    the same scale (`VisionTuning.confidence_times_error`)."""

    def __len__(self) -> int:
        return len(self.points_world)

    @classmethod
    def none(cls) -> MapPoints:
        """No point."""
        return cls(np.empty((0, 3), np.float32), np.empty((0, 3), np.uint8), np.empty(0, np.float32))


@dataclass(frozen=True, slots=True, eq=False)
class PoseUpdate:
    """The pose of a frame by visual odometry alone, as soon as it is known."""

    index: int
    """Number of the frame among those that the engine has processed."""
    header: ImageHeader
    pose: PoseEstimate
    is_keyframe: bool
    """Whether the frame is to become a keyframe: then a `MapUpdate` with its refined pose follows, unless the device's
    memory is full and the frame is left out."""
    world_changes: int = 0
    """How many closed loops have moved the pose before it was emitted. Where tracking and mapping are two threads, it
    may be emitted before the `MapCorrection` of the last of them; else it is 0."""


@dataclass(frozen=True, slots=True, eq=False)
class MapUpdate:
    """What one registered frame changed in the map."""

    index: int
    """Number of the frame among those that the engine has processed."""
    header: ImageHeader
    image: NDArray[np.uint8]
    """(H, W, 3) RGB crop, whose pixels are those of the pointmaps."""
    state: State
    """TRACKING or LOST."""
    pose: PoseEstimate | None
    """None where no pose could be computed."""
    pointmaps: HostPointmaps
    """The frame's pointmaps; `PoseEstimate.scale` takes lengths of its own pointmap to those of the world."""
    added: MapPoints
    """Points that this frame added to the map."""
    new_keyframes: tuple[KeyframeRecord, ...]
    """Keyframes that entered the keyframe buffer with this update: this frame or one shortly before it."""
    registration: Registration | None
    """The L2W call that registered this frame; None for the initial frames."""
    is_excluded: bool = False
    """Whether the frame's points are kept out of the map."""
    is_provisional: bool = False
    """Whether the dense depth of a `KeyframeView` is going to replace the frame's points, where there will be one."""

    @property
    def is_tracked(self) -> bool:
        """Whether the frame has a pose that is trusted."""
        return self.pose is not None and self.state is State.TRACKING
