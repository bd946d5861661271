import numpy as np
import pytest
from plane_scene import MATRIX, SIDE, depths, image, pose

from slam3r_ros.engine.geometry import Array, invert_rigid, rigid
from slam3r_ros.engine.tracks import window
from slam3r_ros.engine.tracks.poses import FOLLOWED_POINTS, Located, TrackPoses, View
from slam3r_ros.engine.tracks.prior import Prior

SCALE = 0.5
"""World length of a unit of the pointmaps."""


def view_of(
    T_world_camera: Array,
    random: np.random.Generator,
    *,
    noise: float = 0.05,
    focal: float = 1.0,
    prior: bool = True,
) -> View:
    """A view whose depths and prior err by ``noise``."""
    z = depths(T_world_camera) / SCALE * np.exp(random.normal(0, noise))
    z *= np.exp(random.normal(0, noise, (7, 7)).repeat(SIDE // 14, 0).repeat(SIDE // 14, 1)).astype(np.float32)
    said = rigid(np.eye(3), random.normal(0, 2 * noise, 3)) @ invert_rigid(T_world_camera)
    matrix = MATRIX * [[focal, 1, 1], [1, focal, 1], [1, 1, 1]]
    L2W = Prior(said, float(np.log(SCALE) + random.normal(0, noise)), 1.0) if prior else None
    return View(image(T_world_camera), matrix, z.astype(np.float32), L2W)


Answers = list[Located | None]


def follow(poses: list[Array], tracks: TrackPoses | None = None, **options: float) -> tuple[Answers, Array]:
    """What the tracks answer, and L2W's positions (N, 3)."""
    random, tracks = np.random.default_rng(0), tracks or TrackPoses()
    views = [view_of(each, random, **options) for each in poses]  # type: ignore[arg-type]
    said = [invert_rigid(view.prior.T_camera_world)[:3, 3] for view in views if view.prior is not None]
    return [tracks.locate(view) for view in views], np.array(said)


def error(positions: Array, true: Array) -> float:
    """Root mean square after the best shift and scale, metres."""
    x, y = positions - positions.mean(axis=0), true - true.mean(axis=0)
    scale = (x * y).sum() / (x * x).sum()
    return float(np.sqrt(((scale * x - y) ** 2).sum(axis=1).mean()))


def test_a_jagged_trajectory_becomes_smooth() -> None:
    poses = [pose(number) for number in range(40)]
    answers, said = follow(poses)
    assert answers[0] is None
    assert all(answer is not None for answer in answers[1:])
    true = np.array([each[:3, 3] for each in poses])[1:]
    positions = np.array([answer.T_world_camera[:3, 3] for answer in answers if answer is not None])
    assert error(said[1:], true) > 0.1
    assert error(positions, true) < 0.02
    steps, true_steps = np.diff(positions, axis=0), np.diff(true, axis=0)
    assert np.linalg.norm(steps - true_steps, axis=1).max() < 0.25 * np.linalg.norm(true_steps, axis=1).mean()
    # Depths err by a common factor a frame, which the tracks undo: their scale times the frame's depths is the truth.
    scales = np.array([answer.scale for answer in answers if answer is not None])
    assert np.std(np.log(scales)) > 0.03


def test_the_scale_brings_a_frames_depths_to_the_world() -> None:
    poses = [pose(number) for number in range(25)]
    random, tracks, ratios = np.random.default_rng(0), TrackPoses(), []
    for each in poses:
        view = view_of(each, random)
        if answer := tracks.locate(view):
            ratios.append(float(np.median(view.depths * answer.scale / depths(each))))
    assert np.std(np.log(ratios)) < 0.02


def test_tracks_go_on_without_l2w_and_end_where_nothing_is_seen() -> None:
    random, tracks = np.random.default_rng(0), TrackPoses()
    for number in range(10):
        tracks.locate(view_of(pose(number), random))
    alone = [tracks.locate(view_of(pose(number), random, prior=False)) for number in range(10, 20)]
    last = alone[-1]
    assert last is not None
    moved = np.linalg.norm(last.T_world_camera[:3, 3] - alone[0].T_world_camera[:3, 3])  # type: ignore[union-attr]
    assert moved == pytest.approx(np.linalg.norm(pose(19)[:3, 3] - pose(10)[:3, 3]), rel=0.2)
    dark = view_of(pose(20), random, prior=False)
    assert tracks.locate(View(np.zeros_like(dark.grey), dark.matrix, dark.depths, None)) is None
    assert tracks.locate(view_of(pose(21), random, prior=False)) is None
    assert tracks.locate(view_of(pose(22), random)) is None  # begins again, at L2W's pose
    again = view_of(pose(23), random)
    assert tracks.locate(again) is not None


def test_a_cut_to_another_place_begins_again_where_l2w_says() -> None:
    random, tracks = np.random.default_rng(0), TrackPoses()
    for number in range(10):
        tracks.locate(view_of(pose(number), random))
    elsewhere = view_of(pose(80), random)
    assert tracks.locate(elsewhere) is None
    after = tracks.locate(view_of(pose(81), random))
    assert after is not None
    there = invert_rigid(elsewhere.prior.T_camera_world)[:3, 3]  # type: ignore[union-attr]
    assert np.linalg.norm(after.T_world_camera[:3, 3] - there) < 0.1


def test_turning_on_the_spot_and_standing_still() -> None:
    turning, _ = follow([pose(number, moving=False) for number in range(40)])
    positions = np.array([answer.T_world_camera[:3, 3] for answer in turning if answer is not None])
    assert len(positions) == 39
    assert np.linalg.norm(positions - positions[0], axis=1).max() < 0.1  # of a depth of 3 m
    still, said = follow([pose(3)] * 40)
    positions = np.array([answer.T_world_camera[:3, 3] for answer in still if answer is not None])
    assert np.linalg.norm(positions - positions[0], axis=1).max() < 0.01 < np.linalg.norm(np.std(said, axis=0))


def test_a_wrong_focal_length_costs_little() -> None:
    poses = [pose(number) for number in range(40)]
    answers, said = follow(poses, focal=1.15)
    positions = np.array([answer.T_world_camera[:3, 3] for answer in answers if answer is not None])
    true = np.array([each[:3, 3] for each in poses])[1:]
    assert len(positions) == 39
    assert error(positions, true) < 0.6 * error(said[1:], true)


def test_exact_answers_of_l2w_stay_exact() -> None:
    random, tracks = np.random.default_rng(0), TrackPoses()
    for number in range(30):
        view = view_of(pose(number), random, noise=0.0)
        said = Prior(invert_rigid(pose(number)), float(np.log(SCALE)), 1e-5)
        answer = tracks.locate(View(view.grey, view.matrix, view.depths, said))
        if answer is not None:
            assert np.abs(answer.T_world_camera - pose(number)).max() < 1e-3
            assert answer.growth == pytest.approx(1, abs=2e-3)


def test_holes_in_the_depth_and_other_sizes_of_image() -> None:
    random, tracks = np.random.default_rng(0), TrackPoses()
    answers = []
    for number in range(20):
        view = view_of(pose(number), random)
        holed = view.depths.copy()
        holed[:, : holed.shape[1] // 2] = np.nan
        answers.append(tracks.locate(View(view.grey, view.matrix, holed, view.prior)))
    assert all(answer is not None for answer in answers[1:])
    nothing = View(view.grey, view.matrix, np.full_like(view.depths, np.nan), view.prior)
    fresh = TrackPoses()
    assert [fresh.locate(nothing) for _ in range(3)] == [None] * 3
    small = View(view.grey[:100, :100].copy(), view.matrix, view.depths, view.prior)
    assert tracks.locate(small) is None


def test_memory_is_bounded_and_reset_forgets() -> None:
    tracks, random = TrackPoses(), np.random.default_rng(0)
    for number in range(60):
        tracks.locate(view_of(pose(number), random))
        assert len(tracks._window) <= window.WINDOW_KEYFRAMES
        assert tracks._window.point_count <= window.WINDOW_POINTS + FOLLOWED_POINTS
        assert len(tracks._pixels) <= FOLLOWED_POINTS
    tracks.reset()
    assert len(tracks._window) == 0
    first, second = follow([pose(number) for number in range(8)], tracks), follow([pose(number) for number in range(8)])
    for one, other in zip(first[0], second[0], strict=True):
        assert (one is None) == (other is None)
        assert one is None or other is None or np.array_equal(one.T_world_camera, other.T_world_camera)
