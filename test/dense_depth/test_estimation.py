import cv2
import numpy as np
import pytest
from layer_scene import HEIGHT, WIDTH, depth, is_on_board, pose, view
from numpy.typing import NDArray
from plane_scene import MATRIX, SIDE
from plane_scene import depths as wall_depths
from plane_scene import image as wall_image
from plane_scene import pose as wall_pose

from slam3r_ros.dense_depth.estimation import dense_depth
from slam3r_ros.dense_depth.posed_view import DepthMap, PosedView
from slam3r_ros.geometry.se3 import Array

REFERENCE = pose(0)
AROUND = [pose(-0.15, 0.02), pose(0.16), pose(0.03, -0.14), pose(-0.02, 0.15, 0.05, 0.02)]


def guess_of(true: NDArray[np.float32]) -> NDArray[np.float32]:
    """The depths of some pixels of the centre square, a tenth wrong."""
    guess = np.full(true.shape, np.nan, np.float32)
    margin = (true.shape[1] - true.shape[0]) // 2
    guess[::9, margin : true.shape[1] - margin : 7] = 1.1 * true[::9, margin : true.shape[1] - margin : 7]
    return guess


def errors(found: DepthMap, true: NDArray[np.float32]) -> Array:
    return np.asarray(np.abs(np.log(found.depth / true))[found.is_known], np.float64)


@pytest.fixture(scope="module")
def found() -> DepthMap:
    return dense_depth(view(REFERENCE), [view(each) for each in AROUND], guess_of(depth(REFERENCE)))


def test_depth_of_the_whole_image_is_that_of_the_scene(found: DepthMap) -> None:
    off = errors(found, depth(REFERENCE))
    assert found.depth.shape == (HEIGHT, WIDTH) and found.depth.dtype == found.sigma.dtype == np.float32
    assert found.is_known.mean() > 0.8
    assert np.median(off) < 0.005 and (off < 0.05).mean() > 0.97


def test_sigma_is_infinite_where_depth_is_unknown_and_grows_with_the_error(found: DepthMap) -> None:
    assert (np.isinf(found.sigma) == ~found.is_known).all()
    off = errors(found, depth(REFERENCE))
    sigma = found.sigma[found.is_known]
    assert (off < 2 * sigma).mean() > 0.95
    sure = sigma < np.quantile(sigma, 0.5)
    assert np.quantile(off[sure], 0.95) < np.quantile(off[~sure], 0.95)


def test_pixels_hidden_from_half_of_the_partners_are_right_or_unsure(found: DepthMap) -> None:
    board = is_on_board(REFERENCE).astype(np.uint8)
    beside = (cv2.dilate(board, np.ones((25, 25), np.uint8)) > 0) & (board == 0)
    true = depth(REFERENCE)
    known = beside & found.is_known
    off = np.abs(np.log(found.depth[known] / true[known]))
    assert ((off < 0.05) | (off < 3 * found.sigma[known])).mean() > 0.97


def test_a_slanted_wall_is_exact() -> None:
    # Given poses are exact here, so nothing is to be corrected.
    poses = [wall_pose(0), *(wall_pose(number) for number in (-9, -5, 5, 9))]
    reference, *partners = (PosedView(wall_image(each), MATRIX, each) for each in poses)
    half = wall_depths(poses[0])
    true = np.asarray(cv2.resize(half, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR), np.float32)
    result = dense_depth(reference, partners, true, align=False)
    assert result.is_known.mean() > 0.8
    assert np.median(errors(result, true)) < 0.004


@pytest.mark.parametrize("factor", [0.7, 1.4])
def test_scale_of_the_guess_does_not_matter(factor: float, found: DepthMap) -> None:
    other = dense_depth(
        view(REFERENCE), [view(each) for each in AROUND], np.float32(factor) * guess_of(depth(REFERENCE))
    )
    both = found.is_known & other.is_known
    assert both.mean() > 0.75
    assert np.median(np.abs(np.log(found.depth[both] / other.depth[both]))) < 0.005


def test_scene_units_do_not_matter(found: DepthMap) -> None:
    def grown(T: Array) -> Array:
        larger = T.copy()
        larger[:3, 3] *= 50
        return larger

    views = [view(each) for each in (REFERENCE, *AROUND)]
    reference, *partners = (each.placed(grown(each.T_world_camera)) for each in views)
    other = dense_depth(reference, partners, np.float32(50) * guess_of(depth(REFERENCE)))
    both = found.is_known & other.is_known
    assert (found.is_known == other.is_known).mean() > 0.99
    assert np.abs(np.log(other.depth[both] / found.depth[both] / 50)).max() < 0.02


def test_light_of_the_partners_does_not_matter(found: DepthMap) -> None:
    partners = [view(each, light=light) for each, light in zip(AROUND, (0.6, 0.8, 1.1, 0.7), strict=True)]
    off = errors(dense_depth(view(REFERENCE), partners, guess_of(depth(REFERENCE))), depth(REFERENCE))
    assert np.median(off) < 0.01


def test_wrong_poses_are_corrected() -> None:
    # By a few pixels in the image. What they change in common is a scale of all depths, which images cannot tell from
    # a turn where nearly all lies in one plane, as here: the rest is what counts.
    true, random = depth(REFERENCE), np.random.default_rng(3)
    partners = []
    for each in AROUND:
        moved = each @ pose(*random.normal(0, 0.004, 3), turn=random.normal(0, 0.004))
        partners.append(view(each).placed(moved))

    def bent(align: bool) -> float:
        result = dense_depth(view(REFERENCE), partners, guess_of(true), align=align)
        offsets = np.log(result.depth / true)[result.is_known]
        return float(np.median(np.abs(offsets - np.median(offsets))))

    assert bent(True) < 0.7 * bent(False)


@pytest.mark.parametrize(
    "partners", [[], [pose(0, turn=0.05), pose(0, turn=-0.05)]], ids=["no partner", "no way between the cameras"]
)
def test_nothing_is_known_without_parallax(partners: list[Array]) -> None:
    result = dense_depth(view(REFERENCE), [view(each) for each in partners], guess_of(depth(REFERENCE)))
    assert not result.is_known.any() and np.isinf(result.sigma).all()


def test_nothing_is_known_without_a_guess() -> None:
    nothing = np.full((HEIGHT, WIDTH), np.nan, np.float32)
    assert not dense_depth(view(REFERENCE), [view(AROUND[0])], nothing).is_known.any()


def test_a_grey_wall_is_not_known() -> None:
    blank = np.full((HEIGHT, WIDTH), 120, np.uint8)
    reference, *partners = (PosedView(blank, view(each).matrix, each) for each in (REFERENCE, *AROUND))
    assert dense_depth(reference, partners, guess_of(depth(REFERENCE))).is_known.mean() < 0.05


def test_guess_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match=r"expected a guess of \(240, 320\), got \(10, 10\)"):
        dense_depth(view(REFERENCE), [view(AROUND[0])], np.ones((10, 10), np.float32))
