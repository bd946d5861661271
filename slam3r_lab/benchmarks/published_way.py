"""What the published program does for a frame, as its paper and its format describe it: the baseline of the ratio.

Every view of a window is decoded to the end; queries, keys and values are made for every pair of views; nothing is kept
between windows; retrieval decodes the whole buffer for every query; float32; the device is waited for after each stage.
Same weights, same results as the engine.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from slam3r_lab.benchmarks.machine import synchronize
from slam3r_lab.benchmarks.scene import RoundResult, Scene
from slam3r_ros.engine.encoder import resize_and_crop
from slam3r_ros.engine.image_to_points_stage import normalise
from slam3r_ros.engine.stage_timer import StageTimer
from slam3r_ros.networks.blocks import DecoderBlock
from slam3r_ros.networks.decoder import MultiviewNetwork
from slam3r_ros.networks.rotary import RotaryEmbedding
from slam3r_ros.networks.weights import Networks


class PublishedWay:
    """Registers one round of frames from scratch.

    encode_once: keep a frame's tokens; otherwise every window encodes its views again.
    """

    def __init__(self, networks: Networks, point_confidence: float, scene_frames: int, *, encode_once: bool) -> None:
        self._i2p, self._l2w = networks.i2p, networks.l2w
        self._point_confidence, self._scene_frames = point_confidence, scene_frames
        self._encode_once = encode_once
        self.clock = StageTimer()

    @torch.inference_mode()
    def round(self, scene: Scene) -> RoundResult:
        """Local points, scene frames and world points of the scene's new frames."""
        together, device = len(scene.images), self._i2p.device
        crops = [resize_and_crop(image, self._i2p.config.image_size) for image in scene.images]
        with self.clock.stage("encode", together):
            windows = self._windows(crops, scene)
            synchronize(device)
        with self.clock.stage("i2p", together):
            locals_ = [self._local_points(window) for window in windows]
            synchronize(device)
        tokens = [window[0] for window in windows]
        with self.clock.stage("retrieval", together):
            scores = self._scores(tokens[::2], scene)
            chosen = tuple(int(i) for i in np.argsort(-scores, kind="stable")[: self._scene_frames])
            synchronize(device)
        with self.clock.stage("l2w", together):
            world, confidence = self._register(locals_, tokens, scene, chosen)
            synchronize(device)
        return RoundResult(torch.stack(locals_), chosen, world, confidence)

    def _windows(self, crops: Sequence[NDArray[np.uint8]], scene: Scene) -> list[Tensor]:
        """Tokens (views, tokens, width) of each new frame's window, its own first."""
        if self._encode_once:
            members = [member.tokens for member in scene.members]
            return [torch.stack([self._encode([crop])[0], *members]) for crop in crops]
        return [self._encode([crop, *(member.image for member in scene.members)]) for crop in crops]

    def _encode(self, crops: Sequence[NDArray[np.uint8]]) -> Tensor:
        pixels = torch.from_numpy(np.stack(crops)).to(self._i2p.device).permute(0, 3, 1, 2).float() / 127.5 - 1
        return self._i2p.encode(pixels)

    def _local_points(self, tokens: Tensor) -> Tensor:
        """The reference's normalised points of a window."""
        x = self._i2p.decoder_tokens(tokens)[None]
        reference_x, source_x = decode(self._i2p, x[:, :1], x[:, 1:])
        reference = self._i2p.reference_pointmaps(reference_x)
        self._i2p.source_pointmaps(source_x)
        return normalise(reference.points[0, 0], reference.confidence[0, 0] >= self._point_confidence)

    def _scores(self, queries: Sequence[Tensor], scene: Scene) -> NDArray[np.float32]:
        """Mean score of every keyframe of the buffer, one query after the other."""
        means = []
        for query in queries:
            candidates = torch.stack([keyframe.local.frame.tokens for keyframe in scene.keyframes])
            x = self._i2p.decoder_tokens(query)[None, None]
            y = self._i2p.decoder_tokens(candidates)[None]
            _, y = decode(self._i2p, x, y, depth=self._i2p.config.correlation_depth, last_is_sources_only=True)
            head = self._i2p.correlation_head(self._i2p.correlation_norm(y))
            means.append((1 + head[0, ..., 0].float().exp()).mean(dim=-1))
        mean = (sum(means[1:], means[0]) / len(queries)).cpu().numpy()
        return (mean - 1) / mean

    def _register(
        self, locals_: Sequence[Tensor], tokens: Sequence[Tensor], scene: Scene, chosen: Sequence[int]
    ) -> tuple[Tensor, Tensor]:
        """World points and confidence of the new frames."""
        network = self._l2w
        keyframes = [scene.keyframes[position] for position in chosen]
        scene_embedding = network.embed_points(torch.stack([k.points_world for k in keyframes]))[None]
        own_embedding = network.embed_points(torch.stack(list(locals_)))[None]
        scene_x = network.decoder_tokens(torch.stack([k.local.frame.tokens for k in keyframes]))[None]
        own_x = network.decoder_tokens(torch.stack(list(tokens)))[None]
        scene_x, own_x = decode(network, scene_x, own_x, scene_embedding, own_embedding)
        network.reference_pointmaps(scene_x)
        result = network.source_pointmaps(own_x)
        return result.points[0], result.confidence[0]


def decode(
    network: MultiviewNetwork,
    references: Tensor,
    sources: Tensor,
    reference_embedding: Tensor | None = None,
    source_embedding: Tensor | None = None,
    *,
    depth: int | None = None,
    last_is_sources_only: bool = False,
) -> tuple[Tensor, Tensor]:
    """Both sides (batch, views, tokens, width) after every layer, each computed from nothing but the layer before."""
    depth = depth or network.config.decoder_depth
    for number in range(depth):
        reference_block, source_block = network.layer(number)
        x = references if reference_embedding is None else references + reference_embedding
        y = sources if source_embedding is None else sources + source_embedding
        if not (last_is_sources_only and number == depth - 1):
            references = _block(reference_block, x, y, network.decoder_rotary)
        sources = _block(source_block, y, x, network.decoder_rotary)
    return references, sources


def _block(block: DecoderBlock, x: Tensor, y: Tensor, rotary: RotaryEmbedding) -> Tensor:
    """One block on the views x (batch, views, ...) that look at the views y (batch, others, ...) pair by pair."""
    x = x + block.self_attention(block.norm1(x.flatten(0, 1)), rotary).view(x.shape)
    batch, views, others = x.shape[0], x.shape[1], y.shape[1]
    pairs = (batch, views, others, *x.shape[2:])
    asking = block.norm2(x)[:, :, None].expand(pairs).flatten(0, 2)
    heard = block.norm_y(y)[:, None].expand(pairs).flatten(0, 2)
    cross = block.cross_attention
    answers = cross.merge(cross.queries(asking, rotary), *cross.keys_values(heard, rotary), len(asking))
    x = x + answers.unflatten(0, (batch, views, others)).amax(dim=2)
    return x + block.mlp(block.norm3(x))
