import cv2
import numpy as np
import pytest
from plane_scene import MATRIX, SIDE, depths, image, pose

from slam3r_ros.geometry.se3 import Array, invert_rigid, rigid, transform_points
from slam3r_ros.vision.feature_image import FeatureImage, Features
from slam3r_ros.vision.relative_pose import RelativePose, estimate_relative_pose
from slam3r_ros.vision.tuning import TUNING

Known = tuple[Array, Array]
DARK = np.zeros((SIDE, SIDE), np.uint8)


def turn(x: float, y: float, z: float) -> Array:
    return rigid(cv2.Rodrigues(np.array([x, y, z]))[0], np.zeros(3))


def seen(T_world_camera: Array) -> FeatureImage:
    return FeatureImage(image(T_world_camera), MATRIX)


def known_at(T_world_camera: Array, every: int = 16) -> Known:
    """Exact depths on a grid of pixels."""
    v, u = (each.ravel() for each in np.mgrid[every // 2 : SIDE : every, every // 2 : SIDE : every])
    exact = depths(T_world_camera)[v // 2, u // 2].astype(np.float64)
    return FeatureImage(DARK, MATRIX).normalized_xy(np.column_stack([u, v])), np.log(exact)


def errors(recovered: RelativePose, true: Array) -> tuple[float, float]:
    """Of the second camera's place in the first one's axes, and of its turn, radians."""
    place = invert_rigid(recovered.T_after_before)[:3, 3] - invert_rigid(true)[:3, 3]
    rest = cv2.Rodrigues(recovered.T_after_before[:3, :3] @ true[:3, :3].T)[0]
    return float(np.linalg.norm(place)), float(np.linalg.norm(rest))


SIDEWAYS = turn(0.02, -0.04, 0.03) @ rigid(np.eye(3), [-0.8, 0.1, 0.15])
"""T_after_before of a wide step before a deep scene."""


def deep_scene(
    T_after_before: Array, *, count: int = 150, wrong: float = 0.0, noise_px: float = 0.1
) -> tuple[FeatureImage, FeatureImage, Array]:
    """Two images of points 1.5 to 8 m deep, described so that they match, a share of them wrongly; and the points
    (N, 3) in the first camera."""
    random = np.random.default_rng(0)
    z = np.exp(random.uniform(np.log(1.5), np.log(8), count))
    points = np.column_stack([random.uniform(-0.45, 0.45, (count, 2)) * z[:, None], z])
    descriptors = random.normal(size=(count, 128)).astype(np.float32)
    images = []
    for there in (points, transform_points(T_after_before, points)):
        projected = there @ MATRIX.T
        pixels = projected[:, :2] / projected[:, 2:] + random.normal(0, noise_px, (count, 2))
        images.append(FeatureImage(DARK.copy(), MATRIX))
        images[-1].__dict__["features"] = Features(pixels.astype(np.float32), descriptors, False)  # as if described
    astray = random.random(count) < wrong
    images[1].features.pixels[astray] = random.uniform(0, SIDE, (int(astray.sum()), 2))
    return images[0], images[1], points


def known_of(points: Array, every: int = 1) -> Known:
    return points[::every, :2] / points[::every, 2:], np.log(points[::every, 2])


@pytest.mark.parametrize(("first", "step"), [(5, 10), (0, 12), (5, 15), (5, 25)])
def test_a_wide_step_is_found(first: int, step: int) -> None:
    before, after = pose(first), pose(first + step)
    true = invert_rigid(after) @ before
    recovered = estimate_relative_pose(seen(before), seen(after), known_at(before))
    assert recovered is not None
    place, angle = errors(recovered, true)
    assert place < 0.025 * np.linalg.norm(true[:3, 3])
    assert angle < 0.005
    assert recovered.inlier_share > 0.95 and len(recovered.pixels_after) > 500
    # The points that come with it: where they are, how deep, and where the second image has them.
    columns, rows = np.rint(recovered.normalized_xy_before * MATRIX[0, 0] + MATRIX[0, 2]).astype(int).T // 2
    exact = depths(before)[rows, columns]
    assert np.median(np.abs(recovered.log_depths_before - np.log(exact))) < 0.01
    points = np.column_stack([recovered.normalized_xy_before, np.ones(len(exact))]) * exact[:, None]
    projected = transform_points(true, points) @ MATRIX.T
    offsets = projected[:, :2] / projected[:, 2:] - recovered.pixels_after
    assert np.median(np.linalg.norm(offsets, axis=1)) < 0.5


@pytest.mark.parametrize("turned", [(0.0, 0.35, 0.0), (0.0, 0.0, 0.8), (0.1, 0.2, -0.3)])
def test_a_turn_on_the_spot_is_found_and_is_no_motion(turned: tuple[float, float, float]) -> None:
    before = pose(0)
    after = before @ turn(*turned)
    recovered = estimate_relative_pose(seen(before), seen(after), known_at(before))
    assert recovered is not None
    place, angle = errors(recovered, turn(*turned).T)
    assert place < 0.02  # of a depth of 2 m
    assert angle < 0.008


def test_a_turn_needs_no_depths_that_are_right() -> None:
    before, after, points = deep_scene(turn(0.05, 0.3, -0.1))
    normalized_xy, log_depths = known_of(points, 5)
    recovered = estimate_relative_pose(before, after, (normalized_xy, np.full_like(log_depths, np.log(3.0))))
    assert recovered is not None
    place, angle = errors(recovered, turn(0.05, 0.3, -0.1))
    assert place < 0.02 and angle < 0.005


@pytest.mark.parametrize("length", [1.0, 3.0])
def test_before_a_deep_scene_parallax_tells_the_motion_and_known_depths_its_length(length: float) -> None:
    before, after, points = deep_scene(SIDEWAYS)
    normalized_xy, log_depths = known_of(points, 4)  # of the others the depth is that of some neighbour
    recovered = estimate_relative_pose(before, after, (normalized_xy, log_depths + np.log(length)))
    assert recovered is not None
    place, angle = errors(recovered, rigid(SIDEWAYS[:3, :3], length * SIDEWAYS[:3, 3]))
    assert place < 0.06 * length * np.linalg.norm(SIDEWAYS[:3, 3])
    assert angle < 0.015
    # The depths are those of the parallax, not the neighbours'.
    numbers = np.square(recovered.normalized_xy_before[:, None] - (points[:, :2] / points[:, 2:])[None]).sum(axis=2)
    found = np.log(points[numbers.argmin(axis=1), 2] * length)
    assert len(found) > 100
    assert np.median(np.abs(recovered.log_depths_before - found)) < 0.1


@pytest.mark.parametrize("T_after_before", [SIDEWAYS, turn(0.05, 0.3, -0.1)])
def test_a_third_of_false_matches_does_not_disturb_and_most_false_ones_are_no_answer(T_after_before: Array) -> None:
    before, after, points = deep_scene(T_after_before, wrong=0.35)
    recovered = estimate_relative_pose(before, after, known_of(points))
    assert recovered is not None
    place, angle = errors(recovered, T_after_before)
    assert place < 0.06 and angle < 0.015
    assert recovered.inlier_share == pytest.approx(0.65, abs=0.06)
    assert len(recovered.pixels_after) == len(recovered.normalized_xy_before) == len(recovered.log_depths_before)
    before, after, points = deep_scene(T_after_before, wrong=0.85)
    assert estimate_relative_pose(before, after, known_of(points)) is None


def test_depths_that_contradict_each_other_tell_no_length() -> None:
    before, after, points = deep_scene(SIDEWAYS)
    normalized_xy, log_depths = known_of(points)
    assert estimate_relative_pose(before, after, (normalized_xy, log_depths)) is not None
    log_depths = log_depths + np.random.default_rng(1).normal(0, 1.5, len(log_depths))
    assert estimate_relative_pose(before, after, (normalized_xy, log_depths)) is None


def other_wall(seed: int) -> FeatureImage:
    """Textured like the one of the plane scene."""
    random = np.random.default_rng(seed)
    layers = [cv2.resize(random.random((n, n)), (SIDE, SIDE), interpolation=cv2.INTER_CUBIC) for n in (6, 18, 45)]
    return FeatureImage(np.asarray((np.sum(layers, axis=0) / 3).clip(0, 1) * 255, dtype=np.uint8), MATRIX)


def test_unrelated_images_have_nothing_in_common() -> None:
    here, known = seen(pose(5)), known_at(pose(5))
    noise = FeatureImage(np.random.default_rng(0).integers(0, 255, (SIDE, SIDE), dtype=np.uint8), MATRIX)
    for other in (other_wall(0), other_wall(1), noise, seen(pose(110))):
        assert len(other.features.pixels) > 150
        assert estimate_relative_pose(here, other, known) is None


def test_what_has_no_texture_is_not_found() -> None:
    here, known, grey = seen(pose(5)), known_at(pose(5)), FeatureImage(np.full((SIDE, SIDE), 128, np.uint8), MATRIX)
    assert estimate_relative_pose(here, grey, known) is None
    assert estimate_relative_pose(grey, here, known) is None
    assert estimate_relative_pose(grey, grey, known) is None


def test_too_few_depths_or_matches_are_no_answer() -> None:
    before, after, points = deep_scene(turn(0.05, 0.3, -0.1))
    normalized_xy, log_depths = known_of(points)
    assert (
        estimate_relative_pose(
            before, after, (normalized_xy[: TUNING.min_known_depths], log_depths[: TUNING.min_known_depths])
        )
        is not None
    )
    assert (
        estimate_relative_pose(
            before, after, (normalized_xy[: TUNING.min_known_depths - 1], log_depths[: TUNING.min_known_depths - 1])
        )
        is None
    )
    assert estimate_relative_pose(before, after, (np.empty((0, 2)), np.empty(0))) is None
    before, after, points = deep_scene(turn(0.05, 0.3, -0.1), count=TUNING.min_matches)
    assert estimate_relative_pose(before, after, known_of(points)) is not None
    before, after, points = deep_scene(turn(0.05, 0.3, -0.1), count=TUNING.min_matches - 1)
    assert estimate_relative_pose(before, after, known_of(points)) is None


def test_features_that_look_like_others_do_not_count() -> None:
    before, after, points = deep_scene(turn(0.05, 0.3, -0.1), count=60)
    assert estimate_relative_pose(before, after, known_of(points)) is not None
    for one in (before, after):  # every second feature looks like the one before it
        one.features.descriptors[1::2] = one.features.descriptors[::2]
    assert estimate_relative_pose(before, after, known_of(points)) is None


@pytest.mark.parametrize("T_after_before", [SIDEWAYS, turn(0.05, 0.3, -0.1)])
def test_the_answer_does_not_depend_on_what_ran_before(T_after_before: Array) -> None:
    before, after, points = deep_scene(T_after_before, wrong=0.3)
    answers = []
    for seed in (1, 2, 3):
        cv2.setRNGSeed(seed)
        answers.append(estimate_relative_pose(before, after, known_of(points, 3)))
    first = answers[0]
    assert first is not None
    for other in answers[1:]:
        assert other is not None
        assert np.array_equal(other.T_after_before, first.T_after_before)
        assert np.array_equal(other.pixels_after, first.pixels_after)


def test_images_of_other_cameras_are_compared_too() -> None:
    before, after = pose(5), pose(15)
    half = np.array([[0.5, 1, 0.5], [1, 0.5, 0.5], [1, 1, 1]]) * MATRIX - [[0, 0, 0.25], [0, 0, 0.25], [0, 0, 0]]
    grey = cv2.resize(image(after), (SIDE // 2, SIDE // 2), interpolation=cv2.INTER_AREA)
    smaller = FeatureImage(np.asarray(grey, np.uint8), half)
    recovered = estimate_relative_pose(seen(before), smaller, known_at(before))
    assert recovered is not None
    true = invert_rigid(after) @ before
    place, angle = errors(recovered, true)
    assert place < 0.1 * np.linalg.norm(true[:3, 3])
    assert angle < 0.02
    assert recovered.pixels_after.max() < SIDE // 2


def test_grey_noise_does_not_mislead_where_a_search_alone_would_be_misled() -> None:
    random = np.random.default_rng(8)

    def noisy(T_world_camera: Array) -> FeatureImage:
        grey = image(T_world_camera) + random.normal(0, 4, (SIDE, SIDE))
        return FeatureImage(np.clip(grey, 0, 255).astype(np.uint8), MATRIX)

    before, after = noisy(pose(15)), noisy(pose(30))
    true = invert_rigid(pose(30)) @ pose(15)
    recovered = estimate_relative_pose(before, after, known_at(pose(15)))
    assert recovered is not None and recovered.inlier_share > 0.9
    place, angle = errors(recovered, true)
    assert place < 0.03 * np.linalg.norm(true[:3, 3])
    assert angle < 0.005


@pytest.mark.parametrize("T_after_before", [SIDEWAYS, turn(0.05, 0.3, -0.1)])
@pytest.mark.parametrize("side", [0, 1])
def test_matches_in_a_narrow_strip_are_not_believed(T_after_before: Array, side: int) -> None:
    def within(half_px: float) -> RelativePose | None:
        """What all matches tell that lie so near to a line down, or across, the middle of the second image."""
        before, after, points = deep_scene(T_after_before, count=1200)
        near = np.abs(after.features.pixels[:, side] - SIDE / 2) < half_px
        near[np.flatnonzero(near)[100:]] = False
        for one in (before, after):
            one.__dict__["features"] = Features(one.features.pixels[near], one.features.descriptors[near], False)
        assert 30 < near.sum() <= 100
        return estimate_relative_pose(before, after, known_of(points[near]))

    wide = within(60)
    assert wide is not None
    place, angle = errors(wide, T_after_before)
    assert place < 0.06 and angle < 0.015
    assert within(10) is None
