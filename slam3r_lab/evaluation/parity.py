"""Comparison of this package with golden numbers of the published implementation.

The directory holds any of ``networks/``, ``sequence_*/``, ``preprocess/`` and ``published_state_dict_shapes.json``,
or is one of these folders itself (a sequence beside its ``networks``).
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from slam3r_ros.engine.encoder import resize_and_crop
from slam3r_ros.engine.events import map_updates
from slam3r_ros.engine.slam import Slam
from slam3r_ros.networks.config import NetworkConfig
from slam3r_ros.networks.image_to_points import ImageToPoints
from slam3r_ros.networks.local_to_world import LocalToWorld
from slam3r_ros.networks.published_names import to_published
from slam3r_ros.networks.rotary import token_positions
from slam3r_ros.networks.weights import Networks, load_networks
from slam3r_ros.settings import SlamSettings
from slam3r_ros.types import Frame, MapUpdate, Registration

CALL_TOLERANCE = 1e-4
"""Relative error allowed of one network call."""
SEQUENCE_TOLERANCE = 1e-3
"""Relative error allowed at the end of a sequence."""
SHAPES_FILE = "published_state_dict_shapes.json"

# The published script's options and our settings of the same meaning.
_OPTIONS = {
    "keyframe_stride": "window.stride",
    "win_r": "window.radius",
    "initial_winsize": "initialize.window_size",
    "conf_thres_i2p": "register.point_confidence",
    "num_scene_frame": "register.scene_frames",
    "max_num_register": "register.together_max",
    "norm_input": "register.normalise_input",
    "update_buffer_intv": "keyframes.interval",
    "buffer_size": "keyframes.buffer_size",
    "buffer_strategy": "keyframes.strategy",
    "conf_thres_l2w": "map.point_confidence",
    "seed": "keyframes.seed",
}
_OPTIONS_WITHOUT_EFFECT = ("keyframe_adapt_min", "keyframe_adapt_max", "keyframe_adapt_stride")


class ParityError(ValueError):
    """A directory that is not laid out as expected; the message names what is wrong."""


@dataclass(frozen=True, slots=True)
class Row:
    """One comparison."""

    name: str
    value: float
    """Relative error |difference| / |expected|, or a number of mismatches."""
    tolerance: float
    """Largest value that passes; 0 for mismatches."""

    @property
    def passed(self) -> bool:
        return bool(np.isfinite(self.value)) and self.value <= self.tolerance


def relative_error(got: NDArray[np.generic], expected: NDArray[np.generic]) -> float:
    """|got - expected| / |expected|; infinite if the shapes differ."""
    if got.shape != expected.shape:
        return float("inf")
    wanted = expected.astype(np.float64)
    return float(np.linalg.norm(got.astype(np.float64) - wanted)) / max(float(np.linalg.norm(wanted)), 1e-30)


def compare(directory: Path, device: str = "cpu") -> Iterator[Row]:
    """Every comparison the directory allows; raises ParityError if it allows none."""
    if not directory.is_dir():
        raise ParityError(f"{directory} is not a directory")
    folders = [directory, *sorted(path for path in directory.iterdir() if path.is_dir())]
    checked = False
    for folder in folders:
        for compare_folder in (_compare_networks, _compare_sequence, _compare_preprocess, _compare_shapes):
            for row in compare_folder(folder, device):
                checked = True
                yield row
    if not checked:
        raise ParityError(f"{directory} holds no networks, sequence_*, preprocess or {SHAPES_FILE}")


def _load_numbers(path: Path) -> dict[str, NDArray[np.generic]]:
    with np.load(path) as file:
        return {key: file[key] for key in file.files}


def _is_networks(folder: Path) -> bool:
    return (folder / "i2p.safetensors").is_file() or (folder / "i2p" / "model.safetensors").is_file()


@torch.inference_mode()
def _compare_networks(folder: Path, device: str) -> Iterator[Row]:
    """Single calls: tokens, I2P windows, correlation scores, L2W."""
    if not _is_networks(folder) or not (folder / "expected.npz").is_file():
        return
    networks, expected = (
        load_networks(str(folder), device=device, precision="float32"),
        _load_numbers(folder / "expected.npz"),
    )
    i2p = networks.i2p
    images = torch.from_numpy(expected["images"]).permute(0, 3, 1, 2).float() / 127.5 - 1
    tokens = i2p.encode(images.to(i2p.device))
    yield _call_row("networks: encoder tokens", tokens, expected["tokens"])
    positions = token_positions(i2p.config.grid_size).numpy()
    mismatches = int((positions != expected["token_positions"]).sum()) if "token_positions" in expected else 0
    yield Row("networks: token positions, mismatches", mismatches, 0)
    for key in sorted(expected):
        if match := re.fullmatch(r"(i2p_(\d+)views_ref(\d+))_points", key):
            name, views, reference = match[1], int(match[2]), int(match[3])
            chosen = [3, 5] if views == 2 else list(range(views))
            result = i2p(tokens[None, chosen], reference)
            yield _call_row(f"networks: {name} points", result.points[0], expected[key])
            yield _call_row(f"networks: {name} confidence", result.confidence[0], expected[f"{name}_confidence"])
        elif match := re.fullmatch(r"correlation_(\d+)_vs_(\d+)_(\d+)", key):
            query, first, last = (int(number) for number in match.groups())
            x = i2p.decoder_tokens(tokens)
            scores = i2p.correlation(
                i2p.reference_activations(x[query : query + 1])[None], i2p.source_activations(x[first : last + 1])[None]
            )
            yield _call_row(f"networks: {key}", scores[0], expected[key])
    yield from _compare_l2w(networks, tokens, expected)


def _compare_l2w(networks: Networks, tokens: torch.Tensor, expected: dict[str, NDArray[np.generic]]) -> Iterator[Row]:
    if "l2w_points" not in expected:
        return
    scene_points = torch.from_numpy(expected["l2w_scene_points_in"]).to(tokens.device)
    keyframe_points = torch.from_numpy(expected["l2w_keyframe_points_in"]).to(tokens.device)
    scenes, both = len(scene_points), len(scene_points) + len(keyframe_points)
    results = networks.l2w(tokens[None, :scenes], scene_points[None], tokens[None, scenes:both], keyframe_points[None])
    points = torch.cat([result.points[0] for result in results])
    confidence = torch.cat([result.confidence[0] for result in results])
    yield _call_row("networks: l2w points", points, expected["l2w_points"])
    yield _call_row("networks: l2w confidence", confidence, expected["l2w_confidence"])


def _call_row(name: str, got: torch.Tensor, expected: NDArray[np.generic]) -> Row:
    return Row(name, relative_error(got.cpu().numpy(), expected), CALL_TOLERANCE)


def sequence_settings(options: dict[str, object], stride: int) -> SlamSettings:
    """Our settings for the published script's options; ``stride`` is the one that script used or chose."""
    unknown = sorted(set(options) - set(_OPTIONS) - set(_OPTIONS_WITHOUT_EFFECT))
    if unknown:
        raise ParityError(f"trace.json: unknown settings {', '.join(unknown)}; known: {', '.join(_OPTIONS)}")
    values = {_OPTIONS[name]: value for name, value in options.items() if name in _OPTIONS}
    values["window.stride"] = stride
    values["window.lookahead"] = values.get("window.radius", SlamSettings.published().window.radius)
    # Radius first: lookahead may not exceed it.
    return SlamSettings.published().with_values(values)


