"""The published state dicts' names and ours: the only place that knows both."""

from __future__ import annotations

# Each part of a published key, and its name here; parts that are not listed have the same name on both sides.
_PARTS = {
    "patch_embed": "patch_embedding",
    "enc_blocks": "encoder_blocks",
    "enc_norm": "encoder_norm",
    "decoder_embed": "decoder_embedding",
    "mv_dec_blocks1": "reference_blocks",
    "mv_dec_blocks2": "source_blocks",
    "dec_norm": "decoder_norm",
    "downstream_head1": "reference_head",
    "downstream_head2": "source_head",
    "corr_score_norm": "correlation_norm",
    "corr_score_proj": "correlation_head",
    "ponit_embedder": "point_embedding",
    "void_pe_token": "void_token",
    "attn": "self_attention",
    "cross_attn": "cross_attention",
    "projq": "query",
    "projk": "key",
    "projv": "value",
}
_PUBLISHED = {ours: published for published, ours in _PARTS.items()}


def from_published(key: str) -> str:
    """Our name of a published state-dict key."""
    return ".".join(_PARTS.get(part, part) for part in key.split("."))


def to_published(name: str) -> str:
    """The published key of one of our parameters."""
    return ".".join(_PUBLISHED.get(part, part) for part in name.split("."))
