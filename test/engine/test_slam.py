import gc
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from engine_events import only_map_updates, without_views
from synthetic import textured_image

from slam3r_lab.evaluation.parity import sequence_settings
from slam3r_ros.engine import mapping as engine_mapping
from slam3r_ros.engine.events import Update
from slam3r_ros.engine.keyframe_buffer import KeyframeBuffer
from slam3r_ros.engine.slam import Slam
from slam3r_ros.engine.tracking import KeyframeRequest
from slam3r_ros.geometry.camera import Camera
from slam3r_ros.networks.weights import Networks
from slam3r_ros.setting_spec import SettingError
from slam3r_ros.settings import SlamSettings
from slam3r_ros.types import (
    Frame,
    ImageHeader,
    LocalPointmap,
    MapUpdate,
    PoseEstimate,
    PoseUpdate,
    PreparedFrame,
    State,
    StreamFrame,
    Window,
)

ACCEPT_ALL = {
    "window.stride": 1,
    "pose.minimum_inliers": 0.0,
    "initialize.minimum_motion": 0.0,
    "initialize.minimum_texture": 0.0,
}


def make_slam(networks: Networks, **values: object) -> Slam:
    dotted = {name.replace("__", "."): value for name, value in values.items()}
    return Slam(networks, SlamSettings().with_values(ACCEPT_ALL | dotted))


def push_images(slam: Slam, numbers: range) -> list[list[Update]]:
    return [without_views(slam.push(Frame(number * 1_000, textured_image(number)))) for number in numbers]


def live_tensor_bytes() -> int:
    gc.collect()
    storages = (t.untyped_storage() for t in gc.get_objects() if issubclass(type(t), torch.Tensor))
    return sum({storage.data_ptr(): storage.nbytes() for storage in storages}.values())


def test_without_lookahead_every_frame_is_answered_at_once(tiny_networks: Networks) -> None:
    slam = make_slam(tiny_networks, window__stride=3)
    answers = push_images(slam, range(30))
    assert [len(updates) for updates in answers] == [0] * 12 + [13] + [1] * 17
    updates = only_map_updates(update for answer in answers for update in answer)
    assert [update.index for update in updates] == list(range(30))
    assert [update.header.stamp_ns for update in updates] == [number * 1_000 for number in range(30)]
    assert slam.flush() == []


def test_frames_pushed_together_are_registered_together(tiny_networks: Networks) -> None:
    slam = make_slam(tiny_networks, window__stride=3)
    push_images(slam, range(20))
    updates = only_map_updates(slam.push(*(Frame(number * 1_000, textured_image(number)) for number in (20, 21))))
    assert [update.index for update in updates] == [20, 21]
    assert [update.registration.registered for update in updates if update.registration] == [(20, 21)] * 2
    assert slam.push() == []


def test_with_full_lookahead_it_does_not_matter_how_frames_are_pushed(golden: Path, golden_networks: Networks) -> None:
    settings = sequence_settings({"win_r": 2, "initial_winsize": 4, "num_scene_frame": 3, "buffer_size": 5}, stride=4)
    with np.load(golden / "sequence_stride2" / "expected.npz") as file:
        frames = [Frame(number, image) for number, image in enumerate(file["images"])]
    results = []
    for size in (1, 5):
        slam = Slam(golden_networks, settings)
        updates = [u for i in range(0, len(frames), size) for u in slam.push(*frames[i : i + size])] + slam.flush()
        results.append({update.index: update.pointmaps.points_world for update in only_map_updates(updates)})
    assert results[0].keys() == results[1].keys() == set(range(len(frames)))
    for index, points in results[0].items():
        np.testing.assert_allclose(results[1][index], points, rtol=1e-3, atol=1e-4)


def test_a_thousand_frames_in_bounded_memory_and_work(tiny_networks: Networks) -> None:
    slam = make_slam(tiny_networks, window__stride=2, keyframes__buffer_size=6, map__maximum_points=5000)
    tokens = 0

    def count(_module: torch.nn.Module, _inputs: object, output: torch.Tensor) -> None:
        nonlocal tokens
        tokens += output.numel() // output.shape[-1]

    networks = (tiny_networks.i2p, tiny_networks.l2w)
    hooks = [b.register_forward_hook(count) for n in networks for b in (*n.reference_blocks, *n.source_blocks)]
    work, memory = [], {}
    for number in range(1000):
        tokens = 0
        slam.push(Frame(number, textured_image(number)))
        work.append(tokens)
        if number in (399, 999):
            memory[number] = live_tensor_bytes()
    for hook in hooks:
        hook.remove()
    assert slam.status().registered == 1000
    assert max(work[750:]) == max(work[100:500])
    assert memory[999] == memory[399]
    assert slam.status().map_points <= 5000
    assert slam.status().keyframes == 6


