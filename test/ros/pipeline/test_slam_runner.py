"""What the mapping thread does when engine or publishers fail."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest
from outputs_harness import Scene, moved, ready_frame, update
from ros_harness import FIRST_NS

from slam3r_ros.engine.events import OnUpdate
from slam3r_ros.engine.slam_status import SlamStatus
from slam3r_ros.ros.pipeline import slam_runner as mapping_module
from slam3r_ros.ros.pipeline.slam_runner import NodeCallbacks, PublishingError, SlamRunner
from slam3r_ros.ros.threads.counters import Counters


class Engine:
    """Does with each frame what it is told to."""

    on_update: OnUpdate

    def __init__(self, does: Callable[[], object]) -> None:
        self._does = does
        self.is_localized = True
        self.has_pending = False

    def finish_pending(self, *, wait: bool) -> None:
        assert not wait
        self.has_pending = False
        self._does()

    def push(self, *_: object) -> None:
        self._does()
        self.on_update(update(moved()))

    def observe_scale(self, _: object) -> None:
        pass

    def status(self) -> SlamStatus:
        return SlamStatus()


class Broken:
    """Outputs that cannot publish."""

    def publish(self, *_: object) -> bool:
        raise RuntimeError("no publisher")

    def publish_due(self, _: object) -> None:
        pass


def test_an_image_that_opencv_cannot_take_is_refused_and_the_next_one_mapped(scene: Scene) -> None:
    counters, failing = Counters(), [True, False]
    small = np.zeros((2, 2), np.uint8)
    engine = Engine(lambda: cv2.cvtColor(small, cv2.COLOR_RGB2GRAY) if failing.pop(0) else None)
    outputs = scene.outputs()
    mapping = SlamRunner(engine, outputs, scene.log, NodeCallbacks(lambda: 0, lambda: None), counters)  # type: ignore[arg-type]
    mapping.process([ready_frame(0)])
    assert counters.rejected == 1 and mapping.newest_stamp_ns == 0
    mapping.process([ready_frame(1)])
    assert counters.rejected == 1 and mapping.newest_stamp_ns == FIRST_NS
    outputs.destroy()


def test_a_message_that_cannot_be_published_is_not_blamed_on_the_image(scene: Scene) -> None:
    counters, engine = Counters(), Engine(lambda: None)
    mapping = SlamRunner(engine, Broken(), scene.log, NodeCallbacks(lambda: 0, lambda: None), counters)  # type: ignore[arg-type]
    with pytest.raises(PublishingError, match="no publisher"):
        mapping.process([ready_frame(0)])
    assert counters.rejected == 0


def test_a_keyframe_whose_points_are_lost_is_told_and_the_next_image_mapped(scene: Scene) -> None:
    counters, failing = Counters(), [True, False]
    small, outputs = np.zeros((2, 2), np.uint8), scene.outputs()
    engine = Engine(lambda: cv2.cvtColor(small, cv2.COLOR_RGB2GRAY) if failing.pop(0) else None)
    mapping = SlamRunner(engine, outputs, scene.log, NodeCallbacks(lambda: 0, lambda: None), counters)  # type: ignore[arg-type]
    assert not mapping.has_pending
    engine.has_pending = True
    assert mapping.has_pending
    mapping.finish_pending()
    assert not mapping.has_pending and "points are lost: error: OpenCV" in scene.log.newest.text
    mapping.process([ready_frame(1)])
    assert counters.rejected == 0 and mapping.newest_stamp_ns == FIRST_NS
    outputs.destroy()


def test_an_engine_that_fails_at_the_end_of_the_stream_does_not_keep_the_map_from_being_saved(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    outputs, saved = scene.outputs(), []
    engine: Any = Engine(lambda: None)

    def flush() -> None:
        raise RuntimeError("CUDA error")

    engine.flush = flush
    monkeypatch.setattr(mapping_module, "save_map", lambda *arguments: saved.append(arguments))
    mapping = SlamRunner(engine, outputs, scene.log, NodeCallbacks(lambda: 0, lambda: None), Counters())
    mapping.process([ready_frame(0)])
    mapping.save("map.ply")
    assert [path for _, path, _ in saved] == ["map.ply"]
    assert "the last frames are lost: RuntimeError: CUDA error" in scene.log.newest.text
    outputs.destroy()
