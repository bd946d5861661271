"""What the worker does when engine or publishers fail."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest
from outputs_harness import FRAME_VALUE, Scene, moved, update
from ros_harness import FRAME

from slam3r_ros.ros.input.frame_builder import ReadyFrame
from slam3r_ros.ros.pipeline import slam_runner as mapping_module
from slam3r_ros.ros.pipeline.counters import Counters
from slam3r_ros.ros.pipeline.slam_runner import PublishingError, SlamRunner, SlamRunnerEvents
from slam3r_ros.types import MapUpdate, SlamStatus


class Engine:
    """Does with each frame what it is told to."""

    listener: Callable[[MapUpdate], None]

    def __init__(self, does: Callable[[], object]) -> None:
        self._does = does
        self.is_unsettled = False

    def settle(self, *, wait: bool) -> None:
        assert not wait
        self.is_unsettled = False
        self._does()

    def push(self, *_: object) -> None:
        self._does()
        self.listener(update(moved()))

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
    mapping = SlamRunner(engine, outputs, scene.notices, SlamRunnerEvents(lambda: 0, lambda: None), counters)  # type: ignore[arg-type]
    mapping.process([ReadyFrame(FRAME_VALUE, 0, FRAME, 0)])
    assert counters.rejected == 1 and mapping.newest_stamp_ns == 0
    mapping.process([ReadyFrame(FRAME_VALUE, 1, FRAME, 0)])
    assert counters.rejected == 1 and mapping.newest_stamp_ns == FRAME_VALUE.stamp_ns
    outputs.destroy()


def test_a_message_that_cannot_be_published_is_not_blamed_on_the_image(scene: Scene) -> None:
    counters, engine = Counters(), Engine(lambda: None)
    mapping = SlamRunner(engine, Broken(), scene.notices, SlamRunnerEvents(lambda: 0, lambda: None), counters)  # type: ignore[arg-type]
    with pytest.raises(PublishingError, match="no publisher"):
        mapping.process([ReadyFrame(FRAME_VALUE, 0, FRAME, 0)])
    assert counters.rejected == 0


def test_a_keyframe_whose_points_are_lost_is_told_and_the_next_image_mapped(scene: Scene) -> None:
    counters, failing = Counters(), [True, False]
    small, outputs = np.zeros((2, 2), np.uint8), scene.outputs()
    engine = Engine(lambda: cv2.cvtColor(small, cv2.COLOR_RGB2GRAY) if failing.pop(0) else None)
    mapping = SlamRunner(engine, outputs, scene.notices, SlamRunnerEvents(lambda: 0, lambda: None), counters)  # type: ignore[arg-type]
    assert not mapping.is_unsettled
    engine.is_unsettled = True
    assert mapping.is_unsettled
    mapping.settle()
    assert not mapping.is_unsettled and "points are lost: error: OpenCV" in scene.notices.newest.text
    mapping.process([ReadyFrame(FRAME_VALUE, 1, FRAME, 0)])
    assert counters.rejected == 0 and mapping.newest_stamp_ns == FRAME_VALUE.stamp_ns
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
    mapping = SlamRunner(engine, outputs, scene.notices, SlamRunnerEvents(lambda: 0, lambda: None), Counters())
    mapping.process([ReadyFrame(FRAME_VALUE, 0, FRAME, 0)])
    mapping.save("map.ply")
    assert [path for _, path, _ in saved] == ["map.ply"]
    assert "the last frames are lost: RuntimeError: CUDA error" in scene.notices.newest.text
    outputs.destroy()
