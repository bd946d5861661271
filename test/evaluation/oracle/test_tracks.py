"""The engine with image tracks, on networks that are wrong in a known way."""

import numpy as np
import pytest

from slam3r_ros.engine.settings import SlamSettings
from slam3r_ros.engine.slam import Slam
from slam3r_ros.engine.types import Frame, MapUpdate, State
from slam3r_ros.evaluation.alignment import similarity_of_positions
from slam3r_ros.evaluation.oracle import oracle_networks
from slam3r_ros.evaluation.sequence import ImageSequence


def run(sequence: ImageSequence, oracle: str, **values: object) -> list[MapUpdate]:
    dotted = {name.replace("__", "."): value for name, value in values.items()}
    slam = Slam(oracle_networks(sequence, oracle), SlamSettings().with_values({"window.stride": 2, **dotted}))
    updates: list[MapUpdate] = []
    for frame in sequence.frames:
        image = sequence.image(frame)
        updates += slam.push(Frame(frame.stamp_ns, image, sequence.camera_of(image)))
    return updates + slam.flush()


def position_error(sequence: ImageSequence, updates: list[MapUpdate]) -> float:
    """Root mean square after the best similarity, metres."""
    known = [(u.pose, sequence.frames[u.index].T_world_camera) for u in updates if u.state is State.TRACKING]
    estimated = np.array([pose.T_world_camera[:3, 3] for pose, _ in known if pose is not None])
    true = np.array([T[:3, 3] for _, T in known if T is not None])
    assert len(estimated) == len(true) == len(sequence)
    return float(np.sqrt(((similarity_of_positions(estimated, true).apply(estimated) - true) ** 2).sum(axis=1).mean()))


@pytest.mark.parametrize("lookahead", [0, -1])
def test_tracks_take_most_of_the_noise_out_of_the_trajectory(rendered: ImageSequence, lookahead: int) -> None:
    without = run(rendered, "noise=0.05", window__lookahead=lookahead, pose__tracks="off")
    tracked = run(rendered, "noise=0.05", window__lookahead=lookahead, pose__tracks="on")
    assert position_error(rendered, tracked) < 0.4 * position_error(rendered, without)


def test_points_move_with_the_pose_and_keep_their_place_in_the_image(rendered: ImageSequence) -> None:
    updates = run(rendered, "noise=0.05", pose__tracks="on")
    for update in updates[::5]:
        assert update.pose is not None
        points = (update.points_world - update.pose.T_world_camera[:3, 3]) @ update.pose.T_world_camera[:3, :3]
        sure = (update.confidence > 1.5) & update.points_world.any(axis=2)
        width = sure.shape[1]
        columns = points[..., 0] / points[..., 2] * update.pose.focal_px + (width - 1) / 2
        assert np.median(np.abs(columns - np.arange(width))[sure]) < 0.03 * width


def test_exact_networks_stay_exact(rendered: ImageSequence) -> None:
    updates = run(rendered, "exact", pose__tracks="on")
    assert position_error(rendered, updates) < 1e-3


def test_without_tracks_nothing_changes(rendered: ImageSequence) -> None:
    """An oracle recommends none; what the settings say goes before that."""
    one, other = run(rendered, "noise=0.05"), run(rendered, "noise=0.05", pose__tracks="off")
    tracked = run(rendered, "noise=0.05", pose__tracks="on")
    assert all(np.array_equal(a.points_world, b.points_world) for a, b in zip(one, other, strict=True))
    assert not np.array_equal(one[-1].points_world, tracked[-1].points_world)


def test_reset_begins_the_tracks_again(rendered: ImageSequence) -> None:
    slam = Slam(
        oracle_networks(rendered, "noise=0.05"),
        SlamSettings().with_values({"window.stride": 2, "pose.tracks": "on", "keyframes.seed": 1}),
    )
    frames = [(frame, rendered.image(frame)) for frame in rendered.frames[:20]]
    runs = []
    for _ in range(2):
        updates: list[MapUpdate] = []
        for frame, image in frames:
            updates += slam.push(Frame(frame.stamp_ns, image, rendered.camera_of(image)))
        runs.append([update.pose.T_world_camera for update in updates if update.pose is not None])
        slam.reset("test")
    assert len(runs[0]) == len(runs[1]) == 20
    assert slam.status().stage_ms["tracks"] > 0
