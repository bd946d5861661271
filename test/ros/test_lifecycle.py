"""The lifecycle: what each transition does, and weights that cannot be loaded."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from huggingface_hub import constants
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rclpy.context import Context
from ros_harness import FIRST_NS, Bench, running_node, wait_until
from slam3r_ros.srv import SaveMap

from slam3r_ros.io.ply import read_ply
from slam3r_ros.networks.weights import Networks


def state_of(bench: Bench) -> int:
    return bench.camera.call(GetState, "/slam3r/get_state", GetState.Request()).current_state.id


def change(bench: Bench, transition: int) -> bool:
    request = ChangeState.Request(transition=Transition(id=transition))
    return bench.camera.call(ChangeState, "/slam3r/change_state", request).success


def workers() -> int:
    return sum(thread.name == "slam3r_mapping" for thread in threading.enumerate())


def test_map_is_saved_at_clean_up_and_an_empty_one_does_not_replace_it(
    context: Context, weights: Path, tmp_path: Path
) -> None:
    saved = tmp_path / "map.ply"
    with running_node(context, weights, save_on_exit=str(saved), image_queue=20) as bench:
        bench.wait_for_connection()
        bench.camera.send_images(6)
        bench.wait_for_handled(6)
        points = bench.status.map_points
        assert change(bench, Transition.TRANSITION_DEACTIVATE)
        assert not saved.exists()
        assert change(bench, Transition.TRANSITION_CLEANUP)
        assert len(read_ply(saved)) == points > 0
        assert change(bench, Transition.TRANSITION_CONFIGURE)
        assert change(bench, Transition.TRANSITION_CLEANUP)
        assert len(read_ply(saved)) == points


def test_all_transitions(context: Context, weights: Path) -> None:
    with running_node(context, weights, autostart=False, image_queue=20) as bench:
        assert state_of(bench) == State.PRIMARY_STATE_UNCONFIGURED
        save = SaveMap.Request(path="/nowhere/map.ply")
        assert "not configured" in bench.camera.call(SaveMap, "/slam3r/save_map", save).message

        assert change(bench, Transition.TRANSITION_CONFIGURE)
        assert bench.camera.images.get_subscription_count() == 0
        assert change(bench, Transition.TRANSITION_ACTIVATE)
        bench.wait_for_connection()
        bench.camera.send_images(6)
        bench.wait_for_handled(6)
        points = bench.status.map_points
        assert points > 0

        assert change(bench, Transition.TRANSITION_DEACTIVATE)
        assert workers() == 0
        wait_until(lambda: bench.camera.images.get_subscription_count() == 0, "no subscription")
        assert bench.status.map_points == points  # the map stays

        assert change(bench, Transition.TRANSITION_ACTIVATE)
        bench.wait_for_connection()
        bench.camera.send_images(2, FIRST_NS + 10**9, first_number=6)
        bench.wait_for_handled(8)
        assert bench.status.map_points >= points

        assert change(bench, Transition.TRANSITION_DEACTIVATE)
        assert change(bench, Transition.TRANSITION_CLEANUP)
        assert bench.node._session is None
        assert bench.camera.node.count_publishers("/slam3r/pose") == 0
        assert state_of(bench) == State.PRIMARY_STATE_UNCONFIGURED

        assert change(bench, Transition.TRANSITION_CONFIGURE)
        assert bench.status.map_points == 0
        assert change(bench, Transition.TRANSITION_ACTIVATE)
        assert change(bench, Transition.TRANSITION_ACTIVE_SHUTDOWN)
        assert state_of(bench) == State.PRIMARY_STATE_FINALIZED
        assert workers() == 0


def test_autostart_activates(context: Context, weights: Path) -> None:
    with running_node(context, weights) as bench:
        assert state_of(bench) == State.PRIMARY_STATE_ACTIVE


def missing(weights: Path, networks: Networks) -> str:
    shutil.rmtree(weights / "l2w")
    return "no l2w network in"


def truncated(weights: Path, networks: Networks) -> str:
    path = weights / "i2p" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])
    return "model.safetensors is truncated"


def of_another_architecture(weights: Path, networks: Networks) -> str:
    shutil.copy(weights / "l2w" / "model.safetensors", weights / "i2p" / "model.safetensors")
    return "does not fit the network its config.json describes"


@pytest.mark.parametrize("damage", [missing, truncated, of_another_architecture])
def test_weights_that_cannot_be_loaded_are_named_and_can_be_mended(
    context: Context, weights: Path, tiny_networks: Networks, tmp_path: Path, damage: object
) -> None:
    broken = tmp_path / "weights"
    shutil.copytree(weights, broken)
    reason = damage(broken, tiny_networks)  # type: ignore[operator]
    with running_node(context, broken) as bench:
        assert reason in bench.node.problem
        assert str(broken) in bench.node.problem
        assert state_of(bench) == State.PRIMARY_STATE_UNCONFIGURED
        received = bench.camera.listen(DiagnosticArray, "/diagnostics")
        wait_until(lambda: len(received) > 0, "diagnostics")
        assert received[0].status[0].level == DiagnosticStatus.ERROR
        assert reason in received[0].status[0].message

        shutil.rmtree(broken)
        shutil.copytree(weights, broken)
        assert change(bench, Transition.TRANSITION_CONFIGURE)
        assert change(bench, Transition.TRANSITION_ACTIVATE)
        bench.wait_for_connection()
        bench.camera.send_images(3)
        bench.wait_for_handled(3)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Where this package keeps the published networks; nothing is there, and the hub cannot be reached."""
    for name, value in (("HF_HOME", tmp_path), ("HF_HUB_CACHE", tmp_path / "hub"), ("HF_HUB_OFFLINE", True)):
        monkeypatch.setattr(constants, name, value)
    return tmp_path / "slam3r_ros" / "siyan824--slam3r"


def test_without_a_choice_the_published_networks_are_taken_if_they_are_here(
    context: Context, weights: Path, hub: Path
) -> None:
    shutil.copytree(weights, hub)
    with running_node(context, "auto") as bench:
        assert bench.status.weights == "siyan824/slam3r"
        assert "take seconds an image on a CPU; weights:=embedded" in bench.notice


def test_without_a_choice_the_embedded_networks_are_taken_with_a_notice(context: Context, hub: Path) -> None:
    with running_node(context, "auto", device="cpu") as bench:
        assert bench.status.weights == "embedded"
        assert bench.status.last_message == bench.notice
        assert "the published networks are not on this machine" in bench.notice
        assert "weights:=siyan824/slam3r downloads the published ones" in bench.notice
        received = bench.camera.listen(DiagnosticArray, "/diagnostics")
        wait_until(lambda: bool(received) and len(received[-1].status) == 2, "diagnostics of a running node")
        values = {pair.key: pair.value for pair in received[-1].status[1].values}
        assert values["weights"] == "embedded"
        assert values["last message"] == bench.notice