@pytest.mark.parametrize("lookahead", [0, 2])
def test_two_images_are_enough(tiny_networks: Networks, lookahead: int) -> None:
    slam = make_slam(tiny_networks, window__radius=2, window__lookahead=lookahead)
    assert push_images(slam, range(2)) == [[], []]
    updates = only_map_updates(slam.flush())
    assert [update.index for update in updates] == [0, 1]
    assert slam.status().state is State.TRACKING


def test_two_images_are_enough_for_the_smallest_window_without_an_end(tiny_networks: Networks) -> None:
    slam = make_slam(tiny_networks, window__radius=1, initialize__window_size=2)
    assert [len(updates) for updates in push_images(slam, range(5))] == [0, 2, 1, 1, 1]


def test_a_stream_shorter_than_the_stride_is_flushed_with_what_there_is(tiny_networks: Networks) -> None:
    slam = make_slam(tiny_networks, window__stride=10)
    push_images(slam, range(4))
    assert [update.index for update in only_map_updates(slam.flush())] == [0, 1, 2, 3]


@pytest.mark.parametrize("stride", [3, -1])
def test_a_pause_while_initialising_leaves_the_stride_as_it_was(tiny_networks: Networks, stride: int) -> None:
    values = {"window__stride": stride, "window__adapt_frames": 20, "initialize__minimum_motion": 0.5}
    paused, other = make_slam(tiny_networks, **values), make_slam(tiny_networks, **values)
    for number in range(2):
        paused.push(Frame(number, textured_image(0)))
    assert paused.flush() == []  # the camera has not moved
    assert paused.status().state is State.INITIALIZING
    push_images(paused, range(2, 42))
    push_images(other, range(2, 42))
    assert paused.status().state is other.status().state is State.TRACKING
    assert paused.status().stride == other.status().stride > 1
    assert len(paused.keyframes()) == len(other.keyframes())


