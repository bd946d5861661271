"""The oracle in I2P's place. Its tokens are one number, that of the view."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from slam3r_lab.oracle.answers import numbers_of, pointmaps_of, without_attention
from slam3r_lab.oracle.drift import Placement
from slam3r_lab.oracle.errors import Answer, Errors
from slam3r_lab.oracle.views import TrueView, TrueViews
from slam3r_ros.geometry.se3 import Array, invert_rigid, transform_points
from slam3r_ros.networks.blocks import LayerActivations
from slam3r_ros.networks.config import NetworkConfig
from slam3r_ros.networks.decoder import Pointmaps

OVERLAP_STEP = 8
"""Every so many rows and columns of a query are looked for in a candidate."""
OVERLAP_TOLERANCE = 0.05
"""Relative difference of depths up to which two views see the same point."""


class OracleImageToPoints:
    """Answers windows with the true points of their views, in the reference's camera, at a scale of its own."""

    def __init__(
        self, config: NetworkConfig, views: TrueViews, placements: Sequence[Placement | None], errors: Errors
    ) -> None:
        """``placements`` are the true ones."""
        self.config = config
        self.device = torch.device("cpu")
        self._views = views
        self._placements = placements
        self._errors = errors

    def encode(self, images: Tensor) -> Tensor:
        """Images (batch, 3, H, W) in [-1, 1] to their views' numbers (batch, 1, 1); raises OracleError."""
        pixels = ((images + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).numpy()
        return torch.tensor([self._views.find(crop) for crop in pixels], dtype=torch.float32)[:, None, None]

    def decoder_tokens(self, tokens: Tensor) -> Tensor:
        """The tokens."""
        return tokens

    def reference_activations(self, x: Tensor) -> LayerActivations:
        """The tokens as activations of layer 0 without queries, keys and values."""
        return without_attention(x)

    def source_activations(self, x: Tensor) -> LayerActivations:
        """The same."""
        return without_attention(x)

    def decode(
        self, references: LayerActivations, sources: LayerActivations, *, need_sources: bool = True
    ) -> tuple[Pointmaps, Pointmaps | None]:
        """Pointmaps of references (batch, 1, ...) and sources (batch, views, ...), in the reference's camera."""
        of_references, of_sources = [], []
        for number, others in zip(numbers_of(references), numbers_of(sources), strict=True):
            answer, scale = self._own(number[0])
            of_references.append([answer])
            if need_sources:
                of_sources.append([self._in_camera(other, number[0], scale) for other in others])
        return pointmaps_of(of_references), pointmaps_of(of_sources) if need_sources else None

    def correlation(self, queries: LayerActivations, candidates: LayerActivations) -> Tensor:
        """1 + the share of the query's points that the candidate sees too: (batch, candidates, 1)."""
        rows = numbers_of(candidates)
        rows = rows * len(numbers_of(queries)) if len(rows) == 1 else rows
        pairs = zip(numbers_of(queries), rows, strict=True)
        overlaps = [[self._overlap(query[0], candidate) for candidate in row] for query, row in pairs]
        return 1 + torch.tensor(overlaps, dtype=torch.float32)[..., None]

    def _own(self, number: int) -> tuple[Answer, float]:
        """A view's own points, and the length there of a metre."""
        view = self._views[number]
        answer = self._errors.answer(number, view, placed=False)
        distances = np.linalg.norm(view.points_camera[view.valid], axis=-1)
        scale = self._errors.scale_of(number) / (float(distances.mean()) if len(distances) else 1.0)
        return Answer(scale * answer.points, answer.confidence), scale

    def _in_camera(self, number: int, reference: int, scale: float) -> Answer:
        """A view's points in another view's camera; without confidence where a pose is not known."""
        view = self._views[number]
        answer = self._errors.answer(number, view, placed=True)
        own, other = self._placements[number], self._placements[reference]
        if own is None or other is None:
            return Answer(scale * answer.points, np.ones_like(answer.confidence))
        motion = invert_rigid(other.T_world_camera) @ own.T_world_camera
        return Answer(scale * transform_points(motion, answer.points), answer.confidence)

    def _overlap(self, query: int, candidate: int) -> float:
        own, other = self._placements[query], self._placements[candidate]
        view, seen = self._views[query], self._views[candidate]
        step = slice(OVERLAP_STEP // 2, None, OVERLAP_STEP)
        valid = view.valid[step, step]
        if own is None or other is None or not valid.any():
            return 0.0
        motion = invert_rigid(other.T_world_camera) @ own.T_world_camera
        points = transform_points(motion, view.points_camera[step, step][valid])
        return float(_is_seen(points, seen).mean())


def _is_seen(points: Array, view: TrueView) -> NDArray[np.bool_]:
    """(N,) whether points (N, 3) in a view's camera are those that it sees there."""
    camera, z = view.camera, points[:, 2]
    if camera is None:
        return np.zeros(len(points), np.bool_)
    front = np.maximum(z, 1e-6)
    columns = np.rint(camera.fx * points[:, 0] / front + camera.cx).clip(-1, camera.width).astype(np.intp)
    rows = np.rint(camera.fy * points[:, 1] / front + camera.cy).clip(-1, camera.height).astype(np.intp)
    inside = (z > 0) & (columns >= 0) & (columns < camera.width) & (rows >= 0) & (rows < camera.height)
    depth = view.depth[rows.clip(0, camera.height - 1), columns.clip(0, camera.width - 1)]
    seen: NDArray[np.bool_] = inside & (np.abs(depth - z) <= OVERLAP_TOLERANCE * z)
    return seen
