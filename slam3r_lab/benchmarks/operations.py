"""Operations and bytes of every network stage, counted on paper: the floor that measurements are compared with.

A floating point operation is an addition or a multiplication; products of matrices are counted, norms, activations and
rotations are not (under 1 % at the published size). Bytes are those that must move whatever the program does: weights
once a call, inputs and outputs once.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from slam3r_ros.networks.config import NetworkConfig


@dataclass(frozen=True, slots=True)
class Work:
    """What a computation costs at least."""

    operations: float = 0.0
    bytes: float = 0.0

    def __add__(self, other: Work) -> Work:
        return Work(self.operations + other.operations, self.bytes + other.bytes)

    def __mul__(self, factor: float) -> Work:
        return Work(self.operations * factor, self.bytes * factor)


@dataclass(frozen=True, slots=True)
class Workload:
    """How much one round asks of each stage."""

    radius: int
    """Window radius; a window has 2 * radius + 1 views, radius + 1 if only past ones."""
    past_only: bool
    scene_frames: int
    together: int
    """Frames registered in one call."""
    buffer_size: int
    """Candidates of one retrieval."""
    shortlist: int = 0
    """Candidates scored exactly; 0 is all of them."""

    @property
    def sources(self) -> int:
        """Source views of a window."""
        return self.radius if self.past_only else 2 * self.radius

    @property
    def queries(self) -> int:
        """Frames of a round that ask for scene frames: every second."""
        return (self.together + 1) // 2

    @property
    def scored(self) -> int:
        """Candidates of one retrieval that are scored exactly."""
        return min(self.shortlist or self.buffer_size, self.buffer_size)


PUBLISHED = Workload(radius=5, past_only=False, scene_frames=10, together=10, buffer_size=100)
"""The published script's settings at a stride of 20: ten frames registered together."""
ONE_BY_ONE = Workload(radius=5, past_only=False, scene_frames=10, together=1, buffer_size=100)
"""The same at a stride of 1 or 2: every frame is a round."""


@dataclass(frozen=True, slots=True)
class Savings:
    """What a program keeps or leaves out; nothing here changes a result."""

    encode_once: bool = False
    """A frame's tokens are kept; otherwise every window encodes its views."""
    keys_values_once: bool = False
    """Queries, keys and values are made once a view and layer; otherwise once a pair of views."""
    first_layer_kept: bool = False
    """What decoder layer 0 makes of a frame by itself is kept with it."""
    unused_skipped: bool = False
    """The last layer and the head of a side whose points nobody takes are not run."""
    shortlist: bool = False
    """Only the workload's shortlist of the buffer is scored."""


EVERY_SAVING = Savings(**{f.name: True for f in fields(Savings)})


