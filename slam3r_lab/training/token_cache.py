"""What L2W is trained on, computed once with the finished I2P: tokens of all frames and I2P's own pointmaps of every
second.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from slam3r_ros.networks.image_to_points import ImageToPoints

from .arrays_file import read_cache, write_arrays
from .augmentation import change_colours, mirror
from .clips import Clips
from .losses import mean_distance
from .windows import Random, Views, load_views

PREDICTED_EVERY = 2
"""I2P's pointmaps are kept for every second frame."""
SOURCES = 3


@dataclass(frozen=True, slots=True, eq=False)
class TokenCache:
    """Tokens and pointmaps of R clips with F frames each; half of the clips are mirrored."""

    mirrored: NDArray[np.bool_]
    """(R,) clips whose images, points and poses are mirrored."""
    tokens: NDArray[np.float16]
    """(R, F, tokens, encoder width), before the encoder's norm."""
    points_camera: NDArray[np.float16]
    """(R, F / PREDICTED_EVERY, H, W, 3): I2P's pointmap of each frame in its own camera, mean valid distance 1, invalid
    points zero.
    """


def weights_digest(file: Path) -> str:
    """Digest of a weights file, to know which I2P a cache belongs to."""
    return hashlib.sha256(file.read_bytes()).hexdigest()[:16]


@torch.no_grad()
def build_cache(i2p: ImageToPoints, clips: Clips, confidence_threshold: float, *, augment: bool) -> TokenCache:
    """Run I2P over all clips; with `augment`, half of them mirrored and all with changed colours (fixed seed)."""
    random = np.random.default_rng(777)
    mirrored = (random.random(len(clips)) < 0.5) & augment
    frames = np.arange(clips.frame_count)
    tokens, predicted = [], []
    for clip in range(len(clips)):
        views = load_views(clips, np.array([clip]), frames[None], i2p.device)
        views = mirror(views, mirrored[clip : clip + 1])
        if augment:
            views = change_colours(random, views)
        tokens.append(i2p.encode(views.images[0]))
        predicted.append(_own_pointmaps(i2p, tokens[-1], random, confidence_threshold).to(torch.float16).cpu().numpy())
        if clip % 50 == 49:
            print(f"tokens: {clip + 1} of {len(clips)} clips", flush=True)
    return TokenCache(
        mirrored, np.stack([part.to(torch.float16).cpu().numpy() for part in tokens]), np.stack(predicted)
    )


def _own_pointmaps(i2p: ImageToPoints, tokens: Tensor, random: Random, confidence_threshold: float) -> Tensor:
    """I2P's normalised pointmaps (F / PREDICTED_EVERY, H, W, 3) of frames with tokens (F, tokens, width) as references.

    The sources are earlier frames, later ones or both, at a random stride.
    """
    count = len(tokens)
    references = np.arange(0, count, PREDICTED_EVERY)
    sources = []
    for reference in references:
        stride = int(random.integers(1, 4))
        offsets = stride * (np.arange(1, SOURCES + 1) if random.random() < 0.5 else np.array([-1, 1, -2]))
        chosen = reference - offsets
        sources.append(
            np.where((chosen < 0) | (chosen >= count), reference + np.abs(offsets), chosen).clip(0, count - 1)
        )
    x = i2p.decoder_tokens(tokens)
    reference_activations, source_activations = i2p.reference_activations(x), i2p.source_activations(x)
    reference_input = reference_activations[torch.from_numpy(references)][:, None]
    result, _ = i2p.decode(reference_input, source_activations[torch.from_numpy(np.stack(sources))], need_sources=False)
    valid = result.confidence >= confidence_threshold
    points = result.points / mean_distance(result.points, valid)
    return torch.where(valid[..., None], points, 0.0)[:, 0]


def load_or_build(
    path: Path, i2p: ImageToPoints, i2p_digest: str, clips: Clips, threshold: float, *, augment: bool
) -> TokenCache:
    """The cache in `path` if it was made with this I2P and these clips, otherwise a new one, written there."""
    names = hashlib.sha256(" ".join(clips.names.tolist()).encode()).hexdigest()[:16]
    key = f"{i2p_digest} {threshold} {names}"
    arrays = read_cache(path, key)
    if arrays is not None:
        return TokenCache(**arrays)
    cache = build_cache(i2p, clips, threshold, augment=augment)
    write_arrays(path, {part.name: getattr(cache, part.name) for part in fields(cache)}, key)
    return cache


def points_and_poses(
    clips: Clips,
    cache: TokenCache,
    clip_indices: NDArray[np.int64],
    frames: NDArray[np.int64],
    device: torch.device | str = "cpu",
) -> Views:
    """Views of frames (B, V) of clips (B,), mirrored where the cache's clips are."""
    return mirror(load_views(clips, clip_indices, frames, device), cache.mirrored[clip_indices])
