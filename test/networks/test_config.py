import json
from dataclasses import replace
from pathlib import Path

import pytest

from slam3r_ros.networks.config import ConfigError, NetworkConfig


def test_absent_keys_take_the_published_sizes() -> None:
    config = NetworkConfig.from_published({})
    assert (config.encoder_width, config.encoder_depth, config.decoder_width, config.decoder_depth) == (
        1024,
        24,
        768,
        12,
    )
    assert config.token_count == 196


def test_a_config_survives_writing_and_reading(golden: Path) -> None:
    config = NetworkConfig.from_file(golden / "networks" / "l2w_config.json")
    assert config.need_encoder is False
    assert config.decoder_heads == 3
    assert "pos_step" not in config.to_published()  # as published, while tokens are one apart
    for each in (config, replace(config, patch_size=8, position_step=0.5)):
        assert NetworkConfig.from_published(json.loads(json.dumps(each.to_published()))) == each


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"head_type": "dpt"}, "head_type"),
        ({"depth_mode": ["linear", 0, 1]}, "depth_mode"),
        ({"mv_dec1": "MultiviewDecoderBlock_mean"}, "mv_dec1"),
        ({"pos_embed": "cosine"}, "pos_embed"),
        ({"enc_embed_dims": 64}, "enc_embed_dims"),
        ({"enc_depth": "many"}, "enc_depth"),
        ({"img_size": [100, 224]}, "img_size"),
        ({"dec_embed_dim": 50}, "decoder width 50"),
        ({"dec_depth": 1}, "corr_depth"),
        ({"pos_step": 0}, "pos_step must be above 0, got 0"),
    ],
)
def test_what_is_not_implemented_is_named(values: dict, named: str) -> None:
    with pytest.raises(ConfigError, match=named.replace("[", r"\[")):
        NetworkConfig.from_published(values)


def test_a_file_that_is_not_json_is_named(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text("{")
    with pytest.raises(ConfigError, match=str(path)):
        NetworkConfig.from_file(path)
    with pytest.raises(ConfigError, match="cannot read"):
        NetworkConfig.from_file(tmp_path / "absent.json")
