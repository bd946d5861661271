"""Memory that is full at any stage, made up: the node says so, maps on and saves its map."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from rclpy.context import Context
from ros_harness import FIRST_NS, PERIOD_NS, running_node, wait_until

from slam3r_ros.io.ply import read_ply
from slam3r_ros.ros.input import frame_builder

FIRST, FAILING, LATER = 8, 3, 8
CUDA = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
CPU = RuntimeError("[enforce fail at alloc_cpu.cpp:127] . DefaultCPUAllocator: can't allocate memory: you tried to ...")
NUMPY = MemoryError("Unable to allocate 3.0 GiB for an array")
STAGES: dict[str, Callable[[Any], tuple[Any, str]]] = {
    "encoder": lambda slam: (slam.encoder, "encode"),
    "I2P": lambda slam: (slam._image_to_points, "estimate"),
    "retrieval": lambda slam: (slam._scene_frames, "choose"),
    "L2W": lambda slam: (slam._local_to_world, "register"),
    "pose": lambda slam: (slam._mapping._localization, "localize"),
    "map": lambda slam: (slam._map_state, "add"),
}


@pytest.mark.parametrize("stage", STAGES)
def test_memory_that_is_full_at_a_stage_is_told_and_the_map_goes_on(
    context: Context, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    path = tmp_path / "room.ply"
    with running_node(context, weights, image_queue=20, save_on_exit=str(path)) as bench:
        bench.wait_for_connection()
        bench.camera.send_images(FIRST)
        bench.wait_for_handled(sent := FIRST)
        wait_until(lambda: bench.status.map_points > 0, "a map")
        session = bench.node._session
        assert session is not None
        owner, name = STAGES[stage](session._runner._slam)
        for error in (NUMPY, CPU, CUDA):

            def full(*_: object, error: Exception = error, **__: object) -> None:
                raise error

            with monkeypatch.context() as patch:
                patch.setattr(owner, name, full)
                bench.camera.send_images(FAILING, FIRST_NS + sent * PERIOD_NS, first_number=sent)
                bench.wait_for_handled(sent := sent + FAILING)
                wait_until(lambda: "memory" in bench.notice.lower(), "a warning")
            registered = bench.status.frames_registered
            bench.camera.send_images(LATER, FIRST_NS + sent * PERIOD_NS, first_number=sent)
            bench.wait_for_handled(sent := sent + LATER)
            wait_until(
                lambda least=registered + LATER - 3: bench.status.frames_registered >= least, "images in the map"
            )  # type: ignore[misc]
            assert session.failure is None
    assert len(read_ply(path)) > 0


def test_an_image_for_which_there_is_no_memory_is_refused(
    context: Context, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: object) -> None:
        raise MemoryError

    with running_node(context, weights, image_queue=20) as bench:
        bench.wait_for_connection()
        with monkeypatch.context() as patch:
            patch.setattr(frame_builder, "decode", full)
            bench.camera.send_images(1)
            bench.wait_for_handled(1)
        assert "image refused: there is no memory for it" in bench.notice
        bench.camera.send_images(FIRST, FIRST_NS + PERIOD_NS)
        bench.wait_for_handled(1 + FIRST)
        assert (bench.status.frames_rejected, bench.status.frames_processed) == (1, FIRST)
