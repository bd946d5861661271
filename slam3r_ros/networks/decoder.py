"""The multi-view decoder that I2P and L2W share (SLAM3R, arXiv 2412.09401, section 3.2): two stacks and two heads.

As in DUSt3R (arXiv 2312.14132), one stack of blocks is for reference views and one for source views, each layer attends
to the other stack's last layer, and heads regress a point and a confidence for each pixel. In SLAM3R each side may have
any number of views: a block attends to each view of the other side by itself, and takes the maximum of what it gets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from slam3r_ros.networks.attention import AttentionLoad, attention_function
from slam3r_ros.networks.blocks import (
    NORM_EPSILON,
    CrossAttention,
    DecoderBlock,
    EncoderBlock,
    LayerActivations,
    SelfAttention,
    linear,
    normalise,
)
from slam3r_ros.networks.config import NetworkConfig
from slam3r_ros.networks.rotary import RotaryEmbedding

if TYPE_CHECKING:
    from torch.nn.modules.module import _IncompatibleKeys

Network = TypeVar("Network", bound="MultiviewNetwork")


@dataclass(frozen=True, slots=True, eq=False)
class Pointmaps:
    """Points and confidences of some views, as a network gives them."""

    points: Tensor
    """The point of each pixel, (batch, views, height, width, 3) float32, in the reference's coordinates."""
    confidence: Tensor
    """The confidence of each point, (batch, views, height, width) float32, above 1."""

    @property
    def tensors(self) -> tuple[Tensor, Tensor]:
        """Points and confidence, in this order."""
        return self.points, self.confidence


class PointHead(nn.Module):
    """Linear head: each token to its patch of points and confidences; always in float32."""

    def __init__(self, width: int, patch_size: int) -> None:
        super().__init__()
        self.patch_size = patch_size
        self.proj = nn.Linear(width, 4 * patch_size**2)

    def forward(self, x: Tensor, grid_size: tuple[int, int]) -> Pointmaps:
        """The pointmaps of views (batch, views, tokens, width).

        A pixel's four outputs v (3) and c give the point v / |v| * (exp(|v|) - 1) and the confidence 1 + exp(c), as in
        DUSt3R.
        """
        if x.device.type in ("cpu", "cuda") and torch.is_autocast_enabled(x.device.type):  # in training
            with torch.autocast(x.device.type, enabled=False):
                return self._pointmaps(x.float(), grid_size)
        return self._pointmaps(x.float(), grid_size)

    def _pointmaps(self, x: Tensor, grid_size: tuple[int, int]) -> Pointmaps:
        by_channel = linear(self.proj, x).view(*x.shape[:-1], 4, self.patch_size**2)
        vector, confidence = by_channel[..., :3, :], by_channel[..., 3:, :].exp() + 1
        squares = vector.square()
        squared = squares[..., :1, :] + squares[..., 1:2, :] + squares[..., 2:, :]  # a sum over so few is slow
        distance = squared.clamp(min=1e-16).sqrt()
        points = vector * (torch.expm1(distance) / distance)
        return Pointmaps(self._image(points, grid_size), self._image(confidence, grid_size)[..., 0])

    def _image(self, patches: Tensor, grid_size: tuple[int, int]) -> Tensor:
        """(batch, views, tokens, channels, patch * patch) to (batch, views, height, width, channels)."""
        (batch, views, _, channels, _), (rows, columns), patch = patches.shape, grid_size, self.patch_size
        by_pixel = patches.view(batch, views, rows, columns, channels, patch, patch).permute(0, 1, 2, 5, 3, 6, 4)
        return by_pixel.reshape(batch, views, rows * patch, columns * patch, channels)


def tokens_of_patches(images: Tensor, convolution: nn.Conv2d) -> Tensor:
    """A convolution whose stride is its kernel's size, as one matrix product: each patch is a token.

    (batch, channels, height, width) to (batch, tokens, out channels), with the convolution's weights.
    """
    patch = convolution.kernel_size[0]
    patches = images.unflatten(-1, (-1, patch)).unflatten(-3, (-1, patch)).movedim((2, 4), (1, 2))
    return functional.linear(patches.flatten(3).flatten(1, 2), convolution.weight.flatten(1), convolution.bias)


