"""The oracle in L2W's place. Its tokens hold a view's points as the engine gives them and, last, the view's number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from slam3r_lab.oracle.answers import numbers_of, pointmaps_of, without_attention
from slam3r_lab.oracle.drift import Placement
from slam3r_lab.oracle.errors import Answer, Errors
from slam3r_lab.oracle.views import TrueViews
from slam3r_ros.geometry.se3 import Array
from slam3r_ros.geometry.sim3 import Sim3
from slam3r_ros.geometry.umeyama import robust_umeyama
from slam3r_ros.networks.blocks import LayerActivations
from slam3r_ros.networks.config import NetworkConfig
from slam3r_ros.networks.decoder import Pointmaps

POINTS_PER_SCENE_FRAME = 300
"""Most points of a scene frame from which the world's frame and scale are estimated."""


class OracleLocalToWorld:
    """Answers keyframes with their true points, in the frame and scale that the scene frames' points show.

    Of that world it knows only those points: the similarity from the truth that fits them best, however wrong they are.
    """

    def __init__(
        self,
        config: NetworkConfig,
        views: TrueViews,
        placements: Sequence[Placement | None],
        errors: Errors,
        *,
        shrink: float,
    ) -> None:
        self.config = config
        self.device = torch.device("cpu")
        self._views = views
        self._placements = placements
        self._errors = errors
        self._shrink = shrink

    def decoder_tokens(self, tokens: Tensor) -> Tensor:
        """View numbers (..., 1, 1) with room for points: (..., 1, 3 H W + 1)."""
        height, width = self.config.image_size
        return functional.pad(tokens, (3 * height * width, 0))

    def embed_points(self, points: Tensor) -> Tensor:
        """Points (..., H, W, 3) as one token with room for the view's number: (..., 1, 3 H W + 1)."""
        return functional.pad(points.flatten(-3)[..., None, :], (0, 1))

    def reference_activations(self, x: Tensor) -> LayerActivations:
        """The tokens as activations of layer 0 without queries, keys and values."""
        return without_attention(x)

    def source_activations(self, x: Tensor) -> LayerActivations:
        """The same."""
        return without_attention(x)

    def decode(
        self,
        references: LayerActivations,
        sources: LayerActivations,
        reference_embedding: Tensor,
        source_embedding: Tensor,
        *,
        need_references: bool = True,
    ) -> tuple[Pointmaps | None, Pointmaps]:
        """Pointmaps of (references, sources), both (batch, views, ...), in the world of the references' points."""
        of_references, of_sources = [], []
        scenes = reference_embedding[..., 0, :-1].unflatten(-1, (-1, 3)).numpy()
        for scene, points, views in zip(numbers_of(references), scenes, numbers_of(sources), strict=True):
            world = self._world_of(scene, points)
            of_sources.append([self._in_world(number, scene, world) for number in views])
            if need_references:
                of_references.append([self._in_world(number, scene, world) for number in scene])
        return pointmaps_of(of_references) if need_references else None, pointmaps_of(of_sources)

    def _world_of(self, scene: Sequence[int], points: np.ndarray) -> Sim3 | None:
        """The similarity from the oracle's world to that of the scene frames' points (views, H W, 3)."""
        believed, given = [np.empty((0, 3))], [np.empty((0, 3))]
        for number, scene_points in zip(scene, points, strict=True):
            placement, view = self._placements[number], self._views[number]
            chosen = np.flatnonzero(view.valid.ravel() & scene_points.any(axis=-1))
            if placement is None or not len(chosen):
                continue
            if len(chosen) > POINTS_PER_SCENE_FRAME:
                chosen = chosen[np.linspace(0, len(chosen) - 1, POINTS_PER_SCENE_FRAME).astype(np.intp)]
            believed.append(placement.to_world(view.points_camera.reshape(-1, 3)[chosen].astype(np.float64)))
            given.append(scene_points[chosen])
        source = np.concatenate(believed)
        return robust_umeyama(source, np.concatenate(given), np.ones(len(source)))

    def _in_world(self, number: int, scene: Sequence[int], world: Sim3 | None) -> Answer:
        """A view's points in the world; zeros without confidence where the world or its pose is not known."""
        view, placement = self._views[number], self._placements[number]
        if world is None or placement is None:
            return Answer(np.zeros((*view.depth.shape, 3)), np.ones(view.depth.shape, np.float32))
        answer = self._errors.answer(number, view, placed=True)
        points = placement.to_world(answer.points) - self._shrink * self._distance_from(scene, placement)
        return replace(answer, points=world.apply(points))

    def _distance_from(self, scene: Sequence[int], placement: Placement) -> Array:
        """(3,) from the middle of the scene frames' cameras to this one."""
        cameras = [known.T_world_camera[:3, 3] for each in scene if (known := self._placements[each]) is not None]
        distance: Array = placement.T_world_camera[:3, 3] - np.mean(cameras, axis=0)
        return distance
