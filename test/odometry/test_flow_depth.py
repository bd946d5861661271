from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from plane_scene import MATRIX, SIDE, depths, image, pose

from slam3r_ros.geometry.se3 import Array, invert_rigid
from slam3r_ros.odometry.flow_depth import FlowDepth, PosedImage, distances_by_parallax
from slam3r_ros.odometry.tuning import TUNING
from slam3r_ros.vision.feature_image import FeatureImage

SHAPE = (SIDE // 2, SIDE // 2)


def posed(T_world_camera: Array, grey: NDArray[np.uint8] | None = None) -> PosedImage:
    seen = image(T_world_camera) if grey is None else grey
    return PosedImage(FeatureImage(seen, MATRIX), invert_rigid(T_world_camera))


def noisy(T_world_camera: Array, levels: float, seed: int) -> NDArray[np.uint8]:
    noise = np.random.default_rng(seed).normal(0, levels, (SIDE, SIDE))
    return np.clip(image(T_world_camera) + noise, 0, 255).astype(np.uint8)


def told_of(number: int, others: tuple[int, ...]) -> FlowDepth:
    return distances_by_parallax(posed(pose(number)), [posed(pose(other)) for other in others], SHAPE)


def errors_of(distances: FlowDepth, T_world_camera: Array) -> Array:
    """Of the pixels' log depths, NaN where nothing is told."""
    return np.asarray(distances.log_depths - np.log(depths(T_world_camera)), np.float64)


def inside(distances: FlowDepth) -> NDArray[np.bool_]:
    return np.isfinite(distances.log_depths)


@pytest.mark.parametrize(("number", "others"), [(40, (30, 35)), (60, (50, 55)), (33, (24, 27)), (20, (17,))])
def test_most_pixels_have_their_distance_to_a_few_per_cent(number: int, others: tuple[int, ...]) -> None:
    distances = told_of(number, others)
    errors = np.abs(errors_of(distances, pose(number))[inside(distances)])
    assert distances.log_depths.shape == distances.deviations.shape == SHAPE
    assert inside(distances).mean() > 0.85
    assert np.array_equal(np.isfinite(distances.deviations), inside(distances))
    assert np.median(errors) < 0.005
    assert np.quantile(errors, 0.95) < 0.03
    assert np.median(distances.deviations[inside(distances)]) < 0.06


@pytest.mark.parametrize("levels", [0.0, 8.0, 25.0])
def test_the_deviations_cover_the_errors(levels: float) -> None:
    frame = posed(pose(40), noisy(pose(40), levels, 0))
    others = [posed(pose(other), noisy(pose(other), levels, other)) for other in (34, 37)]
    distances = distances_by_parallax(frame, others, SHAPE)
    told = inside(distances)
    assert told.mean() > 0.85
    ratios = np.abs(errors_of(distances, pose(40))[told]) / distances.deviations[told]
    assert (ratios < 1.5).mean() > 0.68
    assert (ratios < 3).mean() > 0.97
    assert distances.deviations.min() >= TUNING.flow_depth_min_sigma
    assert np.median(distances.deviations[told]) < 0.05  # and do not cover everything


def test_a_short_way_tells_less_and_says_so() -> None:
    by_way = [told_of(20, (other,)) for other in (19, 17, 13)]
    medians = [float(np.median(each.deviations[inside(each)])) for each in by_way]
    # In proportion to the way, as long as TUNING.flow_depth_min_sigma is small beside it.
    assert medians[0] > 2 * medians[1] > 2.5 * medians[2]
    errors = [float(np.nanquantile(np.abs(errors_of(each, pose(20))), 0.9)) for each in by_way]
    assert errors[0] > errors[1] > errors[2]


def test_two_keyframes_tell_more_than_one() -> None:
    one, two = told_of(40, (35,)), told_of(40, (35, 36))
    both = inside(one) & inside(two)
    assert both.mean() > 0.85
    assert (two.deviations[both] <= one.deviations[both] * (1 + 1e-5)).mean() > 0.95
    assert np.median(two.deviations[both]) < 0.9 * np.median(one.deviations[both])


def test_turning_on_the_spot_and_standing_still_tell_nothing() -> None:
    def turned(number: int) -> PosedImage:
        return posed(pose(number, moving=False))

    for others in ([turned(10), turned(15)], [turned(20)]):
        distances = distances_by_parallax(turned(20), others, SHAPE)
        assert not (distances.deviations < 1).any()


def test_no_others_tell_nothing() -> None:
    distances = told_of(20, ())
    assert np.isnan(distances.log_depths).all() and np.isposinf(distances.deviations).all()
    assert distances.log_depths.shape == SHAPE


def test_where_there_is_no_texture_nothing_is_told() -> None:
    flat = np.full((SIDE, SIDE), 90, np.uint8)
    distances = distances_by_parallax(posed(pose(40), flat), [posed(pose(35), flat)], SHAPE)
    assert not (distances.deviations < 0.5).any()

    def half_faint(number: int) -> PosedImage:
        grey = image(pose(number)).astype(np.float64)
        grey[:, SIDE // 2 :] = 127 + (grey[:, SIDE // 2 :] - 127) / 12
        return posed(pose(number), grey.astype(np.uint8))

    distances = distances_by_parallax(half_faint(40), [half_faint(35)], SHAPE)
    rich, faint = distances.deviations[:, :50], distances.deviations[:, 62:]
    assert np.median(rich) < 0.05
    assert np.median(faint) > 2 * np.median(rich)


@pytest.mark.parametrize("changed", ["frame", "others"])
def test_what_only_one_of_the_images_shows_is_not_told(changed: str) -> None:
    patch, hole = image(pose(110))[60:130, 60:130], np.zeros(SHAPE, np.bool_)
    greys = {number: image(pose(number)) for number in (40, 36, 37)}
    for number in (40,) if changed == "frame" else (36, 37):
        greys[number][80:150, 80:150] = patch
    distances = distances_by_parallax(
        posed(pose(40), greys[40]), [posed(pose(other), greys[other]) for other in (36, 37)], SHAPE
    )
    hole[47:68, 47:68] = True  # hidden in each, but for some pixels of motion
    sure = distances.deviations < 0.1
    assert sure[hole].mean() < 0.2 and inside(distances)[hole].mean() < 0.45
    around = ~hole
    around[38:77, 38:77] = False
    assert sure[around].mean() > 0.8
    errors = np.abs(errors_of(distances, pose(40)))
    assert (errors[around & sure] < 0.05).mean() > 0.97


def test_flow_off_the_line_that_the_poses_allow_is_not_believed() -> None:
    astray = pose(35).copy()
    astray[1, 3] += 0.3  # across the way: no depth explains what is seen
    frame = posed(pose(40))
    right, wrong = (
        distances_by_parallax(frame, [replace(posed(pose(35)), T_camera_world=invert_rigid(T))], SHAPE)
        for T in (pose(35), astray)
    )
    assert inside(right).mean() > 0.85
    assert inside(wrong).mean() < 0.1


def test_images_and_pointmaps_of_other_sizes() -> None:
    whole, coarse = told_of(40, (35,)), None
    coarse = distances_by_parallax(posed(pose(40)), [posed(pose(35))], (SIDE // 4, SIDE // 4))
    assert coarse.log_depths.shape == (SIDE // 4, SIDE // 4)
    truth = np.log(depths(pose(40))).reshape(SIDE // 4, 2, SIDE // 4, 2).mean(axis=(1, 3))
    assert np.nanmedian(np.abs(coarse.log_depths - truth)) < 0.005
    assert abs(inside(coarse).mean() - inside(whole).mean()) < 0.05


def test_keyframes_that_contradict_each_other_tell_nothing() -> None:
    """The flow from pose 20 to pose 10 goes astray in places, and agrees with itself there."""
    distances = told_of(20, (10, 15))
    errors = errors_of(distances, pose(20))[inside(distances)]
    wrong = np.abs(errors) > 3 * distances.deviations[inside(distances)]
    assert inside(distances).mean() > 0.6
    assert wrong.mean() < 0.01
