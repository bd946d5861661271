from dataclasses import replace

import cv2
import numpy as np
import pytest
from loop_views import CONFIDENCE, HALF, plane_view, view_of
from numpy.typing import NDArray
from plane_scene import MATRIX, SIDE, depths, image, pose

from slam3r_ros.geometry.se3 import Array, invert_rigid, rigid
from slam3r_ros.loop_closure import verification
from slam3r_ros.loop_closure.place import Place, PlaceView, describe_place
from slam3r_ros.loop_closure.tuning import TUNING
from slam3r_ros.loop_closure.verification import appearance_similarity, verify_loop
from slam3r_ros.vision.feature_image import FeatureImage, normalized_xy
from slam3r_ros.vision.relative_pose import estimate_relative_pose

DRIFTED = rigid(cv2.Rodrigues(np.array([0.2, -0.5, 0.1]))[0], [3.0, -1.0, 2.0])
"""Of the world, from one place to the other."""
NO_DEPTH = np.full((HALF, HALF), np.nan)
FLAT = np.full((HALF, HALF), 2.0)


@pytest.mark.parametrize("length", [1.0, 0.4, 2.5])
@pytest.mark.parametrize("step", [1, 10, 25])
def test_the_similarity_between_two_places_is_found_in_whatever_world_they_were_mapped(
    step: int, length: float
) -> None:
    before, after = pose(5), pose(5 + step)
    there = DRIFTED @ rigid(after[:3, :3], length * after[:3, 3])
    loop = verify_loop(
        describe_place(plane_view(7, before)), describe_place(plane_view(70, after, length=length, T_believed=there))
    )
    assert loop is not None and (loop.before, loop.after) == (7, 70)
    true = invert_rigid(before) @ after
    assert np.linalg.norm(loop.T_before_after[:3, 3] - true[:3, 3]) < 0.002 + 0.01 * np.linalg.norm(true[:3, 3])
    turned = cv2.Rodrigues(loop.T_before_after[:3, :3].T @ true[:3, :3])[0]
    assert np.linalg.norm(turned) < 0.002
    assert np.exp(loop.log_scale) == pytest.approx(1 / length, rel=0.003)
    assert loop.matches > 100
    assert 2 < loop.depth < 3
    typical = 0.2 / CONFIDENCE
    assert loop.log_scale_sigma == pytest.approx(np.linalg.norm([0.05, typical, typical]))
    assert loop.translation_sigma == pytest.approx(
        0.05 * loop.depth + typical * np.linalg.norm(loop.T_before_after[:3, 3])
    )


def test_places_that_see_something_else_are_no_loop() -> None:
    here, random = describe_place(plane_view(0, pose(5))), np.random.default_rng(0)
    noise = random.integers(0, 255, (SIDE, SIDE), dtype=np.uint8)
    for other in (plane_view(1, pose(110)), view_of(1, noise, FLAT, np.eye(4)), wall(1)):
        assert verify_loop(here, describe_place(other)) is None
        assert verify_loop(describe_place(other), here) is None


def texture(seed: int) -> NDArray[np.uint8]:
    random = np.random.default_rng(seed)
    layers = [cv2.resize(random.random((n, n)), (SIDE, SIDE), interpolation=cv2.INTER_CUBIC) for n in (6, 18, 45)]
    return np.asarray((np.sum(layers, axis=0) / 3).clip(0, 1) * 255, dtype=np.uint8)


