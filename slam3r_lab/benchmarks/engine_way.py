"""What the engine does for a round of frames: its stages as `Slam` calls them, without pose and map."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from slam3r_lab.benchmarks.machine import synchronize
from slam3r_lab.benchmarks.operations import Workload
from slam3r_lab.benchmarks.scene import RoundResult, Scene
from slam3r_ros.engine.encoder import Encoder
from slam3r_ros.engine.image_to_points_stage import ImageToPointsStage
from slam3r_ros.engine.keyframe_buffer import KeyframeBuffer
from slam3r_ros.engine.local_to_world_stage import LocalToWorldStage
from slam3r_ros.engine.retrieval import Retrieval
from slam3r_ros.engine.stage_timer import StageTimer
from slam3r_ros.networks.decoder import Pointmaps
from slam3r_ros.networks.interfaces import NetworkPair
from slam3r_ros.settings import KeyframeSettings
from slam3r_ros.types import EncodedFrame, Frame, LocalPointmap, Window


class EngineWay:
    """Registers one round of frames, keeping what can be kept.

    synchronised: wait for the device after each stage, so that the clock is right; the engine does not.
    """

    def __init__(
        self,
        networks: NetworkPair,
        point_confidence: float,
        load: Workload,
        scene: Scene,
        *,
        synchronised: bool = False,
    ) -> None:
        self._device, self._synchronised = networks.i2p.device, synchronised
        self._members = tuple(scene.members)
        self._encoder = Encoder(networks.i2p)
        self._local_points = ImageToPointsStage(networks.i2p, point_confidence)
        self._retrieval = Retrieval(networks.i2p, load.scene_frames, load.shortlist)
        self._registrar = LocalToWorldStage(networks.l2w, normalise_input=False)
        settings = KeyframeSettings(buffer_size=load.buffer_size)
        self._buffer = KeyframeBuffer(scene.keyframes, 1, settings, self._registrar)
        self.clock = StageTimer()

    @torch.inference_mode()
    def round(self, scene: Scene) -> RoundResult:
        """Local points, scene frames and world points of the scene's new frames."""
        together = len(scene.images)
        with self.clock.stage("encode", together):
            frames = self.encode(scene.images)
        with self.clock.stage("i2p", together):
            locals_ = self.local_points(frames)
        with self.clock.stage("retrieval", together):
            chosen = self.choose(locals_)
        with self.clock.stage("l2w", together):
            result = self.register(locals_, chosen)
        normalised = torch.stack([local.points_normalised for local in locals_])
        return RoundResult(normalised, chosen, result.points, result.confidence)

    def encode(self, images: Sequence[NDArray[np.uint8]]) -> list[EncodedFrame]:
        """The new frames, which come one after the other."""
        frames = []
        for number, image in enumerate(images):
            frames += EncodedFrame.numbered(self._encoder.encode([Frame(number, image)]), number)
        self._wait()
        return frames

    def local_points(self, frames: Sequence[EncodedFrame]) -> list[LocalPointmap]:
        """The frames' own points."""
        locals_ = self._local_points.estimate([Window(frame, self._members) for frame in frames])
        self._wait()
        return locals_

    def choose(self, locals_: Sequence[LocalPointmap]) -> tuple[int, ...]:
        """Scene frames: positions in the buffer."""
        chosen = self._retrieval.choose([local.frame for local in locals_[::2]], self._buffer.candidates).chosen
        self._wait()
        return chosen

    def register(self, locals_: Sequence[LocalPointmap], chosen: Sequence[int]) -> Pointmaps:
        """The frames' world points."""
        keyframes = [self._buffer[position] for position in chosen]
        result = self._registrar.register(locals_, keyframes, self._buffer.scene(chosen))
        self._wait()
        return result

    def _wait(self) -> None:
        if self._synchronised:
            synchronize(self._device)
