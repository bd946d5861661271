"""How well retrieval by a shortlist agrees with the full search, and what both cost as the buffer grows."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from slam3r_lab.benchmarks.scene import random_keyframes
from slam3r_ros.engine.encoder import Encoder
from slam3r_ros.engine.keyframe_buffer import KeyframeBuffer
from slam3r_ros.engine.local_to_world_stage import LocalToWorldStage
from slam3r_ros.engine.retrieval import Candidates, Retrieval, RetrievalResult, describe
from slam3r_ros.networks.blocks import LayerActivations
from slam3r_ros.networks.weights import Networks
from slam3r_ros.settings import KeyframeSettings
from slam3r_ros.types import EncodedFrame, Frame


@dataclass(frozen=True, slots=True)
class Agreement:
    """Retrieval by a shortlist beside the full search, over the later two thirds of a video."""

    scene_frames: int
    shortlist: int
    buffer_size: int
    queries: int
    overlap: float
    """Share of the full search's scene frames that were chosen too."""
    score_share: float
    """Full search's mean score of what was chosen, over that of its own choice."""


@dataclass(frozen=True, slots=True)
class Growth:
    """Milliseconds of one retrieval with a buffer of so many keyframes."""

    buffer_size: int
    full_ms: float
    shortlist_ms: float


@torch.inference_mode()
def measure_agreement(
    networks: Networks, images: Sequence[NDArray[np.uint8]], buffer_size: int, pairs: Sequence[tuple[int, int]]
) -> list[Agreement]:
    """For pairs of (scene frames, shortlist): the buffer holds frames of the first two thirds, the later two ask."""
    encoder = Encoder(networks.i2p)
    frames = [
        frame
        for number, image in enumerate(tqdm(images, desc="encode", leave=False))
        for frame in EncodedFrame.numbered(encoder.encode([Frame(number, image)]), number)
    ]
    two_thirds = 2 * len(frames) // 3
    held = np.linspace(0, two_thirds - 1, min(buffer_size, two_thirds)).astype(int).tolist()
    candidates = _candidates([frames[index] for index in held])
    asking = [frame for frame in frames[len(frames) // 3 :] if frame.index not in set(held)]
    full = Retrieval(networks.i2p, max(scene_frames for scene_frames, _ in pairs))
    truth = [full.choose([query], candidates) for query in tqdm(asking, desc="full search", leave=False)]
    results = []
    for scene_frames, shortlist in pairs:
        retrieval = Retrieval(networks.i2p, scene_frames, shortlist)
        shares = [
            _agree(retrieval.choose([q], candidates), t, scene_frames) for q, t in zip(asking, truth, strict=True)
        ]
        overlap, score_share = np.mean(shares, axis=0)
        results.append(Agreement(scene_frames, shortlist, len(held), len(asking), float(overlap), float(score_share)))
    return results


def _agree(got: RetrievalResult, full: RetrievalResult, scene_frames: int) -> tuple[float, float]:
    best = full.chosen[:scene_frames]
    scores = np.array(full.scores)
    share = scores[list(got.chosen)].mean() / scores[list(best)].mean()
    return len(set(got.chosen) & set(best)) / scene_frames, float(share)


def _candidates(frames: Sequence[EncodedFrame]) -> Candidates:
    return Candidates(
        tuple(frame.index for frame in frames),
        tuple(range(len(frames))),
        LayerActivations.stack([frame.source_activations for frame in frames]),
        torch.stack([describe(frame.tokens) for frame in frames]),
    )


@torch.inference_mode()
def measure_growth(
    networks: Networks, sizes: Sequence[int], scene_frames: int, shortlist: int, calls: int = 5
) -> list[Growth]:
    """Both retrievals with buffers of these sizes; the best of some calls."""
    registrar = LocalToWorldStage(networks.l2w, normalise_input=False)
    results = []
    for size in sizes:
        keyframes = random_keyframes(networks.i2p, size)
        buffer = KeyframeBuffer(keyframes, 1, KeyframeSettings(buffer_size=size), registrar)
        times_ms = [
            _best_ms(Retrieval(networks.i2p, scene_frames, length), keyframes[0].local.frame, buffer, calls)
            for length in (0, shortlist)
        ]
        results.append(Growth(size, *times_ms))
    return results


def _best_ms(retrieval: Retrieval, query: EncodedFrame, buffer: KeyframeBuffer, calls: int) -> float:
    times = []
    for _ in range(calls + 1):
        started = time.perf_counter()
        retrieval.choose([query], buffer.candidates)
        times.append((time.perf_counter() - started) * 1e3)
    return min(times[1:])


def agreement_table(agreements: Sequence[Agreement], growth: Sequence[Growth]) -> list[str]:
    """Markdown."""
    first = agreements[0]
    lines = [
        f"**Retrieval by a shortlist against the full search**: embedded weights, rendered room, buffer of "
        f"{first.buffer_size}, {first.queries} queries",
        "",
        "| scene frames | shortlist | scene frames in common | score of the chosen over the best |",
        "|---" * 4 + "|",
        *(f"| {a.scene_frames} | {a.shortlist} | {a.overlap:.0%} | {a.score_share:.1%} |" for a in agreements),
        "",
        "| buffer | full search ms | shortlist ms |",
        "|---" * 3 + "|",
    ]
    return lines + [f"| {g.buffer_size} | {g.full_ms:.1f} | {g.shortlist_ms:.1f} |" for g in growth]