def _compare_sequence(folder: Path, device: str) -> Iterator[Row]:
    """The engine over a whole stream, fed frame by frame and flushed."""
    if not (folder / "trace.json").is_file():
        return
    networks_folder = folder.parent / "networks"
    if not _is_networks(networks_folder):
        raise ParityError(f"{folder}: expected its networks in {networks_folder}")
    trace, expected = json.loads((folder / "trace.json").read_text()), _load_numbers(folder / "expected.npz")
    settings = sequence_settings(trace["settings"], int(trace["result"]["kf_stride"]))
    updates = _run(
        load_networks(str(networks_folder), device=device, precision="float32"),
        settings,
        expected["images"],
        folder.name,
    )
    yield from _compare_trace(folder.name, trace, updates)
    yield Row(f"{folder.name}: frames not answered", len(expected["images"]) - len(updates), 0)
    for key, values in (
        ("i2p_points", [update.pointmaps.points_camera for update in updates]),
        ("i2p_confidence", [update.pointmaps.confidence_camera for update in updates]),
        ("world_points", [update.pointmaps.points_world for update in updates]),
        ("world_confidence", [update.pointmaps.confidence for update in updates]),
    ):
        yield Row(f"{folder.name}: {key}", relative_error(np.stack(values), expected[key]), SEQUENCE_TOLERANCE)


