"""What a training run decides before its first step."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from slam3r_lab.training import run as module
from slam3r_lab.training.clips import DataError
from slam3r_lab.training.config import ConfigurationError, TrainingConfig
from slam3r_lab.training.embedded_config import EMBEDDED_I2P, I2P_SIZES, initialise_weights
from slam3r_lab.training.export import export_network
from slam3r_lab.training.pictures import Picture
from slam3r_lab.training.run import choose_precision, collect_weights, for_training, starting_i2p
from slam3r_lab.training.workers import Workers
from slam3r_ros.networks.attention import attention_function
from slam3r_ros.networks.hub import find_weights
from slam3r_ros.networks.image_to_points import ImageToPoints
from slam3r_ros.networks.recommended_settings import recommended_settings
from slam3r_ros.networks.weights import load_network
from slam3r_ros.settings import SlamSettings

CPU = torch.device("cpu")


@pytest.mark.parametrize(("amx", "expected"), [(True, torch.bfloat16), (False, torch.float32)])
def test_a_processor_with_products_in_bfloat16_trains_in_it(
    monkeypatch: pytest.MonkeyPatch, amx: bool, expected: torch.dtype
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx, raising=False)
    assert choose_precision("auto", CPU) == expected
    assert choose_precision("float32", CPU) == torch.float32
    assert choose_precision("bfloat16", CPU) == torch.bfloat16


def test_a_torch_that_cannot_tell_trains_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.cpu, "_is_amx_tile_supported", raising=False)
    assert choose_precision("auto", CPU) == torch.float32


@pytest.mark.parametrize(("precision", "backend"), [(torch.bfloat16, "plain"), (torch.float32, "sdpa")])
def test_attention_of_products_is_trained_on_a_cpu_in_bfloat16(precision: torch.dtype, backend: str) -> None:
    model = for_training(ImageToPoints(replace(EMBEDDED_I2P, encoder_depth=1, decoder_depth=2)), CPU, precision)
    expected = attention_function(backend, CPU)
    assert model.encoder_blocks[0].self_attention.attention is expected
    assert model.source_blocks[1].cross_attention.attention is expected


def test_weights_keep_their_size_unless_another_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    start = load_network(ImageToPoints, find_weights("embedded"), "i2p")
    deeper = replace(start.config, encoder_depth=start.config.encoder_depth + 1)
    monkeypatch.setattr(module, "I2P_SIZES", I2P_SIZES | {"embedded-deep": deeper})
    same = starting_i2p(TrainingConfig(stage="i2p", start="embedded"))
    assert same.config == start.config
    larger = starting_i2p(TrainingConfig(stage="i2p", start="embedded", size="embedded-deep"))
    assert larger.config == deeper
    finer = starting_i2p(TrainingConfig(stage="i2p", start="embedded", size="embedded-large"))
    assert finer.config == I2P_SIZES["embedded-large"]
    monkeypatch.setattr(module, "I2P_SIZES", {"embedded-deep": replace(deeper, encoder_width=384)})
    with pytest.raises(ConfigurationError, match="--size: only blocks can be added"):
        starting_i2p(TrainingConfig(stage="i2p", start="embedded", size="embedded-deep"))


def test_a_size_that_weights_cannot_grow_to_is_refused_before_any_worker_starts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(module, "run_workers", lambda *_: pytest.fail("workers were started"))
    monkeypatch.setattr(module, "I2P_SIZES", {"embedded-deep": replace(I2P_SIZES["embedded-deep"], encoder_width=384)})
    config = TrainingConfig(stage="i2p", start="embedded", size="embedded-deep", out=tmp_path, data=(tmp_path,))
    with pytest.raises(ConfigurationError, match="--size"):
        module.run_training(config)


@pytest.mark.parametrize("stage", ["all", "data"])
def test_folders_of_recordings_are_looked_at_before_anything_is_rendered(
    stage: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(module, "render_data", lambda *_: pytest.fail("worlds were rendered"))
    (tmp_path / "empty").mkdir()
    for name, reason in (("nowhere", "there is no folder"), ("empty", "holds no recording")):
        config = TrainingConfig(stage=stage, data=(tmp_path / "worlds", tmp_path / name), out=tmp_path)
        with pytest.raises(DataError, match=reason):
            module.run_training(config)


def test_later_stages_start_anew_when_i2p_is_another_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    i2p = ImageToPoints(TINY)
    initialise_weights(i2p)
    monkeypatch.setattr(module, "make_stage", lambda config, *_: _OfI2p(config.out))

    def bias_after(minutes: float) -> float:
        module.train_stage(
            Workers(), TrainingConfig(stage="correlation", minutes=minutes, out=tmp_path, tensorboard="off")
        )
        return float(load_network(ImageToPoints, tmp_path / "correlation", "i2p").state_dict()[ENCODER_BIAS][0])

    export_network(i2p, tmp_path / "i2p" / "i2p")
    assert bias_after(1e-9) == 0.0
    assert bias_after(2e-9) == 0.0
    assert "resumed at step 1" in capsys.readouterr().out
    with torch.no_grad():
        i2p.state_dict()[ENCODER_BIAS].fill_(0.5)
    export_network(i2p, tmp_path / "i2p" / "i2p")
    assert bias_after(2e-9) == 0.5
    shown = capsys.readouterr().out
    assert "checkpoint.pt was made with other weights" in shown and "resumed" not in shown and "step 1," in shown


TINY = replace(EMBEDDED_I2P, image_size=(32, 32), encoder_depth=1, decoder_depth=2)
ENCODER_BIAS = "encoder_norm.bias"


class _OfI2p:
    """Trains the correlation head of the exported I2P to be zero."""

    def __init__(self, out: Path) -> None:
        self.model = load_network(ImageToPoints, out / "i2p", "i2p")
        for name, parameter in self.model.named_parameters():
            parameter.requires_grad_(name.startswith("correlation"))

    def loss(self, random: np.random.Generator, progress: float) -> tuple[Tensor, int]:
        trained = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        return torch.stack([parameter.square().sum() for parameter in trained]).sum(), 1

    def validate(self) -> dict[str, float]:
        return {}

    def picture(self) -> Picture:
        return np.zeros((4, 4, 3), np.uint8)

    def export(self, directory: Path) -> None:
        export_network(self.model, directory)


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    """A run's directory after its three stages."""
    for stage, network in (("correlation", "i2p"), ("l2w", "l2w")):
        (tmp_path / stage / network).mkdir(parents=True)
        (tmp_path / stage / network / "config.json").write_text(stage)
        (tmp_path / stage / network / "model.safetensors").write_text(stage)
        (tmp_path / stage / network / "tmpabcd").mkdir()  # of an export that was killed
    return tmp_path


@pytest.mark.parametrize("start", [None, "embedded"])
def test_trained_weights_take_the_thresholds_along_that_fit_them(finished: Path, start: str | None) -> None:
    weights = collect_weights(TrainingConfig(out=finished, start=start))
    assert (weights / "i2p" / "config.json").read_text() == "correlation"
    assert (weights / "l2w" / "config.json").read_text() == "l2w"
    assert {file.name for file in (weights / "i2p").iterdir()} == {"config.json", "model.safetensors"}
    recommended = recommended_settings(find_weights(start or "embedded"))
    assert recommended_settings(weights) == recommended != SlamSettings.of_published_weights()


def test_weights_that_began_without_thresholds_get_none(finished: Path, tmp_path: Path) -> None:
    (finished / "weights").mkdir()
    (finished / "weights" / "settings.yaml").write_text("tracks: true")  # of a run before
    published = tmp_path / "published"
    for network in ("i2p", "l2w"):
        (published / network).mkdir(parents=True)
        (published / network / "config.json").write_text("{}")
        (published / network / "model.safetensors").write_bytes(b"")
    weights = collect_weights(TrainingConfig(out=finished, start=str(published)))
    assert recommended_settings(weights) == SlamSettings.of_published_weights()