def test_memory_that_is_full_when_the_world_begins_costs_one_frame(
    tiny_networks: Networks, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = iter(range(9))

    def full_once(*arguments: Any) -> KeyframeBuffer:
        if next(calls) == 0:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return KeyframeBuffer(*arguments)

    monkeypatch.setattr(engine_mapping, "KeyframeBuffer", full_once)
    slam = make_slam(tiny_networks, window__stride=2)
    push_images(slam, range(8))
    with pytest.raises(torch.OutOfMemoryError):
        push_images(slam, range(8, 9))
    assert [len(updates) for updates in push_images(slam, range(9, 12))] == [10, 1, 1]
    assert slam.status().state is State.TRACKING


def test_one_image_alone_is_answered_with_a_clear_state(tiny_networks: Networks) -> None:
    slam = make_slam(tiny_networks)
    push_images(slam, range(1))
    assert slam.flush() == []
    status = slam.status()
    assert status.state is State.INITIALIZING
    assert "at least two images" in status.reason


def test_no_image_at_all(tiny_networks: Networks) -> None:
    slam = make_slam(tiny_networks)
    assert slam.flush() == []
    assert slam.status().state is State.WAITING_FOR_IMAGES
    assert len(slam.map_points()) == 0


@pytest.mark.parametrize(
    ("images", "reason"),
    [
        ([np.zeros((48, 64, 3), np.uint8)] * 40, "no texture"),
        ([np.full((48, 64, 3), 255, np.uint8)] * 40, "no texture"),
        ([textured_image(3)] * 40, "no motion"),
    ],
)
def test_failed_initialisation_says_why_and_goes_on_trying(tiny_networks: Networks, images: list, reason: str) -> None:
    slam = Slam(tiny_networks, SlamSettings().with_values({"window.stride": 1, "pose.minimum_inliers": 0.0}))
    for number, image in enumerate(images):
        assert slam.push(Frame(number, image)) == []
    status = slam.status()
    assert status.state is State.INITIALIZING
    assert reason in status.reason
    assert status.initialisations_failed == 36
    updates = [update for number in range(40, 50) for update in slam.push(Frame(number, textured_image(5 * number)))]
    assert only_map_updates(updates)[-1].index == 49
    assert slam.status().state is State.TRACKING


def test_low_confidence_is_a_reason_too(tiny_networks: Networks) -> None:
    slam = make_slam(tiny_networks, initialize__minimum_confidence=1e6)
    push_images(slam, range(6))
    assert "confidence too low" in slam.status().reason
    assert slam.status().initialisations_failed == 2


def test_lost_frames_add_nothing_to_map_and_buffer(tiny_networks: Networks) -> None:
    slam = make_slam(tiny_networks, pose__minimum_confidence=1e6, map__point_confidence=0.0)
    updates = only_map_updates(update for answer in push_images(slam, range(20)) for update in answer)
    assert {update.state for update in updates} == {State.LOST}
    assert len(slam.map_points()) == 0
    assert slam.trajectory() == []
    assert len(slam.keyframes()) == 5
    status = slam.status()
    assert (status.state, status.lost_frames) == (State.LOST, 20)
    assert "needed 1000000.00" in status.reason


def test_what_was_added_is_what_the_map_holds(tiny_networks: Networks) -> None:
    slam = make_slam(tiny_networks, map__voxel_size=0.001)
    updates = only_map_updates(update for answer in push_images(slam, range(12)) for update in answer)
    assert sum(len(update.added) for update in updates) == len(slam.map_points()) == slam.status().map_points > 0


def test_thresholds_change_between_two_frames_and_everything_else_is_refused(tiny_networks: Networks) -> None:
    slam = make_slam(tiny_networks)
    push_images(slam, range(6))
    before, lost = len(slam.map_points()), slam.status().lost_frames
    assert before > 0 and lost == 0
    with pytest.raises(SettingError, match="window.radius: the engine is made with it"):
        slam.change_settings(slam.settings.with_values({"window.radius": 1, "map.point_confidence": 99.0}))
    slam.change_settings(slam.settings.with_values({"map.point_confidence": 1e6}))
    push_images(slam, range(6, 8))
    assert len(slam.map_points()) == before, "nothing is confident enough any more"
    slam.change_settings(slam.settings.with_values({"pose.minimum_confidence": 1e6}))
    push_images(slam, range(8, 10))
    assert slam.status().lost_frames == 2
    coarse = 4 * slam.status().voxel_size
    slam.change_settings(slam.settings.with_values({"map.voxel_size": coarse}))
    assert slam.status().voxel_size == coarse and slam.status().map_points == len(slam.map_points()) < before
    slam.change_settings(slam.settings.with_values({"initialize.minimum_texture": 255.0}))
    slam.reset("test")
    push_images(slam, range(6))
    assert "texture" in slam.status().reason


def test_reset_starts_again(tiny_networks: Networks) -> None:
    slam = make_slam(tiny_networks)
    push_images(slam, range(10))
    slam.reset("asked for")
    status = slam.status()
    assert (status.state, status.reason, status.registered) == (State.WAITING_FOR_IMAGES, "asked for", 0)
    assert slam.trajectory() == slam.keyframes() == []
    updates = only_map_updates(update for answer in push_images(slam, range(10, 20)) for update in answer)
    assert len(updates) == 10


def test_the_stride_is_chosen_from_the_first_frames(tiny_networks: Networks) -> None:
    slam = make_slam(tiny_networks, window__stride=-1, window__adapt_frames=20)
    answers = push_images(slam, range(19))
    assert slam.status().reason == "choosing the stride: 19 of 20 frames"
    assert not any(answers)
    answers = push_images(slam, range(19, 30))
    assert [update.index for answer in answers for update in only_map_updates(answer)] == list(range(30))


def test_keyframes_are_recorded_with_stamp_and_pose(tiny_networks: Networks) -> None:
    slam = make_slam(tiny_networks, window__stride=2, keyframes__interval=2)
    updates = only_map_updates(update for answer in push_images(slam, range(40)) for update in answer)
    records = slam.keyframes()
    assert [record.id for record in records] == list(range(len(records)))
    assert [record.index for record in records[:5]] == [0, 2, 4, 6, 8]
    assert len(records) > 12
    assert all(record.header.stamp_ns == record.index * 1_000 for record in records)
    assert [record for update in updates for record in update.new_keyframes] == records


def test_known_intrinsics_reach_the_pose(tiny_networks: Networks) -> None:
    camera = Camera(64, 48, fx=90.0, fy=90.0, cx=31.5, cy=23.5)
    slam = make_slam(tiny_networks)
    updates = only_map_updates(u for n in range(8) for u in slam.push(Frame(n, textured_image(n), camera)))
    focal_lengths = [update.pose.focal_px for update in updates if update.pose is not None]
    assert focal_lengths == pytest.approx([90.0 * 32 / 48] * 8, rel=0.02)


@pytest.mark.parametrize("found", [77.0, None])
def test_the_focal_length_that_the_tracks_have_found_is_that_of_the_poses(
    tiny_networks: Networks, found: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    slam = make_slam(tiny_networks, pose__tracks="on")
    odometry, localization = slam._mapping._refinement._odometry, slam._mapping._localization
    assert odometry is not None
    monkeypatch.setattr(odometry, "focal_px", lambda frame: found)
    estimate, given = localization._poses.estimate, list[float | None]()

    def spy(*values: object) -> PoseEstimate | None:
        given.append(values[5])  # type: ignore[arg-type]
        pose = estimate(*values)  # type: ignore[arg-type]
        assert pose is not None and (pose.focal_px == pytest.approx(77.0)) == (found is not None)
        return pose

    monkeypatch.setattr(localization._poses, "estimate", spy)
    push_images(slam, range(8))
    assert len(given) >= 5 and set(given) == {found}


def test_scene_frames_are_retrieved_at_the_interval_and_when_the_buffer_changes(tiny_networks: Networks) -> None:
    slam = make_slam(tiny_networks, keyframes__interval=10, register__scene_frames=3, register__retrieval_interval=4)
    updates = only_map_updates(update for answer in push_images(slam, range(45)) for update in answer)
    calls = [update.registration for update in updates if update.registration is not None]
    fresh = [
        index
        for index, call in enumerate(calls)
        if index == 0 or call.candidate_scores is not calls[index - 1].candidate_scores
    ]
    # Frames 5 to 44: every fourth, and again from the frame after each tenth, when keyframes have entered.
    assert fresh == [0, 4, 8, 10, 14, 18, 20, 24, 28, 30, 34, 38]


@pytest.mark.parametrize("lookahead", [0, 2])
def test_windows_keep_their_span_when_images_are_left_out(
    tiny_networks: Networks, monkeypatch: pytest.MonkeyPatch, lookahead: int
) -> None:
    slam = make_slam(tiny_networks, window__stride=4, window__radius=2, window__lookahead=lookahead)
    estimate, windows = slam._image_to_points.estimate, []

    def spy(given: list[Window]) -> list[LocalPointmap]:
        windows.extend(given)
        return estimate(given)

    monkeypatch.setattr(slam._image_to_points, "estimate", spy)
    in_stream = [*range(40), *range(41, 161, 2)]  # the machine becomes too slow for the camera
    updates = [u for n, image in enumerate(in_stream) for u in slam.push(Frame(n, textured_image(n), number=image))]
    updates += slam.flush()
    assert [update.index for update in only_map_updates(updates)] == list(range(100))
    spans = {w.reference.source_index: [s.source_index - w.reference.source_index for s in w.sources] for w in windows}
    assert set(spans) > set(range(20, 38)) | set(range(61, 121, 2))
    expected = {-8, -4} if lookahead == 0 else {-8, -4, 4, 8}
    for reference in [*range(20, 30), *range(61, 121, 2)]:
        assert set(spans[reference]) == expected, reference
    status = slam.status()
    assert status.stride == 4
    assert status.images_per_frame == pytest.approx(2.0, abs=0.06)
    assert len(slam._ring) <= 2 * 4 * (2 if lookahead else 1)


def test_a_world_is_set_up_over_the_same_time_when_images_are_left_out(tiny_networks: Networks) -> None:
    slam = make_slam(tiny_networks, window__stride=4)
    answers = [
        only_map_updates(slam.push(Frame(number, textured_image(number), number=2 * number))) for number in range(10)
    ]
    assert [len(updates) for updates in answers] == [0] * 8 + [9, 1]  # 16 images on, not 16 frames


def test_what_is_still_missing_is_told_in_images(tiny_networks: Networks) -> None:
    slam = make_slam(tiny_networks, window__stride=4)
    slam.push(Frame(0, textured_image(0), number=0), Frame(1, textured_image(1), number=4))
    assert slam.status().reason == "filling the initial window: 5 of 17 images"


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        ([20, 23, 28], [0, 3, 8]),  # the stream began without the engine
        ([None, None, None], [0, 1, 2]),  # nobody counts
        ([3, 3, 2, 4], [0, 1, 2, 4]),  # not a number's fault that there is an image
        ([5, None, 9], [0, 1, 2]),
    ],
)
@pytest.mark.parametrize("how", ["one by one", "together", "ahead", "some ahead"])
def test_a_frame_s_place_in_the_stream_follows_from_the_numbers_of_the_images(
    tiny_networks: Networks, how: str, numbers: list[int | None], expected: list[int]
) -> None:
    slam = make_slam(tiny_networks, window__stride=4)
    frames = [Frame(n, textured_image(n), number=number) for n, number in enumerate(numbers)]
    ahead = [slam.encoder.encode_ahead(slam.encoder.prepare(frame)) for frame in frames]
    given = {"ahead": ahead, "some ahead": [ahead[0], *frames[1:]]}.get(how, frames)
    for batch in [[frame] for frame in given] if how == "one by one" else [given]:
        slam.push(*batch)
    ring = slam._ring
    places = [(ring[index].index, ring[index].source_index, ring[index].stamp_ns) for index in range(len(numbers))]
    assert places == [(index, place, index) for index, place in enumerate(expected)]
    images = [1, *np.diff(expected).tolist()]
    average = 1.0
    for count in images:
        average += 0.05 * (count - average)
    assert slam.status().images_per_frame == pytest.approx(average)


