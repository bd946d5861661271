"""What networks answer, to compare two ways of running them."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from slam3r_ros.networks.interfaces import NetworkPair


def answers(networks: NetworkPair, seed: int, sources: int) -> Iterator[Tensor]:
    """What every method of both networks, for images of 64 pixels, answers to one window."""
    i2p, l2w, generator = networks.i2p, networks.l2w, torch.Generator().manual_seed(seed)
    images = torch.rand(1 + sources, 3, 64, 64, generator=generator) * 2 - 1
    tokens = i2p.encode(images.to(i2p.device))
    yield tokens
    x = i2p.decoder_tokens(tokens)[None]
    reference, others = i2p.reference_activations(x[:, :1]), i2p.source_activations(x[:, 1:])
    yield from (*reference.tensors, *others.tensors, i2p.correlation(reference, others))
    for need in (False, True):
        for pointmaps in i2p.decode(reference, others, need_sources=need):
            yield from () if pointmaps is None else pointmaps.tensors
    points = torch.randn(1, 1 + sources, 64, 64, 3, generator=generator)
    embedding = l2w.embed_points(points.to(i2p.device))
    x = l2w.decoder_tokens(tokens)[None] + embedding
    inputs = (l2w.reference_activations(x[:, 1:]), l2w.source_activations(x[:, :1]), embedding[:, 1:], embedding[:, :1])
    for need in (False, True):
        for pointmaps in l2w.decode(*inputs, need_references=need):
            yield from () if pointmaps is None else pointmaps.tensors
