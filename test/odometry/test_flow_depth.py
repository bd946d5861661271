from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from plane_scene import MATRIX, SIDE, depths, image, pose

from slam3r_ros.geometry.se3 import Array, invert_rigid
from slam3r_ros.odometry.flow_depth import FlowDepth, PosedImage, triangulate_flow
from slam3r_ros.odometry.tuning import TUNING
from slam3r_ros.vision.feature_image import FeatureImage

SHAPE = (SIDE // 2, SIDE // 2)


def posed(T_world_camera: Array, grey: NDArray[np.uint8] | None = None) -> PosedImage:
    seen = image(T_world_camera) if grey is None else grey
    return PosedImage(FeatureImage(seen, MATRIX), invert_rigid(T_world_camera))


def noisy(T_world_camera: Array, levels: float, seed: int) -> NDArray[np.uint8]:
    noise = np.random.default_rng(seed).normal(0, levels, (SIDE, SIDE))
    return np.clip(image(T_world_camera) + noise, 0, 255).astype(np.uint8)


def depths_of(number: int, others: tuple[int, ...]) -> FlowDepth:
    return triangulate_flow(posed(pose(number)), [posed(pose(other)) for other in others], SHAPE)


def errors_of(found: FlowDepth, T_world_camera: Array) -> Array:
    """Of the pixels' log depths, NaN where nothing is triangulated."""
    return np.asarray(found.log_depths - np.log(depths(T_world_camera)), np.float64)


def inside(found: FlowDepth) -> NDArray[np.bool_]:
    return np.isfinite(found.log_depths)


@pytest.mark.parametrize(("number", "others"), [(40, (30, 35)), (60, (50, 55)), (33, (24, 27)), (20, (17,))])
def test_most_pixels_have_their_depth_to_a_few_per_cent(number: int, others: tuple[int, ...]) -> None:
    found = depths_of(number, others)
    errors = np.abs(errors_of(found, pose(number))[inside(found)])
    assert found.log_depths.shape == found.sigmas.shape == SHAPE
    assert inside(found).mean() > 0.85
    assert np.array_equal(np.isfinite(found.sigmas), inside(found))
    assert np.median(errors) < 0.005
    assert np.quantile(errors, 0.95) < 0.03
    assert np.median(found.sigmas[inside(found)]) < 0.06


@pytest.mark.parametrize("levels", [0.0, 8.0, 25.0])
def test_the_sigmas_cover_the_errors(levels: float) -> None:
    frame = posed(pose(40), noisy(pose(40), levels, 0))
    others = [posed(pose(other), noisy(pose(other), levels, other)) for other in (34, 37)]
    found = triangulate_flow(frame, others, SHAPE)
    known = inside(found)
    assert known.mean() > 0.85
    ratios = np.abs(errors_of(found, pose(40))[known]) / found.sigmas[known]
    assert (ratios < 1.5).mean() > 0.68
    assert (ratios < 3).mean() > 0.97
    assert found.sigmas.min() >= TUNING.flow_depth_min_sigma
    assert np.median(found.sigmas[known]) < 0.05  # and do not cover everything


def test_a_short_baseline_tells_less_and_says_so() -> None:
    by_baseline = [depths_of(20, (other,)) for other in (19, 17, 13)]
    medians = [float(np.median(each.sigmas[inside(each)])) for each in by_baseline]
    # In proportion to the baseline, as long as TUNING.flow_depth_min_sigma is small beside it.
    assert medians[0] > 2 * medians[1] > 2.5 * medians[2]
    errors = [float(np.nanquantile(np.abs(errors_of(each, pose(20))), 0.9)) for each in by_baseline]
    assert errors[0] > errors[1] > errors[2]


def test_two_keyframes_are_surer_than_one() -> None:
    one, two = depths_of(40, (35,)), depths_of(40, (35, 36))
    both = inside(one) & inside(two)
    assert both.mean() > 0.85
    assert (two.sigmas[both] <= one.sigmas[both] * (1 + 1e-5)).mean() > 0.95
    assert np.median(two.sigmas[both]) < 0.9 * np.median(one.sigmas[both])


def test_turning_on_the_spot_and_standing_still_give_nothing() -> None:
    def turned(number: int) -> PosedImage:
        return posed(pose(number, moving=False))

    for others in ([turned(10), turned(15)], [turned(20)]):
        found = triangulate_flow(turned(20), others, SHAPE)
        assert not (found.sigmas < 1).any()


def test_no_others_give_nothing() -> None:
    found = depths_of(20, ())
    assert np.isnan(found.log_depths).all() and np.isposinf(found.sigmas).all()
    assert found.log_depths.shape == SHAPE


def test_where_there_is_no_texture_nothing_is_triangulated() -> None:
    flat = np.full((SIDE, SIDE), 90, np.uint8)
    found = triangulate_flow(posed(pose(40), flat), [posed(pose(35), flat)], SHAPE)
    assert not (found.sigmas < 0.5).any()

    def half_faint(number: int) -> PosedImage:
        grey = image(pose(number)).astype(np.float64)
        grey[:, SIDE // 2 :] = 127 + (grey[:, SIDE // 2 :] - 127) / 12
        return posed(pose(number), grey.astype(np.uint8))

    found = triangulate_flow(half_faint(40), [half_faint(35)], SHAPE)
    rich, faint = found.sigmas[:, :50], found.sigmas[:, 62:]
    assert np.median(rich) < 0.05
    assert np.median(faint) > 2 * np.median(rich)


@pytest.mark.parametrize("changed", ["frame", "others"])
def test_what_only_one_of_the_images_shows_is_not_triangulated(changed: str) -> None:
    patch, hole = image(pose(110))[60:130, 60:130], np.zeros(SHAPE, np.bool_)
    greys = {number: image(pose(number)) for number in (40, 36, 37)}
    for number in (40,) if changed == "frame" else (36, 37):
        greys[number][80:150, 80:150] = patch
    found = triangulate_flow(
        posed(pose(40), greys[40]), [posed(pose(other), greys[other]) for other in (36, 37)], SHAPE
    )
    hole[47:68, 47:68] = True  # hidden in each, but for some pixels of motion
    sure = found.sigmas < 0.1
    assert sure[hole].mean() < 0.2 and inside(found)[hole].mean() < 0.45
    around = ~hole
    around[38:77, 38:77] = False
    assert sure[around].mean() > 0.8
    errors = np.abs(errors_of(found, pose(40)))
    assert (errors[around & sure] < 0.05).mean() > 0.97


def test_flow_off_the_epipolar_line_is_an_outlier() -> None:
    astray = pose(35).copy()
    astray[1, 3] += 0.3  # across the baseline: no depth explains what is seen
    frame = posed(pose(40))
    right, wrong = (
        triangulate_flow(frame, [replace(posed(pose(35)), T_camera_world=invert_rigid(T))], SHAPE)
        for T in (pose(35), astray)
    )
    assert inside(right).mean() > 0.85
    assert inside(wrong).mean() < 0.1


def test_images_and_pointmaps_of_other_sizes() -> None:
    whole, coarse = depths_of(40, (35,)), None
    coarse = triangulate_flow(posed(pose(40)), [posed(pose(35))], (SIDE // 4, SIDE // 4))
    assert coarse.log_depths.shape == (SIDE // 4, SIDE // 4)
    truth = np.log(depths(pose(40))).reshape(SIDE // 4, 2, SIDE // 4, 2).mean(axis=(1, 3))
    assert np.nanmedian(np.abs(coarse.log_depths - truth)) < 0.005
    assert abs(inside(coarse).mean() - inside(whole).mean()) < 0.05


def test_keyframes_that_contradict_each_other_give_nothing() -> None:
    """The flow from pose 20 to pose 10 goes astray in places, and agrees with itself there."""
    found = depths_of(20, (10, 15))
    errors = errors_of(found, pose(20))[inside(found)]
    wrong = np.abs(errors) > 3 * found.sigmas[inside(found)]
    assert inside(found).mean() > 0.6
    assert wrong.mean() < 0.01
