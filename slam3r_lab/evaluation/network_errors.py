"""The two networks alone, without the engine's stream: relative point errors against the number of views."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from slam3r_lab.evaluation.overlap import overlap
from slam3r_lab.sequences.sequence import ImageSequence, SequenceError
from slam3r_lab.sequences.truth import TruePointmap, true_pointmap
from slam3r_ros.engine.encoder import Encoder
from slam3r_ros.engine.image_to_points_stage import ImageToPointsStage, mean_distance, normalise
from slam3r_ros.engine.local_to_world_stage import LocalToWorldStage, registered_frames
from slam3r_ros.geometry.se3 import invert_rigid
from slam3r_ros.networks.decoder import Pointmaps
from slam3r_ros.networks.interfaces import NetworkPair
from slam3r_ros.settings import SlamSettings
from slam3r_ros.types import EncodedFrame, Frame, LocalPointmap, RegisteredFrame, Window

WINDOW_VIEWS = (1, 2, 5, 11, 15)
SCENE_FRAMES = (1, 5, 10, 20)
FEWEST_VALID = 100
"""Pixels with true depth that a frame must have."""


@dataclass(frozen=True, slots=True)
class ViewsError:
    """The error with one number of views."""

    views: int
    """Views of the window, the reference included; or scene frames."""
    samples: int
    relative_error: float | None
    """Mean distance between predicted and true points over the mean distance of the true points to the camera; None
    where the sequence has too few frames for it."""


@dataclass(frozen=True, slots=True)
class NetworkErrors:
    """Relative point errors."""

    i2p: tuple[ViewsError, ...]
    """By views of the window; both clouds are first divided by their mean distance to the camera. With 1 view the
    reference is its own source."""
    l2w_from_truth: tuple[ViewsError, ...]
    """By scene frames, those with the largest true overlap; true points go in."""
    l2w_from_predictions: tuple[ViewsError, ...]
    """The same, but I2P's points go in: of the frame itself, and of the scene frames, each put where it belongs by its
    true pose and scale."""


class NetworkProbe:
    """Runs the networks on a few frames of a sequence, evenly spread."""

    def __init__(self, sequence: ImageSequence, networks: NetworkPair, settings: SlamSettings, samples: int) -> None:
        """``settings``: stride, radius and thresholds as the engine would use them; ``samples``: frames measured."""
        self._sequence = sequence
        self._settings = settings.resolved(networks.recommended)
        self._size, self._device = networks.i2p.config.image_size, networks.i2p.device
        self._encoder = Encoder(networks.i2p)
        self._local_points = ImageToPointsStage(networks.i2p, self._settings.register.point_confidence)
        self._registrar = LocalToWorldStage(networks.l2w, normalise_input=self._settings.register.normalise_input)
        self._samples = samples
        self._encoded: dict[int, EncodedFrame] = {}
        self._truth: dict[int, TruePointmap | None] = {}
        self._locals: dict[int, LocalPointmap | None] = {}
        self._stride = max(1, self._settings.window.stride)

    @torch.inference_mode()
    def measure(self) -> NetworkErrors | None:
        """All errors; None where no frame has true points."""
        references = self._references()
        if not references:
            return None
        i2p = tuple(self._i2p_error(references, views) for views in WINDOW_VIEWS)
        return NetworkErrors(
            i2p,
            tuple(self._l2w_error(references, count, predicted=False) for count in SCENE_FRAMES),
            tuple(self._l2w_error(references, count, predicted=True) for count in SCENE_FRAMES),
        )

    def _references(self) -> list[int]:
        """Positions in the sequence of the frames that are measured: usable ones near an even spread."""
        count = len(self._sequence)
        wanted = np.unique(np.linspace(0, count - 1, min(self._samples, count) + 2)[1:-1].round().astype(int))
        return [int(position) for position in wanted if self._usable(int(position))]

    def _usable(self, position: int) -> bool:
        truth = self._true(position)
        if truth is None or np.count_nonzero(truth.valid) < FEWEST_VALID:
            return False
        return self._encode(position) is not None

    def _true(self, position: int) -> TruePointmap | None:
        if position not in self._truth:
            try:
                self._truth[position] = true_pointmap(self._sequence, self._sequence.frames[position], self._size)
            except SequenceError as error:
                self._sequence.report(str(error))
                self._truth[position] = None
        return self._truth[position]

    def _encode(self, position: int) -> EncodedFrame | None:
        """The encoded frame, None where its image cannot be read."""
        if position not in self._encoded:
            frame = self._sequence.frames[position]
            try:
                image = self._sequence.image(frame)
            except SequenceError as error:
                self._sequence.report(str(error))
                return None
            (encoded,) = self._encoder.encode([Frame(frame.stamp_ns, image)])
            self._encoded[position] = EncodedFrame.of(encoded, position, position)
        return self._encoded[position]

    # ---- I2P -----------------------------------------------------------------------------------------------------

    def _window(self, position: int, views: int) -> Window | None:
        """The window of that many views around a frame, alternating sides as in the engine; None without room."""
        reference = self._encode(position)
        if reference is None:
            return None
        if views == 1:
            return Window(reference, (reference,))
        offsets = [sign * i * self._stride for i in range(1, views) for sign in (-1, 1)]
        positions = [p for p in (position + offset for offset in offsets) if 0 <= p < len(self._sequence)]
        sources = [each for each in map(self._encode, positions[: views - 1]) if each is not None]
        return Window(reference, tuple(sources)) if len(sources) == views - 1 else None

    def _i2p_error(self, references: Sequence[int], views: int) -> ViewsError:
        errors = []
        for position in references:
            window, truth = self._window(position, views), self._true(position)
            if window is None or truth is None:
                continue
            (local,) = self._local_points.estimate([window])
            points, valid = self._on_device(truth)
            predicted = local.points_camera / mean_distance(local.points_camera, valid)
            errors.append(_relative_error(predicted, points / mean_distance(points, valid), valid, 1.0))
        return ViewsError(views, len(errors), float(np.mean(errors)) if errors else None)

    # ---- L2W -----------------------------------------------------------------------------------------------------

    def _l2w_error(self, references: Sequence[int], count: int, *, predicted: bool) -> ViewsError:
        errors = []
        for position in references:
            scene = self._scene_of(position, count)
            if len(scene) < count:
                continue
            error = self._registered_error(position, scene, predicted)
            if error is not None:
                errors.append(error)
        return ViewsError(count, len(errors), float(np.mean(errors)) if errors else None)

    def _scene_of(self, position: int, count: int) -> list[int]:
        """The frames with the largest true overlap among those whole strides away, the largest first."""
        query = self._true(position)
        if query is None or query.T_world_camera is None:
            return []
        candidates = [p for p in range(position % self._stride, len(self._sequence), self._stride) if p != position]
        overlaps = {}
        for candidate in candidates:
            truth = self._true(candidate)
            if truth is not None and truth.T_world_camera is not None and np.count_nonzero(truth.valid) >= FEWEST_VALID:
                overlaps[candidate] = overlap(query, truth)
        best = sorted(overlaps, key=lambda p: (-overlaps[p], abs(p - position), p))[:count]
        return [p for p in best if self._encode(p) is not None]

    def _registered_error(self, position: int, scene: Sequence[int], predicted: bool) -> float | None:
        """The error of registering a frame against scene frames, in the first scene frame's camera as the world."""
        world_truth = self._true(scene[0])
        assert world_truth is not None and world_truth.T_world_camera is not None
        T_world_scene = invert_rigid(world_truth.T_world_camera)
        _, first_valid = first = self._on_device(world_truth)
        unit = float(mean_distance(first[0], first_valid))  # metres of one unit of the world given to L2W
        query = self._local(position, predicted)
        keyframes = [self._scene_keyframe(p, T_world_scene, unit, predicted) for p in scene]
        usable = [keyframe for keyframe in keyframes if keyframe is not None]
        truth = self._true(position)
        if query is None or truth is None or len(usable) < len(scene):
            return None
        result = self._registrar.register([query], usable, self._registrar.scene_input(usable))
        points, valid = self._on_device(truth)
        expected = self._moved(points, truth, T_world_scene) / unit
        return _relative_error(result.points[0], expected, valid, float(mean_distance(points, valid)) / unit)

    def _local(self, position: int, predicted: bool) -> LocalPointmap | None:
        """A frame's own points as L2W takes them: I2P's, or the true ones."""
        encoded, truth = self._encode(position), self._true(position)
        if encoded is None or truth is None:
            return None
        if not predicted:
            points, valid = self._on_device(truth)
            confidence = torch.where(valid, 10.0, 1.0)
            return LocalPointmap(encoded, points, confidence, valid, normalise(points, valid), torch.tensor(10.0))
        if position not in self._locals:
            radius = self._settings.window.radius
            window = self._window(position, 2 * radius + 1) or self._window(position, 2)
            self._locals[position] = None if window is None else self._local_points.estimate([window])[0]
        return self._locals[position]

    def _scene_keyframe(
        self, position: int, T_world_scene: np.ndarray, unit: float, predicted: bool
    ) -> RegisteredFrame | None:
        local, truth = self._local(position, predicted), self._true(position)
        if local is None or truth is None:
            return None
        points, valid = self._on_device(truth)
        camera_points = points
        if predicted:
            scale = mean_distance(points, valid) / mean_distance(local.points_camera, valid)
            camera_points, valid = local.points_camera * scale, local.valid
        world = self._moved(camera_points, truth, T_world_scene) / unit
        world = torch.where(valid[..., None], world, 0.0)
        return registered_frames([local], Pointmaps(world[None], local.confidence[None]), registration=None)[0]

    def _moved(self, points: Tensor, truth: TruePointmap, T_world_scene: np.ndarray) -> Tensor:
        """Camera points (H, W, 3) of a frame to the world whose transform from the sequence's is given."""
        transform = torch.from_numpy(T_world_scene @ truth.T_world_camera).to(points)
        return points @ transform[:3, :3].T + transform[:3, 3]

    def _on_device(self, truth: TruePointmap) -> tuple[Tensor, Tensor]:
        """True points (H, W, 3) in the camera and their validity (H, W) where the networks are."""
        device = self._device
        return torch.from_numpy(truth.points_camera).to(device), torch.from_numpy(truth.valid).to(device)


def _relative_error(predicted: Tensor, true: Tensor, valid: Tensor, unit: float) -> float:
    """Mean distance of the valid points over ``unit``."""
    return float(torch.linalg.vector_norm(predicted - true, dim=-1)[valid].mean()) / unit