def wall(seed: int, poster_px: int = 0) -> PlaceView:
    """A wall in front of the camera with a poster in its middle that all walls have."""
    grey, part = texture(seed), slice((SIDE - poster_px) // 2, (SIDE + poster_px) // 2)
    grey[part, part] = texture(99)[part, part]
    if poster_px:  # faint surroundings have few features
        poster = grey[part, part].copy()
        grey = cv2.GaussianBlur(grey, (0, 0), 4)
        grey[part, part] = poster
    return view_of(seed, np.asarray(grey, np.uint8), FLAT, np.eye(4))


def test_a_pattern_that_is_there_twice_is_found_out_by_what_is_around_it() -> None:
    before, after = describe_place(wall(1, 110)), describe_place(wall(2, 110))
    recovered = estimate_relative_pose(
        before, after, (normalized_xy(before, before.features.pixels), before.log_depths)
    )
    assert recovered is not None  # the features alone would be believed
    assert recovered.inlier_share > TUNING.min_match_share and len(recovered.pixels_after) > TUNING.min_matches
    alike, shared = appearance_similarity(before, after, recovered.T_after_before)
    assert alike < TUNING.min_appearance_similarity - 0.05 and shared > 0.9
    assert verify_loop(before, after) is None
    assert verify_loop(before, describe_place(replace(wall(1, 110), index=2))) is not None


def lit_from_the_left(view: PlaceView) -> PlaceView:
    """The same picture in the light of a lamp on one side, and darker."""
    lamp = np.exp(np.linspace(1.2, -1.8, SIDE))
    return replace(view, image=FeatureImage(np.clip(0.9 * view.image.grey * lamp, 0, 255).astype(np.uint8), MATRIX))


def test_light_from_another_side_makes_no_other_place() -> None:
    before, after = describe_place(wall(1)), describe_place(replace(lit_from_the_left(wall(1)), index=2))
    grey = np.corrcoef(before.thumbnail.ravel(), after.thumbnail.ravel())[0, 1]
    assert grey < TUNING.min_appearance_similarity - 0.1, "as the light falls they are different"
    assert appearance_similarity(before, after, np.eye(4))[0] > TUNING.min_appearance_similarity + 0.1
    assert verify_loop(before, after) is not None
    assert verify_loop(before, describe_place(lit_from_the_left(wall(2)))) is None


def test_what_is_seen_is_compared_where_the_second_place_sees_it() -> None:
    before, after = pose(5), pose(30)
    one, other = describe_place(plane_view(0, before)), describe_place(plane_view(1, after))
    true = invert_rigid(after) @ before
    alike, shared = appearance_similarity(one, other, true)
    assert alike > 0.9
    x, y = (np.linalg.norm((invert_rigid(before) @ after)[axis, 3]) for axis in (0, 1))
    assert 0.4 < shared < 1 - 0.5 * max(x, y) / 3
    assert appearance_similarity(one, other, np.eye(4))[0] < 0.5
    assert appearance_similarity(one, other, rigid(np.eye(3), [50.0, 0, 0])) == (0.0, 0.0)
    assert appearance_similarity(one, other, rigid(np.diag([-1.0, 1, -1]), np.zeros(3))) == (
        0.0,
        0.0,
    )  # behind the camera


def half_known(z: NDArray[np.floating]) -> Array:
    """Depths in the right half only."""
    return np.where(np.arange(HALF) < HALF // 2, np.nan, z)


def test_features_without_a_depth_are_remembered_last_and_do_no_harm() -> None:
    before, after = pose(5), pose(12)
    places = [
        describe_place(view_of(number, image(T), half_known(depths(T)), T)) for number, T in enumerate((before, after))
    ]
    for place in places:
        known = np.isfinite(place.log_depths)
        assert known.sum() == TUNING.place_features  # the right half has as many
        assert (place.features.pixels[:, 0] >= SIDE / 2 - 1).all()
    loop = verify_loop(*places)
    assert loop is not None and np.exp(loop.log_scale) == pytest.approx(1.0, rel=0.005)
    true = invert_rigid(before) @ after
    assert np.linalg.norm(loop.T_before_after[:3, 3] - true[:3, 3]) < 0.02 * np.linalg.norm(true[:3, 3]) + 0.002


def with_depths_of(share: float) -> Place:
    """A place that knows the depths of so many of its rows, from above."""
    z = depths(pose(5)).astype(np.float64)
    z[int(share * HALF) :] = np.nan
    return describe_place(view_of(0, image(pose(5)), z, pose(5)))


def test_those_with_a_depth_come_first_and_the_strongest_of_each() -> None:
    features = view_of(0, image(pose(5)), FLAT, pose(5)).image.features

    def named(pixels: NDArray[np.floating], descriptors: NDArray[np.generic]) -> list[tuple[float, ...]]:
        return [(*pixel, *descriptor) for pixel, descriptor in zip(pixels, descriptors, strict=True)]

    strength = {name: number for number, name in enumerate(named(features.pixels, features.descriptors))}
    assert len(strength) > 3 * TUNING.place_features
    for share in (1.0, 0.1, 0.0):
        place = with_depths_of(share)
        assert (
            len(place.features.pixels) == len(place.log_depths) == len(place.log_depth_sigmas) == TUNING.place_features
        )
        assert place.features.descriptors.shape == (TUNING.place_features, 128)
        known = np.isfinite(place.log_depths)
        assert (known == (np.arange(TUNING.place_features) < known.sum())).all()
        assert known.all() if share == 1 else known.sum() < TUNING.place_features
        numbers = np.array([strength[name] for name in named(place.features.pixels, place.features.descriptors)])
        assert (np.diff(numbers[known]) > 0).all() and (np.diff(numbers[~known]) > 0).all()
        rows, columns = (place.features.pixels[known, ::-1] // 2 + 0.5).astype(int).clip(0, HALF - 1).T
        np.testing.assert_allclose(np.exp(place.log_depths[known]), depths(pose(5))[rows, columns], rtol=0.01)


def test_what_is_remembered_of_a_place_is_seen_all_over_it() -> None:
    pixels = describe_place(plane_view(0, pose(5))).features.pixels
    shares, _, _ = np.histogram2d(*pixels.T, bins=3, range=[(0, SIDE), (0, SIDE)])
    assert len(pixels) == TUNING.place_features and shares.min() > 0.05 * TUNING.place_features


def test_a_place_without_depths_tells_where_it_is_but_no_scale() -> None:
    before, after = pose(5), pose(12)
    bare = describe_place(view_of(1, image(after), NO_DEPTH, np.eye(4)))
    assert np.isnan(bare.log_depths).all() and np.isnan(bare.thumbnail_log_depths).all() and bare.depth == 1.0
    loop = verify_loop(describe_place(plane_view(0, before)), bare)
    assert loop is not None
    true = invert_rigid(before) @ after
    assert np.linalg.norm(loop.T_before_after[:3, 3] - true[:3, 3]) < 0.02 * np.linalg.norm(true[:3, 3])
    assert (
        loop.log_scale == 0 and TUNING.unknown_scale_sigma <= loop.log_scale_sigma < 1.01 * TUNING.unknown_scale_sigma
    )
    assert verify_loop(bare, describe_place(plane_view(0, before))) is None  # of what length would the way be?


def test_places_without_features_are_no_loop() -> None:
    for grey in (np.zeros((SIDE, SIDE), np.uint8), np.full((SIDE, SIDE), 128, np.uint8)):
        blank = describe_place(view_of(1, grey, FLAT, np.eye(4)))
        assert len(blank.features.pixels) == len(blank.log_depths) == 0 and blank.depth == 1.0
        textured = describe_place(plane_view(0, pose(5)))
        assert verify_loop(blank, textured) is verify_loop(textured, blank) is verify_loop(blank, blank) is None


def test_one_grey_level_is_like_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    place = describe_place(plane_view(0, pose(5)))
    assert verify_loop(place, place) is not None
    monkeypatch.setattr(verification, "appearance_similarity", lambda *_: (np.nan, 1.0))
    assert verify_loop(place, place) is None


def test_a_place_is_small_and_holds_no_image() -> None:
    place = describe_place(plane_view(0, pose(5)))
    arrays = [getattr(place, name) for name in Place.__slots__]
    arrays = [each for each in arrays if isinstance(each, np.ndarray)]
    arrays += [place.features.pixels, place.features.descriptors]
    owned = [each if each.base is None else each.base for each in arrays]
    assert 95_000 < sum(each.nbytes for each in owned) < 105_000


def test_the_answer_does_not_depend_on_what_ran_before() -> None:
    one, other = describe_place(plane_view(0, pose(5))), describe_place(plane_view(1, pose(20)))
    answers = []
    for seed in (1, 2):
        cv2.setRNGSeed(seed)
        answers.append(verify_loop(one, other))
    first, second = answers
    assert first is not None and second is not None
    assert np.array_equal(first.T_before_after, second.T_before_after) and first.log_scale == second.log_scale
