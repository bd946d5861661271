import cv2
import numpy as np
import pytest
from plane_scene import MATRIX, TEXTURE, image, pose

from slam3r_ros.vision.feature_image import FeatureImage, Features
from slam3r_ros.vision.tuning import TUNING


def test_slopes_are_what_the_camera_projects() -> None:
    matrix = np.array([[200.0, 0, 110], [0, 100, 60], [0, 0, 1]])
    points = np.random.default_rng(0).uniform([-1, -1, 1], [1, 1, 4], (30, 3))
    projected = points @ matrix.T
    normalized_xy = FeatureImage(np.zeros((120, 220), np.uint8), matrix).normalized_xy(
        projected[:, :2] / projected[:, 2:]
    )
    np.testing.assert_allclose(normalized_xy, points[:, :2] / points[:, 2:], atol=1e-12)
    assert normalized_xy.dtype == np.float64


def test_features_lie_where_the_image_moved_them() -> None:
    before = FeatureImage(TEXTURE[600:824, 600:824].copy(), MATRIX).features
    after = FeatureImage(
        TEXTURE[610:834, 617:841].copy(), MATRIX
    ).features  # of the same wall 17 to the right, 10 below
    assert before.pixels.shape == (len(before.pixels), 2) and before.descriptors.shape == (len(before.pixels), 128)
    assert len(before.pixels) > 500
    inside = (before.pixels > 50).all(axis=1) & (before.pixels < 170).all(axis=1)
    some = np.flatnonzero(inside)[::5]
    distances = np.square(before.descriptors[some, None] - after.descriptors[None]).sum(axis=2)
    motions = after.pixels[distances.argmin(axis=1)] - before.pixels[some]
    assert (np.abs(motions - [-17, -10]).max(axis=1) < 0.5).mean() > 0.9


def test_weak_texture_has_features_and_none_has_none() -> None:
    whole = image(pose(0))
    faint = (127 + (whole - 127.0) / 4).astype(np.uint8)
    assert not cv2.SIFT.create().detect(faint, None)  # nor would it with SIFT's own thresholds
    assert len(FeatureImage(faint, MATRIX).features.pixels) > 0.7 * len(FeatureImage(whole, MATRIX).features.pixels)
    for level in (0, 90, 255):
        nothing = FeatureImage(np.full(whole.shape, level, np.uint8), MATRIX).features
        assert nothing.pixels.shape == (0, 2) and nothing.descriptors.shape == (0, 128)


def test_an_image_is_described_once_and_only_if_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[dict] = []
    create = cv2.SIFT.create

    def counted(**options: float) -> cv2.SIFT:
        made.append(options)
        return create(**options)  # type: ignore[call-overload]

    monkeypatch.setattr(cv2.SIFT, "create", counted)
    whole = FeatureImage(image(pose(0)), MATRIX)
    whole.normalized_xy(np.zeros((4, 2)))
    assert len(made) == 0
    features = whole.features
    assert len(made) == 1
    assert whole.features is features and len(made) == 1
    repeated = FeatureImage(whole.grey, MATRIX).features
    assert np.array_equal(repeated.pixels, features.pixels)
    assert np.array_equal(repeated.descriptors, features.descriptors)


def test_features_come_the_strongest_first_wherever_they_are() -> None:
    features = FeatureImage(TEXTURE[600:824, 600:824].copy(), MATRIX).features
    assert len(features.pixels) > 800
    first = features.pixels[:200]
    assert (np.histogram(first[:, 0], bins=4, range=(0, 224))[0] > 20).all()  # OpenCV has them from left to right
    faint = TEXTURE[600:824, 600:824].astype(np.float64)
    faint[:, 112:] = 128 + 0.2 * (faint[:, 112:] - 128)
    halves = FeatureImage(faint.astype(np.uint8), MATRIX).features.pixels[:, 0] > 112
    assert halves[: len(halves) // 4].mean() < 0.1 < 0.8 < halves[-len(halves) // 4 :].mean()


def test_histograms_are_compared_by_the_roots_of_their_shares() -> None:
    described = np.array([[1, 0, 3, 0], [0, 0, 0, 0]], np.uint8)
    rooted = Features(np.zeros((2, 2), np.float32), described).compared
    np.testing.assert_allclose(rooted, [[0.5, 0, np.sqrt(0.75), 0], [0, 0, 0, 0]], rtol=1e-6)
    as_they_are = Features(np.zeros((2, 2), np.float32), described, are_histograms=False).compared
    np.testing.assert_array_equal(as_they_are, described)


def test_features_are_found_in_an_image_of_bounded_size_and_lie_in_the_whole_one() -> None:
    large = cv2.resize(TEXTURE[:900, :1200], (2400, 1800), interpolation=cv2.INTER_LINEAR)
    found, small = FeatureImage(large, MATRIX), FeatureImage(large, MATRIX).smaller(TUNING.sift_side_px)
    assert min(small.grey.shape) == TUNING.sift_side_px
    factor = large.shape[1] / small.width
    np.testing.assert_array_equal(found.features.descriptors, small.features.descriptors)
    expected = (small.features.pixels + 0.5) * factor - 0.5
    np.testing.assert_allclose(found.features.pixels, expected, atol=0.01)