def _run(networks: Networks, settings: SlamSettings, images: NDArray[np.generic], name: str) -> list[MapUpdate]:
    slam = Slam(networks, settings)
    updates: list[MapUpdate] = []
    for number, image in enumerate(tqdm(images, desc=name, leave=False, disable=not sys.stderr.isatty())):
        updates += map_updates(slam.push(Frame(number, np.ascontiguousarray(image))))
    updates += map_updates(slam.flush())
    return sorted(updates, key=lambda update: update.index)


def _compare_trace(name: str, trace: dict, updates: list[MapUpdate]) -> Iterator[Row]:
    """Index sets of the initialisation and of every L2W call, and the retrieval scores."""
    initial = [update.index for update in updates if update.registration is None]
    reference = [u.index for u in updates if u.registration is None and bool(u.pointmaps.points_camera.any())]
    stride, result = int(trace["result"]["kf_stride"]), trace["result"]
    expected_initial = [i * stride for i in range(int(result["init_winsize"]))]
    expected_reference = [int(result["init_ref_id"]) * stride]
    yield Row(f"{name}: initial frames, mismatches", len(set(initial) ^ set(expected_initial)), 0)
    yield Row(f"{name}: initial reference, mismatches", len(set(reference) ^ set(expected_reference)), 0)
    calls: dict[tuple[int, ...], Registration] = {
        u.registration.registered: u.registration for u in updates if u.registration
    }
    got = [(set(call.registered), set(call.scene_frames)) for _, call in sorted(calls.items())]
    expected = sorted(trace["l2w_calls"], key=lambda call: call["registered"])
    wrong = abs(len(got) - len(expected)) + sum(
        pair != (set(call["registered"]), set(call["scene_frames"])) for pair, call in zip(got, expected, strict=False)
    )
    yield Row(f"{name}: L2W calls, mismatches of {len(expected)}", wrong, 0)
    scores = [call.candidate_scores for _, call in sorted(calls.items()) if call.candidate_scores]
    if "retrieval_scores" in trace:
        yield Row(f"{name}: retrieval scores", _score_error(scores, trace["retrieval_scores"]), SEQUENCE_TOLERANCE)


def _score_error(got: list[tuple[float, ...]], expected: list[list[float]]) -> float:
    if [len(scores) for scores in got] != [len(scores) for scores in expected]:
        return float("inf")
    if not expected:
        return 0.0
    return relative_error(np.concatenate(got), np.concatenate(expected))


def _compare_preprocess(folder: Path, device: str) -> Iterator[Row]:
    """Crops of images of other sizes; compared as numbers of differing pixels."""
    path = folder / "expected.npz"
    if folder.name != "preprocess" or not path.is_file():
        return
    numbers = _load_numbers(path)
    for key in sorted(numbers):
        if key.startswith("in_"):
            expected = numbers["out_" + key[3:]]
            got = resize_and_crop(np.ascontiguousarray(numbers[key]), expected.shape[:2])  # type: ignore[arg-type]
            yield Row(f"preprocess: {key[3:]}, pixels that differ", int((got != expected).any(axis=-1).sum()), 0)


def _compare_shapes(folder: Path, device: str) -> Iterator[Row]:
    """Keys and shapes of the published state dicts against networks of the default size."""
    path = folder / SHAPES_FILE
    if not path.is_file():
        return
    published = json.loads(path.read_text())
    with torch.device("meta"):
        networks = {
            "slam3r_i2p": ImageToPoints(NetworkConfig()),
            "slam3r_l2w": LocalToWorld(NetworkConfig(need_encoder=False)),
        }
    for name, network in networks.items():
        got = {(to_published(key), tuple(value.shape)) for key, value in network.state_dict().items()}
        expected = {(key, tuple(shape)) for key, shape in published[name].items()}
        yield Row(f"{name}: state dict keys and shapes, mismatches", len(got ^ expected), 0)
