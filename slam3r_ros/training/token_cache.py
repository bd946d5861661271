"""What L2W is trained on, computed once with the finished I2P: tokens of all frames and I2P's own pointmaps of every
second.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from slam3r_ros.networks.image_to_points import ImageToPoints

from .dataset_files import RenderedRooms
from .losses import mean_distance
from .windows import Random, Views, change_colours, load_views, mirror

PREDICTED_EVERY = 2
"""I2P's pointmaps are kept for every second frame."""
SOURCES = 3


@dataclass(frozen=True, slots=True, eq=False)
class TokenCache:
    """Tokens and pointmaps of R rooms with F frames each; half of the rooms are mirrored."""

    mirrored: NDArray[np.bool_]
    """(R,) rooms whose images, points and poses are mirrored."""
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
def build_cache(i2p: ImageToPoints, rooms: RenderedRooms, confidence_threshold: float, *, augment: bool) -> TokenCache:
    """Run I2P over all rooms; with `augment`, half of them mirrored and all with changed colours (fixed seed)."""
    random = np.random.default_rng(777)
    mirrored = (random.random(len(rooms)) < 0.5) & augment
    frames = np.arange(rooms.colour.shape[1])
    tokens, predicted = [], []
    for room in range(len(rooms)):
        views = mirror(load_views(rooms, np.array([room]), frames[None]), torch.from_numpy(mirrored[room : room + 1]))
        if augment:
            views = change_colours(random, views)
        tokens.append(i2p.encode(views.images[0]))
        predicted.append(_own_pointmaps(i2p, tokens[-1], random, confidence_threshold).to(torch.float16).numpy())
        if room % 50 == 49:
            print(f"tokens: {room + 1} of {len(rooms)} rooms", flush=True)
    return TokenCache(mirrored, np.stack([part.to(torch.float16).numpy() for part in tokens]), np.stack(predicted))


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
    as_reference, as_source = i2p.first_reference(x), i2p.first_source(x)
    reference_input = as_reference[torch.from_numpy(references)][:, None]
    result, _ = i2p.decode(reference_input, as_source[torch.from_numpy(np.stack(sources))], need_sources=False)
    valid = result.confidence >= confidence_threshold
    points = result.points / mean_distance(result.points, valid)
    return torch.where(valid[..., None], points, torch.zeros(()))[:, 0]


def load_or_build(
    path: Path, i2p: ImageToPoints, i2p_digest: str, rooms: RenderedRooms, threshold: float, *, augment: bool
) -> TokenCache:
    """The cache in `path` if it was made with this I2P and these rooms, otherwise a new one, written there."""
    key = f"{i2p_digest} {threshold} {hashlib.sha256(rooms.seeds.tobytes()).hexdigest()[:16]}"
    if path.exists():
        with np.load(path) as arrays:
            if str(arrays["key"]) == key:
                return TokenCache(arrays["mirrored"], arrays["tokens"], arrays["points_camera"])
    cache = build_cache(i2p, rooms, threshold, augment=augment)
    partial = path.with_suffix(".partial.npz")
    np.savez(
        partial, key=np.array(key), mirrored=cache.mirrored, tokens=cache.tokens, points_camera=cache.points_camera
    )
    partial.replace(path)
    return cache


def points_and_poses(
    rooms: RenderedRooms, cache: TokenCache, room_indices: NDArray[np.int64], frames: NDArray[np.int64]
) -> Views:
    """Views of frames (B, V) of rooms (B,), mirrored where the cache's rooms are."""
    return mirror(load_views(rooms, room_indices, frames), torch.from_numpy(cache.mirrored[room_indices]))