@dataclass(frozen=True, slots=True)
class Count:
    """Counts one pair of networks (of the same decoder) that keeps and leaves out what ``savings`` says."""

    config: NetworkConfig
    savings: Savings = EVERY_SAVING
    bytes_per_value: int = 4

    def encode(self, views: int = 1) -> Work:
        """The encoder on views in one call, with layer 0 of the decoder where that is kept."""
        c = self.config
        pixels = 3 * c.patch_size**2
        block = (4 + 2 * c.mlp_ratio) * c.encoder_width**2
        weights = pixels * c.encoder_width + c.encoder_depth * block
        attention = c.encoder_depth * 4 * c.token_count**2 * c.encoder_width
        tokens = views * c.token_count
        work = Work(2 * tokens * weights + views * attention, self._size(weights + tokens * (pixels + c.encoder_width)))
        return work + (self.embed(views) + self._first_layer(views) * 2 if self.savings.first_layer_kept else Work())

    def embed(self, views: int) -> Work:
        """The decoder's input of views, from their tokens."""
        weights = self.config.encoder_width * self.config.decoder_width
        return Work(2 * self._tokens(views) * weights, self._size(weights + self._tokens(views) * self._width))

    def i2p(self, windows: int, sources: int) -> Work:
        """I2P on windows in one call, for the reference's points."""
        every_view = windows * (sources + 1)
        work = self._decoder(windows, 1, sources, self.config.decoder_depth, need_sources=False)
        work += self._head(windows if self.savings.unused_skipped else every_view)
        if not self.savings.first_layer_kept:
            work += self.embed(every_view)
        return work if self.savings.encode_once else work + self.encode(every_view)

    def correlation(self, queries: int, candidates: int) -> Work:
        """The score of every candidate for every query."""
        c = self.config
        work = self._decoder(queries, 1, candidates, c.correlation_depth, need_references=False, always_skips=True)
        head = self._width**2 + self._width
        work += Work(2 * self._tokens(queries * candidates) * head, self._size(head))
        return work if self.savings.first_layer_kept else work + self.embed(queries * (1 + candidates))

    def l2w(self, scene_frames: int, together: int) -> Work:
        """L2W on frames registered together, for their world points."""
        c = self.config
        work = self._decoder(1, scene_frames, together, c.decoder_depth, need_references=False)
        work += self._head(together if self.savings.unused_skipped else together + scene_frames)
        fresh = together if self.savings.first_layer_kept else together + scene_frames
        work += self.embed(fresh) + self._point_embedding(fresh)
        return work + self._first_layer(together) if self.savings.first_layer_kept else work

    def frame(self, load: Workload) -> Work:
        """Everything for one frame of a round."""
        scored = load.scored if self.savings.shortlist else load.buffer_size
        work = self.i2p(load.together, load.sources) + self.correlation(load.queries, scored)
        work += self.l2w(load.scene_frames, load.together)
        if self.savings.encode_once:
            work += self.encode() * load.together
        if self.savings.first_layer_kept:  # a frame's scene share is made when it enters the buffer: once a round
            work += self.embed(1) + self._point_embedding(1) + self._first_layer(1)
        return work * (1 / load.together)

    # ---- parts

    @property
    def _width(self) -> int:
        return self.config.decoder_width

    def _tokens(self, views: float) -> float:
        return views * self.config.token_count

    def _size(self, values: float) -> float:
        return values * self.bytes_per_value

    def _head(self, views: int) -> Work:
        """A view's points and confidences, always in float32."""
        values = 4 * self.config.patch_size**2
        weights = self._width * values
        return Work(2 * self._tokens(views) * weights, 4 * (weights + self._tokens(views) * values))

    def _point_embedding(self, views: int) -> Work:
        values = 3 * self.config.patch_size**2
        weights = self._width * values
        return Work(2 * self._tokens(views) * weights, 4 * (weights + self._tokens(views) * values))

    def _first_layer(self, views: int) -> Work:
        """Layer 0's share of views of one side: self-attention, queries, keys and values."""
        return self._products(views * 7, weights=7) + self._attentions(views)

    def _products(self, squares: float, weights: float) -> Work:
        """So many products of one view's tokens with a width x width matrix, by so many different matrices."""
        square = self._width**2
        return Work(2 * self.config.token_count * square * squares, self._size(weights * square))

    def _attentions(self, pairs: float) -> Work:
        """So many attentions of one view's tokens to those of one view."""
        return Work(4 * self.config.token_count**2 * self._width * pairs)

    def _decoder(
        self, batch: int, references: int, sources: int, depth: int,
        *, need_references: bool = True, need_sources: bool = True, always_skips: bool = False,
    ) -> Work:  # fmt: skip
        """So many layers of both stacks."""
        total = Work()
        for layer in range(depth):
            is_last = layer == depth - 1 and (self.savings.unused_skipped or always_skips)
            kept = layer == 0 and self.savings.first_layer_kept
            if need_references or not is_last:
                total += self._side(batch * references, batch * sources, references * sources * batch, kept)
            if need_sources or not is_last:
                total += self._side(batch * sources, batch * references, references * sources * batch, kept)
        activations = 2 * self._tokens(batch * (references + sources)) * self._width
        return total + Work(0, self._size(activations))

    def _side(self, views: int, others: int, pairs: int, kept: bool) -> Work:
        """One block on one side's views, facing views of the other side."""
        mlp = 2 * self.config.mlp_ratio
        merge = self._products(pairs + mlp * views, weights=1 + mlp) + self._attentions(pairs)
        if kept:
            return merge
        if self.savings.keys_values_once:
            ask_and_hear = self._products(views + 2 * others, weights=3)
        else:
            ask_and_hear = self._products(3 * pairs, weights=3)
        return merge + ask_and_hear + self._products(4 * views, weights=4) + self._attentions(views)


LADDER: tuple[tuple[str, Savings], ...] = (
    ("the published way, nothing kept between windows", Savings()),
    ("each frame encoded once", Savings(encode_once=True)),
    ("queries, keys and values once a view", Savings(encode_once=True, keys_values_once=True)),
    (
        "layer 0's share kept with the frame",
        Savings(encode_once=True, keys_values_once=True, first_layer_kept=True),
    ),
    (
        "unused last layer and head left out",
        Savings(encode_once=True, keys_values_once=True, first_layer_kept=True, unused_skipped=True),
    ),
    ("shortlist before the exact score", EVERY_SAVING),
)
"""From what the published program does to what the engine does, one saving after the other."""
