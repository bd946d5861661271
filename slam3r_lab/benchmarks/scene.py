"""A stream in full swing, made up: a full buffer, the members of windows, and the next frames."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from slam3r_lab.benchmarks.machine import synchronize
from slam3r_lab.benchmarks.operations import Workload
from slam3r_ros.engine.encoder import Encoder
from slam3r_ros.engine.local_to_world_stage import registered_frames
from slam3r_ros.networks.decoder import Pointmaps
from slam3r_ros.networks.image_to_points import ImageToPoints
from slam3r_ros.networks.weights import Networks
from slam3r_ros.types import EncodedFrame, EncodedImage, Frame, ImageHeader, LocalPointmap, RegisteredFrame

_CHUNK = 10  # keyframes whose tokens are made at once


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """What one round of frames is registered in."""

    images: list[NDArray[np.uint8]]
    """(480, 640, 3) each: the new frames."""
    members: list[EncodedFrame]
    """The other members of every new frame's window."""
    keyframes: list[RegisteredFrame]
    """The buffer's."""


@dataclass(frozen=True, slots=True, eq=False)
class RoundResult:
    """What a round gives."""

    points_normalised: Tensor
    """(frames, H, W, 3): L2W's input."""
    chosen: tuple[int, ...]
    """Scene frames, positions in the buffer, best first."""
    points_world: Tensor
    """(frames, H, W, 3)."""
    confidence: Tensor
    """(frames, H, W)."""


def random_image(number: int, height: int = 480, width: int = 640) -> NDArray[np.uint8]:
    """A colourful image of blobs, another one for every number."""
    small = np.random.default_rng(number).integers(0, 256, (height // 40, width // 40, 3), dtype=np.uint8)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC).astype(np.uint8, copy=False)


@torch.inference_mode()
def make_scene(network: ImageToPoints, load: Workload) -> Scene:
    """The scene of a workload; its keyframes have random tokens and points, the rest is encoded."""
    images = [random_image(number) for number in range(load.sources + load.together)]
    members = []
    for number, image in enumerate(images[load.together :]):
        members += EncodedFrame.numbered(Encoder(network).encode([Frame(number, image)]), number)
    return Scene(images[: load.together], members, random_keyframes(network, load.buffer_size))


@torch.inference_mode()
def random_keyframes(network: ImageToPoints, count: int) -> list[RegisteredFrame]:
    """Keyframes of random tokens and points, each a mixture with its neighbour so that some are alike."""
    config, device = network.config, network.device
    generator = torch.Generator().manual_seed(1)
    height, width = config.image_size
    pixels = np.zeros((height, width, 3), np.uint8)
    confidence = torch.full((height, width), 3.0, device=device)
    keyframes: list[RegisteredFrame] = []
    for start in range(0, count, _CHUNK):
        number = min(_CHUNK, count - start)
        tokens = torch.randn(number, config.token_count, config.encoder_width, generator=generator)
        tokens = tokens.to(device, network.dtype)
        x = network.decoder_tokens(tokens)
        references, sources = network.reference_activations(x), network.source_activations(x)
        for i in range(number):
            index = start + i
            header = ImageHeader(index, (height, width))
            encoded = EncodedImage(header, pixels, None, tokens[i], references[i], sources[i], None)
            frame = EncodedFrame.of(encoded, index, index)
            points = torch.rand(height, width, 3, generator=generator).to(device) + 0.5
            local = LocalPointmap(frame, points, confidence, confidence > 0, points, confidence.mean())
            keyframes += registered_frames([local], Pointmaps(points[None], confidence[None]), registration=None)
    return keyframes


@torch.inference_mode()
def warm_up(networks: Networks, scene: Scene) -> None:
    """One decoder layer of each network on two views: threads, kernels and allocator are there."""
    frame = scene.members[0]
    for network in (networks.i2p, networks.l2w):
        network.run_layers(frame.reference_activations[None][None], frame.source_activations[None][None], depth=1)
    synchronize(networks.device)
