"""Teaching some heads of the decoder's cross-attention which patches of two views show the same place.

Used in training only: the pointmaps alone teach a small network to match views very late. The truth is known from the
renderer, so the attention of a few heads is compared (cross-entropy) with where each patch's middle really lies.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional

from slam3r_ros.networks.attention import AttentionFunction
from slam3r_ros.networks.decoder import MultiviewNetwork

from .windows import NEAREST_DEPTH

MATCHING_LAYERS = (0, 1, 2)
MATCHING_HEADS = 2
VISIBLE_WITHIN = 0.05
"""A point is seen in another view when its depth there differs from the view's by less than this share."""


@dataclass(slots=True, eq=False)
class AttentionRecorder:
    """An attention function that also keeps the queries and keys of its last call."""

    inner: AttentionFunction
    calls: list[tuple[Tensor, Tensor]] = field(default_factory=list)

    def __call__(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        self.calls[:] = [(queries, keys)]
        return self.inner(queries, keys, values)


class MatchingLoss:
    """Cross-entropy of the first heads' attention in the first layers; listens to the decoder's cross-attention."""

    def __init__(self, model: MultiviewNetwork) -> None:
        self._patch = model.config.patch_size
        self._recorders: list[tuple[AttentionRecorder, AttentionRecorder]] = []
        for layer in MATCHING_LAYERS:
            blocks = model.layer(layer)
            recorders = tuple(AttentionRecorder(block.cross_attention.attention) for block in blocks)
            for block, recorder in zip(blocks, recorders, strict=True):
                block.cross_attention.attention = recorder
            self._recorders.append((recorders[0], recorders[1]))

    def __call__(self, points_camera: Tensor, T_world_camera: Tensor, camera: Tensor, references: int) -> Tensor:
        """The loss of the decoder's last call, whose first `references` views were references and the others sources.

        True camera points (B, V, H, W, 3), zero where not known, poses (B, V, 4, 4) and cameras (B, V, 3).
        """
        sides = [
            (points_camera[:, part], T_world_camera[:, part], camera[:, part])
            for part in (slice(references), slice(references, None))
        ]
        from_references = _pair_targets(sides[0], sides[1], self._patch)
        from_sources = _pair_targets(sides[1], sides[0], self._patch)
        losses = []
        for reference_recorder, source_recorder in self._recorders:
            losses.append(_cross_entropy(*reference_recorder.calls.pop(), *from_references))
            losses.append(_cross_entropy(*source_recorder.calls.pop(), *from_sources))
        return torch.stack(losses).mean()


_Side = tuple[Tensor, Tensor, Tensor]
"""Points (B, V, H, W, 3), poses (B, V, 4, 4) and cameras (B, V, 3) of the views of one side."""


def _pair_targets(own: _Side, other: _Side, patch: int) -> tuple[Tensor, Tensor]:
    """`match_targets` of every pair of an own view (B, V, ...) and another (B, O, ...), flattened in the order
    (B, V, O).
    """
    (points, poses, _), (other_points, other_poses, other_camera) = own, other
    pair = (points.shape[0], points.shape[1], other_points.shape[1])
    own_each = points[:, :, None].expand(*pair, *points.shape[2:]).flatten(0, 2)
    other_each = other_points[:, None].expand(*pair, *other_points.shape[2:]).flatten(0, 2)
    camera_each = other_camera[:, None].expand(*pair, 3).flatten(0, 2)
    motion = (torch.linalg.inv(other_poses)[:, None] @ poses[:, :, None]).flatten(0, 2)
    return match_targets(own_each, motion, other_each, camera_each, patch)


def match_targets(
    points: Tensor, T_other_own: Tensor, other: Tensor, other_camera: Tensor, patch: int
) -> tuple[Tensor, Tensor]:
    """Where the middles of N views' patches lie among the patches of other views.

    points, other: camera points (N, H, W, 3) of both, zero where not known; T_other_own (N, 4, 4); other_camera (N, 3)
    focal length and principal point, pixels. Returns weights (N, T, T) over the other view's patches (bilinear, rows
    sum to one) and whether the point is known and seen there (N, T).
    """
    height, width = points.shape[1:3]
    column, row, _, visible = seen_from(points, T_other_own, other, other_camera, patch)
    vertical = _tent_weights((row - patch // 2) / patch, height // patch)
    horizontal = _tent_weights((column - patch // 2) / patch, width // patch)
    return (vertical[..., :, None] * horizontal[..., None, :]).flatten(2), visible


def overlaps(points: Tensor, T_other_own: Tensor, other: Tensor, other_camera: Tensor, step: int = 4) -> Tensor:
    """(N,) shares of N views' points, every `step`-th pixel across and down, that other views see; arguments as of
    `match_targets`. 0 where a view has no point.
    """
    _, _, known, visible = seen_from(points, T_other_own, other, other_camera, step)
    return visible.float().sum(1) / known.float().sum(1).clamp(min=1.0)


def seen_from(
    points: Tensor, T_other_own: Tensor, other: Tensor, other_camera: Tensor, step: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Where the points of N views, every `step`-th pixel, lie in other views; arguments as of `match_targets`.

    Returns column and row there, pixels, whether the point is known, and whether it is seen there: all (N, points).
    """
    height, width = points.shape[1:3]
    middles = points[:, step // 2 :: step, step // 2 :: step].flatten(1, 2)
    x, y, z = (middles @ T_other_own[:, :3, :3].transpose(1, 2) + T_other_own[:, None, :3, 3]).unbind(-1)
    focal, middle_column, middle_row = (value[:, None] for value in other_camera.unbind(-1))
    depth = z.clamp(min=NEAREST_DEPTH)
    column, row = focal * x / depth + middle_column, focal * y / depth + middle_row
    inside = (z > NEAREST_DEPTH) & (column > -0.5) & (column < width - 0.5) & (row > -0.5) & (row < height - 0.5)
    pixel = row.round().long().clamp(0, height - 1) * width + column.round().long().clamp(0, width - 1)
    seen_depth = other[..., 2].flatten(1).gather(1, pixel)
    known = middles[..., 2] > 0
    return column, row, known, inside & known & ((seen_depth - z).abs() < VISIBLE_WITHIN * z)


def _tent_weights(position: Tensor, count: int) -> Tensor:
    """Linear interpolation weights (..., count) of fractional positions (...)."""
    clamped = position.clamp(0, count - 1)[..., None]
    return (1 - (clamped - torch.arange(count, device=position.device)).abs()).clamp(min=0)


def _cross_entropy(queries: Tensor, keys: Tensor, target: Tensor, visible: Tensor) -> Tensor:
    """Mean over visible patches and the first heads.

    queries, keys (N, heads, T, width), target (N, T, T), visible (N, T).
    """
    queries, keys = queries[:, :MATCHING_HEADS], keys[:, :MATCHING_HEADS]
    logarithms = functional.log_softmax(queries @ keys.transpose(-1, -2) * queries.shape[-1] ** -0.5, dim=-1)
    values = -(target[:, None] * logarithms).sum(-1).mean(1)
    weight = visible.to(values.dtype)
    return (values * weight).sum() / weight.sum().clamp(min=1.0)
