"""Sizes of one network, read from the published ``config.json``."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

# Keys of the published config.json that name an architecture, and the one value of each that is implemented.
_ARCHITECTURE = {
    "head_type": "linear",
    "output_mode": "pts3d",
    "depth_mode": ("exp", -math.inf, math.inf),
    "conf_mode": ("exp", 1, math.inf),
    "mv_dec1": "MultiviewDecoderBlock_max",
    "mv_dec2": "MultiviewDecoderBlock_max",
}
# Keys of the published config.json that say nothing about the network: accepted and not used.
_IGNORED = ("enc_minibatch", "landscape_only", "freeze", "input_type")


class ConfigError(ValueError):
    """A network's config.json asks for something this package does not implement."""


def _setting(published_name: str, default: Any) -> Any:
    return field(default=default, metadata={"published": published_name})


@dataclass(frozen=True, slots=True)
class NetworkConfig:
    """Sizes of an I2P or L2W network; the defaults are those of the published weights."""

    image_size: tuple[int, int] = _setting("img_size", (224, 224))
    """The height and width of the input in pixels; multiples of ``patch_size``."""
    patch_size: int = _setting("patch_size", 16)
    """The side of a patch in pixels; each patch is one token."""
    encoder_width: int = _setting("enc_embed_dim", 1024)
    """The number of channels of a token in the encoder."""
    encoder_depth: int = _setting("enc_depth", 24)
    """The number of the encoder's blocks."""
    encoder_heads: int = _setting("enc_num_heads", 16)
    """The number of attention heads in a block of the encoder."""
    decoder_width: int = _setting("dec_embed_dim", 768)
    """The number of channels of a token in the decoder."""
    decoder_depth: int = _setting("dec_depth", 12)
    """The number of blocks in each of the decoder's two stacks."""
    decoder_heads: int = _setting("dec_num_heads", 12)
    """The number of attention heads in a block of the decoder."""
    mlp_ratio: float = _setting("mlp_ratio", 4.0)
    """The hidden width of a block's MLP over the block's width."""
    rotary_base: float = _setting("pos_embed", 100.0)
    """The base of the rotary position embedding, which is written ``RoPE<base>`` in config.json."""
    position_step: float = _setting("pos_step", 1.0)
    """The distance of neighbouring tokens for the rotary position embedding; in config.json only where it is not 1."""
    need_encoder: bool = _setting("need_encoder", True)
    """Whether the network has an encoder; false for L2W, which takes the tokens of I2P's encoder."""
    correlation_depth: int = _setting("corr_depth", 2)
    """The number of decoder layers that are run for the correlation score, which only I2P has."""

    def __post_init__(self) -> None:
        for name in ("patch_size", "encoder_width", "decoder_width", "encoder_heads", "decoder_heads", "decoder_depth"):
            if getattr(self, name) < 1:
                raise ConfigError(f"network config: {name} must be at least 1, got {getattr(self, name)}")
        if any(side < self.patch_size or side % self.patch_size for side in self.image_size):
            raise ConfigError(
                f"network config: img_size {list(self.image_size)} must be multiples of patch_size {self.patch_size}"
            )
        for part in ("encoder", "decoder"):
            width, heads = getattr(self, f"{part}_width"), getattr(self, f"{part}_heads")
            if width % (4 * heads):
                raise ConfigError(
                    f"network config: {part} width {width} over {heads} heads must be a multiple of 4 "
                    "channels a head (half for rows, half for columns, in pairs)"
                )
        if not 0 < self.position_step < math.inf:
            raise ConfigError(f"network config: pos_step must be above 0, got {self.position_step:g}")
        if not 1 <= self.correlation_depth <= self.decoder_depth:
            raise ConfigError(
                f"network config: corr_depth must be from 1 to the decoder's depth {self.decoder_depth}, "
                f"got {self.correlation_depth}"
            )

    @property
    def grid_size(self) -> tuple[int, int]:
        """The numbers of rows and columns of tokens."""
        return self.image_size[0] // self.patch_size, self.image_size[1] // self.patch_size

    @property
    def token_count(self) -> int:
        """The number of tokens of one view."""
        return self.grid_size[0] * self.grid_size[1]

    @classmethod
    def from_published(cls, values: Mapping[str, Any]) -> NetworkConfig:
        """Read the keyword arguments of a published config.json.

        Raises ConfigError naming the key for an unknown key or an architecture that is not implemented.
        """
        ours = {f.metadata["published"]: f.name for f in fields(cls)}
        arguments: dict[str, Any] = {}
        for key, value in values.items():
            if key in _ARCHITECTURE:
                _check_architecture(key, value)
            elif key in ours:
                arguments[ours[key]] = _parse(key, value)
            elif key not in _IGNORED:
                known = ", ".join(sorted([*ours, *_ARCHITECTURE, *_IGNORED]))
                raise ConfigError(f"network config: unknown key '{key}'; known keys: {known}")
        return cls(**arguments)

    @classmethod
    def from_file(cls, path: Path) -> NetworkConfig:
        """Read a config.json; raises ConfigError naming the file if it is not one."""
        try:
            values = json.loads(path.read_text())
        except OSError as error:
            raise ConfigError(f"network config: cannot read {path}: {error.strerror}") from error
        except ValueError as error:
            raise ConfigError(f"network config: {path} is not JSON: {error}") from error
        if not isinstance(values, dict):
            raise ConfigError(f"network config: {path} must hold a JSON object, got {type(values).__name__}")
        return cls.from_published(values)

    def to_published(self) -> dict[str, Any]:
        """The keyword arguments as a published config.json holds them."""
        values = {f.metadata["published"]: getattr(self, f.name) for f in fields(self)}
        values["img_size"] = list(self.image_size)
        values["pos_embed"] = f"RoPE{self.rotary_base:g}"
        if not self.need_encoder:
            del values["corr_depth"]
        if self.position_step == 1:
            del values["pos_step"]
        return values | {key: list(v) if isinstance(v, tuple) else v for key, v in _ARCHITECTURE.items()}


def _check_architecture(key: str, value: Any) -> None:
    got = tuple(value) if isinstance(value, list) else value
    if got != _ARCHITECTURE[key]:
        raise ConfigError(f"network config: {key} = {value!r} is not implemented; only {_ARCHITECTURE[key]!r} is")


def _parse(key: str, value: Any) -> Any:
    """One value of config.json in our type, or ConfigError naming the key."""
    try:
        if key == "img_size":
            height, width = (value, value) if isinstance(value, int) else value
            return int(height), int(width)
        if key == "pos_embed":
            if not str(value).startswith("RoPE"):
                raise ConfigError(f"network config: pos_embed = {value!r} is not implemented; only 'RoPE<base>' is")
            return float(str(value)[4:])
        if key == "patch_size" and isinstance(value, list):
            height, width = value
            if height != width:
                raise ConfigError(f"network config: patch_size must be square, got {value}")
            return int(height)
        if key == "need_encoder":
            return bool(value)
        return float(value) if key in ("mlp_ratio", "pos_step") else int(value)
    except (TypeError, ValueError) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(f"network config: {key} = {value!r} is not a valid value") from error
