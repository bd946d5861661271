"""The keyframe buffer: the keyframes that stand for the scene (SLAM3R section 3.3, supplement A: buffering set)."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import fields, replace

import numpy as np
import torch
from torch import Tensor

from slam3r_ros.device.host_transfer import to_device
from slam3r_ros.engine.local_to_world_stage import LocalToWorldStage
from slam3r_ros.engine.retrieval import Candidates, describe
from slam3r_ros.engine.tuning import TUNING
from slam3r_ros.loop_closure.correction import MapCorrection
from slam3r_ros.networks.blocks import LayerActivations
from slam3r_ros.settings import KeyframeSettings
from slam3r_ros.types import HostPointmaps, RegisteredFrame, SceneInput

_NO_NUMBERS = np.empty(0, np.float32)
_NOTHING = HostPointmaps(_NO_NUMBERS, _NO_NUMBERS, _NO_NUMBERS, _NO_NUMBERS, np.empty(0, np.bool_))


class TensorPool:
    """Groups of tensors side by side, one group a slot, so that one can be replaced without touching the rest."""

    def __init__(self, capacity: int | None) -> None:
        """There are never more than ``capacity`` slots, if it is given."""
        self._capacity = capacity
        self._stored: list[Tensor] = []

    def write(self, slot: int, values: Sequence[Tensor]) -> None:
        """Store ``values``, always of the same shapes, in ``slot``, at most one above the highest so far."""
        if not self._stored:
            self._stored = [self._allocate(TUNING.first_buffer_slots, value) for value in values]
        for number, (full, value) in enumerate(zip(self._stored, values, strict=True)):
            if slot >= len(full):  # asked of each: memory may have run out between two
                larger = self._allocate(2 * len(full), value)
                larger[: len(full)] = full
                self._stored[number] = larger
        for stored, value in zip(self._stored, values, strict=True):
            stored[slot] = value

    def first(self, count: int) -> list[Tensor]:
        """The first ``count`` slots (count, ...), not copied."""
        return [stored[:count] for stored in self._stored]

    def take(self, slots: Sequence[int]) -> list[Tensor]:
        """These slots (slots, ...), copied."""
        index = to_device(np.array(slots), self._stored[0].device)
        return [stored[index] for stored in self._stored]

    def keep(self, slots: Sequence[int]) -> None:
        """Keep only these slots, ascending, as 0, 1 ...; there are never more than so many from now on."""
        self._capacity = len(slots)
        for number, stored in enumerate(self._stored):
            for target, source in enumerate(slots):
                stored[target] = stored[source]
            with suppress(torch.OutOfMemoryError):  # a copy, so that the memory behind is given back
                self._stored[number] = stored[: len(slots)].clone()

    def _allocate(self, count: int, value: Tensor) -> Tensor:
        return value.new_empty((min(count, self._capacity or count), *value.shape))


class KeyframeBuffer:
    """Keyframes for retrieval; of every finished interval of ``stride`` images of the camera the best frame may enter.

    What retrieval and registration take of a keyframe is computed when it enters and stays in its slot until another
    one takes that: nothing is copied or computed for the rest.
    """

    def __init__(
        self, initial: Sequence[RegisteredFrame], stride: int, settings: KeyframeSettings, registrar: LocalToWorldStage
    ) -> None:
        size = settings.buffer_size
        if size > 0:
            size = max(size, len(initial))
        self._settings = replace(settings, buffer_size=size)
        self._stride = stride
        self._registrar = registrar
        self._random = np.random.RandomState(settings.seed)
        self._keyframes: list[RegisteredFrame] = []
        self._slots: list[int] = []  # in the buffer's order
        capacity = size if size > 0 else None
        self._for_retrieval, self._for_registration = TensorPool(capacity), TensorPool(capacity)
        self._kept = TensorPool(capacity)
        # The frames that may be the best of their interval, by its first image.
        self._proposed: dict[int, list[RegisteredFrame]] = {}
        # Frames whose points are still to be moved as a loop was closed, in this order.
        self._uncorrected: list[tuple[int, MapCorrection]] = []
        # Keyframes that have entered and have not been returned by `propose`.
        self._inserted: list[RegisteredFrame] = []
        self._intervals_seen = len(initial)
        self._last_source = initial[-1].local.frame.source_index
        self._interval_begins = self._last_source + 1
        for slot, keyframe in enumerate(initial):
            self._insert(keyframe, registrar.scene_input([keyframe]), slot)

    def __len__(self) -> int:
        return len(self._keyframes)

    def __getitem__(self, position: int) -> RegisteredFrame:
        """A keyframe with its tokens and world points, valid until the buffer changes; its other tensors are empty."""
        keyframe, slot = self._keyframes[position], self._slots[position]
        tokens, points_world = (stored[slot] for stored in self._kept.first(len(self)))
        local = replace(keyframe.local, frame=replace(keyframe.local.frame, tokens=tokens))
        return replace(keyframe, local=local, points_world=points_world)

    @property
    def indices(self) -> tuple[int, ...]:
        """Frame index of every keyframe, in the buffer's order."""
        return tuple(keyframe.index for keyframe in self._keyframes)

    @property
    def candidates(self) -> Candidates:
        """What retrieval takes of the keyframes."""
        descriptors, *layer = self._for_retrieval.first(len(self))
        return Candidates(self.indices, tuple(self._slots), LayerActivations(*layer), descriptors)

    def scene(self, positions: Sequence[int]) -> SceneInput:
        """What L2W takes of the keyframes at these positions in the buffer's order: (positions, ...)."""
        embedding, *layer = self._for_registration.take([self._slots[position] for position in positions])
        return SceneInput(embedding, LayerActivations(*layer))

    def propose(self, registered: Sequence[RegisteredFrame], usable: Sequence[bool]) -> list[RegisteredFrame]:
        """Take note of newly registered frames, in order; those not ``usable`` never enter. Returns what entered, with
        what had entered before memory ran out in an earlier call.
        """
        for keyframe, good in zip(registered, usable, strict=True):
            self._record(keyframe, good)
        ends = registered[-1].local.frame.source_index + 1 if registered else self._interval_begins
        if ends - self._interval_begins >= self._settings.interval * self._stride:
            while ends - self._interval_begins >= self._stride:
                interval = self._proposed.pop(self._interval_begins, None)
                self._interval_begins += self._stride
                if interval is not None:
                    self._inserted += self._insert_best(interval)
        entered, self._inserted = self._inserted, []
        return entered

    def _record(self, keyframe: RegisteredFrame, usable: bool) -> None:
        """Keep a frame, if it is usable, until its interval ends, and forget earlier ones of lower score: whichever the
        first one is that may enter, they are no longer the best."""
        later = max(0, keyframe.local.frame.source_index - self._interval_begins)
        interval = self._proposed.setdefault(self._interval_begins + later // self._stride * self._stride, [])
        if usable:
            while interval and _score(interval[-1]) < _score(keyframe):
                del interval[-1]
            interval.append(keyframe)

    def _insert_best(self, interval: Sequence[RegisteredFrame]) -> list[RegisteredFrame]:
        """Let the best frame of a finished interval enter, if the strategy says so."""
        self._intervals_seen += 1
        size = self._settings.buffer_size
        nearest = self._last_source + 3 * self._stride // 4
        far_enough = [keyframe for keyframe in interval if keyframe.local.frame.source_index >= nearest]
        if not far_enough:
            return []
        is_full = 0 < size <= len(self._keyframes)
        is_reservoir = self._settings.strategy == "reservoir"
        if is_full and is_reservoir and self._random.random_sample() >= size / self._intervals_seen:
            return []
        best = max(far_enough, key=_score)
        scene = self._registrar.scene_input([best])  # may run out of memory: then nothing has changed
        slot = len(self)
        if is_full:  # never the one that enters now
            dropped = self._random.randint(size) if is_reservoir else 0
            slot = self._slots.pop(dropped)
            del self._keyframes[dropped]
        self._insert(best, scene, slot)
        self._last_source = best.local.frame.source_index
        return [best]

    def correct(self, correction: MapCorrection) -> None:
        """Move all keyframes as a closed loop says: their poses now, their points in `apply_corrections`."""
        waiting = [keyframe.index for interval in self._proposed.values() for keyframe in interval]
        self._uncorrected += [(index, correction) for index in (*self.indices, *waiting)]
        self._keyframes = [_corrected(keyframe, correction) for keyframe in self._keyframes]
        for interval in self._proposed.values():
            interval[:] = [_corrected(keyframe, correction) for keyframe in interval]

    def apply_corrections(self) -> None:
        """Move points that are behind their poses, and compute again what follows from them; to be called before any of
        that is asked for. May run out of memory: what has been moved stays so, and the next call goes on from there."""
        while self._uncorrected:
            self._move_points(*self._uncorrected[0])
            del self._uncorrected[0]

    def _move_points(self, index: int, correction: MapCorrection) -> None:
        """Move one keyframe's points, all or none of what depends on them; none if it has left."""
        if index in self.indices:
            position = self.indices.index(index)
            keyframe, slot = self[position], self._slots[position]
            keyframe = replace(keyframe, points_world=_moved(keyframe, correction))
            scene = self._registrar.scene_input([keyframe])  # may run out of memory: then nothing has changed
            self._for_registration.write(slot, [scene.embedding[0], *_tensors(scene.layer[0])])
            self._kept.write(slot, [keyframe.local.frame.tokens, keyframe.points_world])
        for interval in self._proposed.values():
            for number, keyframe in enumerate(interval):
                if keyframe.index == index:
                    interval[number] = replace(keyframe, points_world=_moved(keyframe, correction))

    def shrink(self) -> int:
        """Keep half of the keyframes, and never more from now on; returns how many, 0 where there are too few.

        Which ones is for the strategy to say: some at random, or the newest.
        """
        count, size = len(self), len(self) // 2
        if size < TUNING.min_buffer_keyframes:
            return 0
        kept = np.arange(count - size, count).tolist()
        if self._settings.strategy == "reservoir":
            kept = np.sort(self._random.choice(count, size, replace=False)).tolist()
        slots = sorted(self._slots[position] for position in kept)
        for stored in (self._for_retrieval, self._for_registration, self._kept):
            stored.keep(slots)
        self._slots = [slots.index(self._slots[position]) for position in kept]
        self._keyframes = [self._keyframes[position] for position in kept]
        self._settings = replace(self._settings, buffer_size=size)
        return size

    def _insert(self, keyframe: RegisteredFrame, scene: SceneInput, slot: int) -> None:
        """Store a keyframe as the newest."""
        frame = keyframe.local.frame
        self._for_retrieval.write(slot, [describe(frame.tokens), *_tensors(frame.source_activations)])
        self._for_registration.write(slot, [scene.embedding[0], *_tensors(scene.layer[0])])
        self._kept.write(slot, [frame.tokens, keyframe.points_world])
        self._slots.append(slot)
        self._keyframes.append(_without_tensors(keyframe))


def _corrected(keyframe: RegisteredFrame, correction: MapCorrection) -> RegisteredFrame:
    """The keyframe with its pose moved."""
    return replace(keyframe, pose=correction.of_pose(keyframe.index, keyframe.pose))


def _moved(keyframe: RegisteredFrame, correction: MapCorrection) -> Tensor:
    """(H, W, 3) a keyframe's world points, moved; those of exactly zero are invalid and stay."""
    points, moved = keyframe.points_world, correction.of_frames(np.array([keyframe.index]))[0]
    parts = (moved.scale * moved.rotation, moved.translation)
    matrix, shift = (to_device(each.astype(np.float32), points.device) for each in parts)
    return torch.where(points.any(dim=-1, keepdim=True), points @ matrix.T + shift, points)


def _tensors(layer: LayerActivations) -> list[Tensor]:
    return [getattr(layer, field.name) for field in fields(layer)]


def _without_tensors(keyframe: RegisteredFrame) -> RegisteredFrame:
    """The keyframe without what its slots hold and what nothing needs any more.

    Tensors that stay for a long while between ones that come and go would also break up the process's memory.
    """
    frame, empty = keyframe.local.frame, keyframe.confidence.new_empty(0)
    nothing = LayerActivations(empty, empty, empty, empty)
    frame = replace(
        frame,
        image=frame.image[:0].copy(),
        tokens=empty,
        reference_activations=nothing,
        source_activations=nothing,
        working=None,
    )
    local = replace(
        keyframe.local, frame=frame, points_camera=empty, confidence=empty, valid=empty, points_normalised=empty
    )
    return replace(keyframe, local=local, points_world=empty, confidence=empty, on_host=_NOTHING)


def _score(keyframe: RegisteredFrame) -> float:
    """How much a keyframe is worth keeping: product of both networks' normalised mean confidence."""
    world, local = keyframe.mean_confidence, keyframe.local_mean_confidence
    return (world - 1) / world * (local - 1) / local