def test_after_a_reset_the_images_are_counted_anew(tiny_networks: Networks) -> None:
    slam = make_slam(tiny_networks, window__stride=4)
    slam.push(Frame(0, textured_image(0), number=0), Frame(1, textured_image(1), number=2))
    slam.reset("asked for")
    slam.push(Frame(2, textured_image(2), number=1000), Frame(3, textured_image(3), number=1003))
    assert slam.status().reason == "filling the initial window: 4 of 17 images"
    assert slam.status().images_per_frame == pytest.approx(1 + 0.05 * 2)


def test_images_for_which_there_was_no_memory_are_counted(
    tiny_networks: Networks, monkeypatch: pytest.MonkeyPatch
) -> None:
    slam = make_slam(tiny_networks, window__stride=4)
    slam.push(Frame(0, textured_image(0), number=0))

    def full(*_: object) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    with monkeypatch.context() as patch:
        patch.setattr(slam.encoder, "encode", full)
        assert slam.push(Frame(1, textured_image(1), number=1)) == []
    slam.push(Frame(2, textured_image(2), number=4))
    assert [slam._ring[index].source_index for index in range(2)] == [0, 4]


def test_every_update_has_its_own_frame_s_header(tiny_networks: Networks) -> None:
    """Keyframes too, though they enter the buffer later, when the camera may be another one."""
    slam = make_slam(tiny_networks, window__stride=2, window__lookahead=1, keyframes__interval=7)
    sizes = [(48, 64), (60, 40)]
    cameras = [Camera(width, height, 90.0 + width, 90.0, width / 2, height / 2) for height, width in sizes]

    def frame(n: int) -> Frame:
        height, width = sizes[n // 20 % 2]
        return Frame(n, textured_image(n, height, width), cameras[n // 20 % 2], frame_id=f"camera {n}", number=2 * n)

    updates = only_map_updates([u for n in range(60) for u in slam.push(frame(n))] + slam.flush())
    assert [update.index for update in updates] == list(range(60))
    records = [record for update in updates for record in update.new_keyframes]
    assert len(records) > 15 and any(r.index < 20 <= u.index for u in updates for r in u.new_keyframes)
    for header, n in [(each.header, each.index) for each in (*updates, *records)]:
        assert header == ImageHeader(n, sizes[n // 20 % 2], cameras[n // 20 % 2], f"camera {n}", 2 * n)
    assert all(record.crop_size == (32, 32) for record in records)
    assert records == slam.keyframes()


class Chosen:
    """Tracks as it is told: a frame that is tracked has a pose at once, a keyframe is registered."""

    def __init__(self, tracked: Sequence[bool], keyframes: Sequence[bool]) -> None:
        self._choices = iter(zip(tracked, keyframes, strict=True))

    def track(
        self, frames: Sequence[StreamFrame], window_of: Callable[[StreamFrame], Window | None]
    ) -> Iterator[PoseUpdate | KeyframeRequest]:
        for frame in frames:
            is_tracked, is_keyframe = next(self._choices)
            if is_tracked:
                pose = PoseEstimate(np.eye(4), 100.0, 1.0, 0.1, 1.0, 0.0, by_tracks=True)
                yield PoseUpdate(frame.index, frame.header, pose, is_keyframe)
            if is_keyframe and (window := window_of(frame)) is not None:
                yield KeyframeRequest((window,), has_pose=is_tracked)


@pytest.mark.parametrize("is_heard", [False, True])
def test_the_first_that_is_told_of_each_frame_is_told_in_order(tiny_networks: Networks, is_heard: bool) -> None:
    """Whoever takes a frame's first event for its pose gets poses with ascending stamps."""
    tracked = [False, True, True, False, True, True, False, False, True, True, True]
    keyframes = [True, True, False, True, True, False, True, True, False, True, False]
    heard = list[Update]()
    slam = make_slam(tiny_networks, pose__tracks="on", loops__close=False, initialize__window_size=2)
    slam.on_update = heard.append if is_heard else None
    head = [event for answer in push_images(slam, range(2)) for event in answer]
    slam._tracking = Chosen(tracked, keyframes)
    events = [event for n in range(len(tracked)) for event in slam.push(Frame(n, textured_image(2 + n)))]
    events += slam.flush()
    assert without_views(heard) == (head + without_views(events) if is_heard else [])
    first, count = len(head), len(tracked)
    assert list(dict.fromkeys(event.index for event in events)) == list(range(first, first + count))
    mapped = [event.index - first for event in events if isinstance(event, MapUpdate)]
    assert mapped == [index for index, is_keyframe in enumerate(keyframes) if is_keyframe]
    alone = [event.index - first for event in events if isinstance(event, PoseUpdate)]
    assert alone == [index for index, is_tracked in enumerate(tracked) if is_tracked]


@pytest.mark.parametrize("only_keyframes", [True, False])
def test_only_frames_that_a_window_needs_are_encoded(
    tiny_networks: Networks, monkeypatch: pytest.MonkeyPatch, only_keyframes: bool
) -> None:
    slam = make_slam(
        tiny_networks,
        pose__tracks="on",
        register__only_keyframes=only_keyframes,
        loops__close=False,
        initialize__window_size=2,
        window__stride=2,
        window__radius=1,
        window__lookahead=0,
    )
    encoded, encode = list[int](), slam.encoder._encode

    def spy(prepared: Sequence[PreparedFrame]) -> object:
        encoded.extend(frame.header.stamp_ns for frame in prepared)
        return encode(prepared)

    monkeypatch.setattr(slam.encoder, "_encode", spy)
    for number in range(3):
        slam.push(Frame(number, textured_image(number)))
    tracked, keyframes = [True] * 12, [number % 6 == 5 for number in range(12)]
    if only_keyframes:
        slam._tracking = Chosen(tracked, keyframes)
    encoded.clear()
    for number in range(3, 15):
        slam.push(Frame(number, textured_image(number)))
    slam.flush()
    expected = [6, 8, 12, 14] if only_keyframes else list(range(3, 15))
    assert sorted(encoded) == expected  # the keyframes 8 and 14, and the source of each two images before it
    assert slam.status().processed == 15


def test_a_keyframe_that_there_is_no_memory_to_encode_is_left_out(
    tiny_networks: Networks, monkeypatch: pytest.MonkeyPatch
) -> None:
    slam = make_slam(tiny_networks, pose__tracks="on", loops__close=False, initialize__window_size=2)
    push_images(slam, range(4))
    slam._tracking = Chosen([True, True, True], [False, True, False])
    encode, is_full = slam.encoder._encode, [False]

    def full(prepared: Sequence[PreparedFrame]) -> object:
        if is_full[0]:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return encode(prepared)

    monkeypatch.setattr(slam.encoder, "_encode", full)
    is_full[0] = True
    events, reasons = list[Update](), list[str]()
    for number in range(4, 7):
        events += slam.push(Frame(number, textured_image(number)))
        reasons.append(slam.status().reason)
    alone = [event.index for event in events if isinstance(event, PoseUpdate)]
    assert alone == [4, 5, 6]  # tracking goes on without the keyframe
    assert not any(isinstance(event, MapUpdate) and event.index >= 4 for event in events)
    assert slam.status().lost_frames == 1 and "memory is full" in reasons[1]