class PatchEmbedding(nn.Module):
    """Convolution that turns each patch of an image (batch, channels, height, width) into a token."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, config.encoder_width, config.patch_size, config.patch_size)

    def forward(self, images: Tensor) -> Tensor:
        """(batch, 3, height, width) to (batch, tokens, width)."""
        return tokens_of_patches(images, self.proj)


def _plus(x: Tensor, embedding: Tensor | None) -> Tensor:
    return x if embedding is None else x + embedding.reshape(x.shape)


class MultiviewNetwork(nn.Module):
    """Encoder (where the config asks for it), decoder and heads: the parts that I2P and L2W have in common."""

    encoder_rotary: RotaryEmbedding
    """The rotary position embedding of the encoder's heads; only where the network has an encoder."""
    decoder_rotary: RotaryEmbedding
    """The rotary position embedding of the decoder's heads."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        width, heads, ratio = config.decoder_width, config.decoder_heads, config.mlp_ratio
        self.patch_embedding = PatchEmbedding(config)  # in L2W's file too, where nothing uses it
        if config.need_encoder:
            self.encoder_blocks = nn.ModuleList(
                EncoderBlock(config.encoder_width, config.encoder_heads, ratio) for _ in range(config.encoder_depth)
            )
        self.encoder_norm = nn.LayerNorm(config.encoder_width, eps=NORM_EPSILON)
        self.decoder_embedding = nn.Linear(config.encoder_width, width)
        self.reference_blocks = nn.ModuleList(DecoderBlock(width, heads, ratio) for _ in range(config.decoder_depth))
        self.source_blocks = nn.ModuleList(DecoderBlock(width, heads, ratio) for _ in range(config.decoder_depth))
        self.decoder_norm = nn.LayerNorm(width, eps=NORM_EPSILON)
        self.reference_head = PointHead(width, config.patch_size)
        self.source_head = PointHead(width, config.patch_size)
        if self.device.type != "meta":  # else whoever loads the weights does it
            self.make_rotary()

    def make_rotary(self) -> None:
        """Compute the rotary tables, which no file holds, on the weights' device."""
        config = self.config
        for part, width, heads in (
            ("encoder", config.encoder_width, config.encoder_heads),
            ("decoder", config.decoder_width, config.decoder_heads),
        ):
            if part == "decoder" or config.need_encoder:
                rotary = RotaryEmbedding(config.grid_size, width // heads, config.rotary_base, config.position_step)
                setattr(self, f"{part}_rotary", rotary.to(self.device))

    @property
    def dtype(self) -> torch.dtype:
        """The precision in which the network computes; its heads are in float32 whatever it is."""
        return self.decoder_embedding.weight.dtype

    def use_precision(self, dtype: torch.dtype) -> None:
        """Compute in ``dtype``, but keep in float32 what turns tokens to points and points to tokens, to the bit."""
        self._undo_preparation()
        for name, part in self.named_children():
            part.to(torch.float32 if name in ("reference_head", "source_head", "point_embedding") else dtype)
        for parameter in self.parameters(recurse=False):
            parameter.data = parameter.data.to(dtype)

    @property
    def device(self) -> torch.device:
        """The device of the network's weights."""
        return self.decoder_embedding.weight.device

    def use_attention(self, backend: str) -> None:
        """Compute every attention with ``backend``, for the present precision and device.

        Raises BackendError naming the valid choices.
        """
        config = self.config
        head_width = config.decoder_width // config.decoder_heads
        load = AttentionLoad(self.dtype, config.token_count, config.decoder_heads, head_width)
        function = attention_function(backend, self.device, load)
        for module in self.modules():
            if isinstance(module, (SelfAttention, CrossAttention)):
                module.attention = function

    def decoder_tokens(self, tokens: Tensor) -> Tensor:
        """The decoder's input (..., tokens, decoder width) from the encoder's tokens before its norm."""
        return linear(self.decoder_embedding, normalise(self.encoder_norm, tokens.to(self.dtype)))

    def prepare_for_inference(self) -> None:
        """Prepare a network that is loaded for many calls: plain attributes, and one product for keys and values.

        All parts and weights become plain attributes, which Python finds without the function `nn.Module.__getattr__`;
        a small network looks up several hundred of them in a call, which takes about 4 % of its time on a CPU. Another
        device, precision or state dict undoes this; single weights may be changed in place afterwards, not replaced.
        """
        for module in self.modules():
            if isinstance(module, CrossAttention):
                module.join_keys_values()
        for module in self.modules():
            module.__dict__.update({**module._parameters, **module._buffers, **module._modules})

    def _undo_preparation(self) -> None:
        for module in self.modules():
            if isinstance(module, CrossAttention):
                module.separate_keys_values()
            for name in (*module._parameters, *module._buffers, *module._modules):
                module.__dict__.pop(name, None)

    def _apply(self: Network, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Network:
        self._undo_preparation()
        return super()._apply(fn, recurse)

    def load_state_dict(
        self, state_dict: Mapping[str, Tensor], strict: bool = True, assign: bool = False
    ) -> _IncompatibleKeys:
        """As of `nn.Module`; undoes `prepare_for_inference`."""
        self._undo_preparation()
        return super().load_state_dict(state_dict, strict, assign)

    def layers(self) -> Iterator[tuple[DecoderBlock, DecoderBlock]]:
        """The decoder's layers, each as its block of the reference views and its block of the source views."""
        for reference_block, source_block in zip(self.reference_blocks, self.source_blocks, strict=True):
            assert isinstance(reference_block, DecoderBlock) and isinstance(source_block, DecoderBlock)
            yield reference_block, source_block

    def layer(self, index: int) -> tuple[DecoderBlock, DecoderBlock]:
        """Decoder layer ``index``, as its block of the reference views and its block of the source views."""
        reference_block, source_block = self.reference_blocks[index], self.source_blocks[index]
        assert isinstance(reference_block, DecoderBlock) and isinstance(source_block, DecoderBlock)
        return reference_block, source_block

    def reference_activations(self, x: Tensor) -> LayerActivations:
        """Layer-0 activations of reference views, whose decoder input is (..., tokens, decoder width).

        They depend on each view alone, so they can be kept with a frame.
        """
        return self._layer_activations(x, *self.layer(0))

    def source_activations(self, x: Tensor) -> LayerActivations:
        """Layer-0 activations of source views, whose decoder input is (..., tokens, decoder width).

        They depend on each view alone, so they can be kept with a frame.
        """
        return self._layer_activations(x, *reversed(self.layer(0)))

    def _layer_activations(self, x: Tensor, own: DecoderBlock, other: DecoderBlock) -> LayerActivations:
        """Layer-0 activations of views (..., tokens, width), with the blocks of their own side and of the other one."""
        flat, rotary = x.flatten(0, -3), self.decoder_rotary
        activations = LayerActivations(*own.attend(flat, rotary), *other.keys_values(flat, rotary))
        return activations if x.ndim == 3 else activations.unflatten(x.shape[:-2])

    def run_layers(
        self,
        references: LayerActivations,
        sources: LayerActivations,
        *,
        depth: int,
        reference_embedding: Tensor | None = None,
        source_embedding: Tensor | None = None,
        need_references: bool = True,
        need_sources: bool = True,
    ) -> tuple[Tensor, Tensor]:
        """Outputs (batch, views, tokens, width) of both sides after ``depth`` layers, from layer-0 activations.

        The embeddings (batch, views, tokens, width), where given, are added to every later layer's input; the layer-0
        activations hold them already. Of a side that is not needed the last layer is not run: its output is that of
        the layer before.
        """
        rotary, batch = self.decoder_rotary, references.features.shape[0]
        shapes = references.features.shape, sources.features.shape
        reference, source = references.flatten(), sources.flatten()
        reference_x, source_x = reference.features, source.features
        reference_inputs = (reference.features, reference.queries, source.keys, source.values)
        source_inputs = (source.features, source.queries, reference.keys, reference.values)
        for number, (reference_block, source_block) in zip(range(depth), self.layers(), strict=False):
            run_references = need_references or number < depth - 1
            run_sources = need_sources or number < depth - 1
            if number > 0:
                reference_x = _plus(reference_x, reference_embedding)
                source_x = _plus(source_x, source_embedding)
                if run_references:
                    reference_inputs = (
                        *reference_block.attend(reference_x, rotary),
                        *reference_block.keys_values(source_x, rotary),
                    )
                if run_sources:
                    source_inputs = (
                        *source_block.attend(source_x, rotary),
                        *source_block.keys_values(reference_x, rotary),
                    )
            if run_references:
                reference_x = reference_block.forward(*reference_inputs, batch)
            if run_sources:
                source_x = source_block.forward(*source_inputs, batch)
        return reference_x.view(shapes[0]), source_x.view(shapes[1])

    def reference_pointmaps(self, x: Tensor) -> Pointmaps:
        """Pointmaps of reference views from the decoder's output (batch, views, tokens, width)."""
        return self.reference_head.forward(normalise(self.decoder_norm, x), self.config.grid_size)

    def source_pointmaps(self, x: Tensor) -> Pointmaps:
        """Pointmaps of source views from the decoder's output (batch, views, tokens, width)."""
        return self.source_head.forward(normalise(self.decoder_norm, x), self.config.grid_size)
