"""Films: that they play, what their pictures show, and that they are whole or not there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from slanted_wall import reconstruction

from slam3r_ros.engine.keyframe_view import KeyframeView
from slam3r_ros.engine.reconstruction import Reconstruction
from slam3r_ros.film.film import VIEWS, FilmOptions, FilmScene, FilmView, in_parallel, make_film
from slam3r_ros.film.picture import BACKGROUND, coloured_depth, panel_width
from slam3r_ros.film.timeline import Timeline
from slam3r_ros.io.files import OutputError
from slam3r_ros.io.save import NothingMappedError
from slam3r_ros.types import StampedPose

av = pytest.importorskip("av")


def options(view: FilmView = "growing") -> FilmOptions:
    return FilmOptions(view=view, width=320, height=200, fps=10.0, seconds=1.0)


def pictures(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        assert container.streams.video[0].codec_context.name == "h264"
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def without_keyframes() -> Reconstruction:
    return replace(reconstruction(), keyframes=[])


@pytest.mark.parametrize("view", VIEWS)
def test_a_film_of_every_view_can_be_played(view: FilmView, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    count = make_film(
        reconstruction(), tmp_path / "map.mp4", options(view), lambda *done: bool(seen.append(done)) or True
    )
    found = pictures(tmp_path / "map.mp4")
    assert len(found) == count == (10 if view == "orbit" else 25), "1 s, and 1.5 s of ending but for the orbit"
    assert found[0].shape == (200, 320, 3)
    assert seen[0] == (1, count) and seen[-1] == (count, count)
    assert [path.name for path in tmp_path.iterdir()] == ["map.mp4"]
    beside = 0 if view == "orbit" else panel_width(320)
    map_part = found[-1][:, beside:].astype(int)
    drawn = np.abs(map_part - BACKGROUND).max(axis=2) > 30
    assert drawn.mean() > 0.15, "the wall fills a part of the picture"


def test_the_map_grows_and_the_input_is_beside_it() -> None:
    scene = FilmScene.of(reconstruction(), options())
    first, last = scene.picture(0), scene.picture(len(scene.timeline) - 1)
    beside = panel_width(320)
    drawn = [(np.abs(each[:, beside:].astype(int) - BACKGROUND).max(axis=2) > 30).sum() for each in (first, last)]
    assert drawn[0] < 0.9 * drawn[1]
    for picture, view in ((first, scene.keyframes[0]), (last, scene.keyframes[-1])):
        colours = picture[:, :beside][(picture[:, :beside, 2] > 50) & (picture[:, :beside, 2] < 70)].astype(float)
        assert len(colours) > 500, "the wall has 60 of blue everywhere"
        assert abs(colours[:, 0].mean() - view.image[..., 0].mean()) < 25


def test_along_the_path_a_picture_shows_what_the_camera_saw() -> None:
    source = reconstruction()
    scene = FilmScene.of(source, FilmOptions("path", 320, 200, 10.0, 1.0))
    picture = scene.picture(0)
    view = scene._view(0, (200, 320 - panel_width(320)))
    seen = view.project((source.points.points_world @ np.array([[0, -1, 0], [0, 0, -1], [1, 0, 0]])).astype(np.float32))
    columns, rows = np.rint(seen.pixels).astype(int).T
    inside = (columns > 5) & (columns < view.size[1] - 5) & (rows > 5) & (rows < view.size[0] - 5)
    shown = picture[rows[inside], columns[inside] + panel_width(320)].astype(int)
    assert inside.sum() > 100
    assert np.median(np.abs(shown - source.points.colours[inside].astype(int))) < 12


def test_a_film_that_is_stopped_can_be_played(tmp_path: Path) -> None:
    count = make_film(reconstruction(), tmp_path / "map.mp4", options(), lambda done, total: done < 4)
    assert count == len(pictures(tmp_path / "map.mp4")) == 4


def test_an_error_leaves_the_film_of_before_and_nothing_else(tmp_path: Path) -> None:
    make_film(reconstruction(), tmp_path / "map.mp4", options("orbit"))
    before = (tmp_path / "map.mp4").read_bytes()

    def interrupt(done: int, total: int) -> bool:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_film(reconstruction(), tmp_path / "map.mp4", options(), interrupt)
    assert (tmp_path / "map.mp4").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["map.mp4"]
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError, match="it is a folder"):
        make_film(reconstruction(), tmp_path / "folder", options())
    with pytest.raises(OutputError, match="cannot make the folder"):
        make_film(reconstruction(), tmp_path / "map.mp4" / "film.mp4", options())


def test_maps_without_keyframes_or_points(tmp_path: Path) -> None:
    assert make_film(without_keyframes(), tmp_path / "map.mp4", options()) == 25
    with pytest.raises(NothingMappedError, match="no map to make a film of"):
        make_film(replace(without_keyframes(), trajectory=[]), tmp_path / "other.mp4", options())
    assert not (tmp_path / "other.mp4").exists()


def test_a_film_is_as_long_as_the_recording_within_limits() -> None:
    source = reconstruction()
    assert len(Timeline.of(source.keyframes, source.trajectory, None, 10)) == 60, "at least 6 s"
    for seconds, expected in ((17, 170), (4000, 400)):
        long = [StampedPose(n * seconds * 10**9, pose.T_world_camera) for n, pose in enumerate(source.trajectory[:2])]
        assert len(Timeline.of([], long, None, 10)) == expected


def test_a_timeline_knows_what_was_there_when() -> None:
    source = reconstruction()
    line = Timeline.of(source.keyframes, source.trajectory, 3.1, 10)
    assert line.keyframe_counts[[0, -1]].tolist() == [1, 4] and (np.diff(line.keyframe_counts) >= 0).all()
    assert line.pose_counts[[0, -1]].tolist() == [1, 10]
    assert line.recorded_s[-1] == pytest.approx(0.3)
    steps = np.linalg.norm(np.diff(line.poses[:, :3, 3], axis=0), axis=1)
    assert steps.max() < 2.5 * np.median(steps), "the path is smooth"
    np.testing.assert_allclose(np.linalg.det(line.poses[:, :3, :3]), 1)


def test_colours_of_depths() -> None:
    near, far, unknown = coloured_depth(np.array([[1.0, 4.0, np.nan]], np.float32), (1.0, 4.0))[0].astype(int)
    assert near[0] > 2 * near[2] and far[2] > far[1] and unknown.tolist() == list(BACKGROUND)


def test_parallel_results_come_in_order() -> None:
    assert list(in_parallel(lambda n: n * n, range(50))) == [n * n for n in range(50)]
    with pytest.raises(ZeroDivisionError):
        list(in_parallel(lambda n: 1 // n, [1, 0, 2]))


class CountingKeyframes(Sequence[KeyframeView]):
    """Keyframes that count how often each is read, as from a file."""

    def __init__(self, keyframes: Sequence[KeyframeView]) -> None:
        self._keyframes, self.reads = keyframes, 0

    def __len__(self) -> int:
        return len(self._keyframes)

    def __getitem__(self, position: int) -> KeyframeView:  # type: ignore[override]
        self.reads += 1
        return self._keyframes[position]


def test_keyframes_are_read_when_they_are_shown_and_not_kept() -> None:
    source = reconstruction()
    keyframes = CountingKeyframes(source.keyframes)
    scene = FilmScene.of(replace(source, keyframes=keyframes), options())
    assert (
        keyframes.reads <= 3 * len(keyframes) + 3
    )  # splats, poses, a sample of depths; an iteration reads one too many
    before = keyframes.reads
    expected = FilmScene.of(source, options()).picture(5)
    np.testing.assert_array_equal(scene.picture(5), expected)
    assert keyframes.reads == before + 1
