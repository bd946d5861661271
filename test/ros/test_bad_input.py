"""What the node does with images, stamps and intrinsics that are wrong: it says so, lives on and keeps its map."""

from __future__ import annotations

import array
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.context import Context
from rclpy.node import Node
from ros_harness import (
    FIRST_NS,
    PERIOD_NS,
    Bench,
    camera_info,
    image_message,
    own_domain,
    running_node,
    wait_until,
)
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from synthetic import textured_image

from slam3r_ros.ros.output.messages import time_message
from slam3r_ros.ros.quality_of_service import LATCHED

GOOD = 6


class Mapped:
    """A node that has a map, and a camera that goes on from there."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.number = 0

    def next_stamp(self) -> int:
        """A stamp later than all before."""
        self.number += 1
        return FIRST_NS + PERIOD_NS * self.number

    def good(self) -> Image:
        """An image without fault."""
        stamp_ns = self.next_stamp()
        return image_message(textured_image(self.number), stamp_ns)

    def send(self, message: Image, count: int = 1) -> None:
        """Publish images and wait until the node is done with them."""
        status = self.bench.status
        before = status.frames_processed + status.frames_rejected + status.frames_dropped
        for _ in range(count):
            self.bench.camera.images.publish(message)
        self.bench.wait_for_handled(before + count)


@pytest.fixture(scope="module")
def mapped(weights: Path) -> Iterator[Mapped]:
    with own_domain() as context, running_node(context, weights, image_queue=20) as bench:
        bench.wait_for_connection()
        mapped = Mapped(bench)
        for _ in range(GOOD):
            mapped.send(mapped.good())
        wait_until(lambda: bench.status.map_points > 0, "a map")
        yield mapped


def changed(**values: object) -> Callable[[Image], Image]:
    def change(message: Image) -> Image:
        for name, value in values.items():
            setattr(message, name, value)
        return message

    return change


def shortened(message: Image) -> Image:
    message.data = message.data[:-100]
    return message


def of_size(height: int, width: int) -> Callable[[Image], Image]:
    def change(message: Image) -> Image:
        other = image_message(np.full((height, width, 3), 90, np.uint8), 0)
        other.header = message.header
        return other

    return change


REFUSED = {
    "an unknown encoding": (changed(encoding="rgb565"), "encoding 'rgb565' is unknown"),
    "no encoding": (changed(encoding=""), "encoding '' is unknown"),
    "a step smaller than the row": (changed(step=100), "a row of 64 rgb8 pixels takes 192 bytes, got step 100"),
    "a step larger than the data": (changed(step=400), "48 rows of step 400 take 19200 bytes, got 9216"),
    "data shorter than it claims": (shortened, "got 9116"),
    "no data": (changed(data=array.array("B")), "got 0"),
    "a size of zero": (changed(width=0, height=0), "got 0 x 0"),
    "a 1 x 1 image": (of_size(1, 1), "expected at least 2 x 2 pixels, got 1 x 1"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_image_that_cannot_be_used_is_refused_by_name_and_the_map_is_kept(mapped: Mapped, name: str) -> None:
    change, reason = REFUSED[name]
    before = mapped.bench.status
    mapped.send(change(mapped.good()))
    after = mapped.bench.status
    assert after.frames_rejected == before.frames_rejected + 1
    assert reason in mapped.bench.notice
    assert reason in after.last_message
    mapped.send(mapped.good())
    assert mapped.bench.status.frames_processed == before.frames_processed + 1
    assert mapped.bench.status.map_points >= before.map_points > 0


def padded_rows(message: Image) -> Image:
    rows = np.frombuffer(message.data, np.uint8).reshape(48, 192)
    message.data = array.array("B", np.pad(rows, ((0, 0), (0, 8)), constant_values=255).tobytes())
    message.step = 200
    return message


def big_endian_grey(message: Image) -> Image:
    grey = np.frombuffer(message.data, np.uint8).reshape(48, 64, 3)[..., 0].astype(">u2") * 257
    message.data, message.step = array.array("B", grey.tobytes()), 128
    message.encoding, message.is_bigendian = "mono16", 1
    return message


def flat(encoding: str, bytes_per_pixel: float) -> Callable[[Image], Image]:
    """A grey image in an encoding of common cameras, its rows padded by 16 bytes."""
    step = int(64 * max(bytes_per_pixel // 1, 1)) + 16
    rows = 72 if bytes_per_pixel == 1.5 else 48
    return changed(encoding=encoding, step=step, data=array.array("B", b"\x80" * (rows * step)))


TAKEN: dict[str, Callable[[Image], Image]] = {
    "rows with padding": padded_rows,
    "big-endian 16 bit": big_endian_grey,
    "another size": of_size(60, 80),
    "another encoding": changed(encoding="bgr8"),
    "Bayer with padded rows": flat("bayer_grbg8", 1),
    "16 bit Bayer": flat("bayer_rggb16", 2),
    "YUV 4:2:2": flat("yuv422_yuy2", 2),
    "NV12": flat("nv12", 1.5),
    "black": lambda m: changed(data=array.array("B", bytes(9216)))(m),
    "white": lambda m: changed(data=array.array("B", b"\xff" * 9216))(m),
    "constant": lambda m: changed(data=array.array("B", b"\x7f" * 9216))(m),
    "noise": lambda m: changed(data=array.array("B", np.random.default_rng(0).bytes(9216)))(m),
}


@pytest.mark.parametrize("name", TAKEN)
def test_unusual_image_in_mid_stream_is_taken_and_the_map_is_kept(mapped: Mapped, name: str) -> None:
    before = mapped.bench.status
    mapped.send(TAKEN[name](mapped.good()))
    mapped.send(mapped.good())
    after = mapped.bench.status
    assert after.frames_processed == before.frames_processed + 2
    assert after.frames_rejected == before.frames_rejected
    assert after.map_points >= before.map_points


def test_16_bits_without_a_meaning_are_taken_as_grey_and_told(mapped: Mapped) -> None:
    before = mapped.bench.status.frames_processed
    mapped.send(flat("16UC1", 2)(mapped.good()))
    assert mapped.bench.status.frames_processed == before + 1
    assert "16UC1 are taken as 16 bit grey; if this is a depth image" in mapped.bench.notice


def test_change_of_size_is_told(mapped: Mapped) -> None:
    mapped.send(mapped.good())
    mapped.send(of_size(60, 80)(mapped.good()))
    assert mapped.bench.notice.endswith("size changed from 64 x 48 to 80 x 60: going on with it")


def test_change_of_shape_tells_what_becomes_of_the_focal_length(context: Context, weights: Path) -> None:
    with running_node(context, weights, image_queue=20) as bench:
        bench.wait_for_connection()
        bench.camera.images.publish(image_message(textured_image(0), FIRST_NS))
        bench.camera.images.publish(of_size(48, 86)(image_message(textured_image(1), FIRST_NS + PERIOD_NS)))
        bench.wait_for_handled(2)
        assert "from 64 x 48 to 86 x 48" in bench.notice
        assert "the focal length found so far may not hold: ~/reset" in bench.notice


def test_the_same_image_for_ever_is_taken(mapped: Mapped) -> None:
    before = mapped.bench.status
    same = textured_image(3)
    for _ in range(10):
        mapped.send(image_message(same, mapped.next_stamp()))
    assert mapped.bench.status.frames_processed == before.frames_processed + 10
    assert mapped.bench.status.map_points >= before.map_points


def test_equal_and_older_stamps_are_dropped_and_the_map_is_kept(mapped: Mapped) -> None:
    message = mapped.good()
    mapped.send(message)
    before = mapped.bench.status
    mapped.send(message)
    assert "the same as the newest one's" in mapped.bench.notice
    message.header.stamp = time_message(FIRST_NS + PERIOD_NS * (mapped.number - 1))
    mapped.send(message)
    assert "0.033333 s older than the newest one's" in mapped.bench.notice
    after = mapped.bench.status
    assert after.frames_rejected == before.frames_rejected + 2
    assert (after.frames_processed, after.map_points) == (before.frames_processed, before.map_points)


BAD_CAMERAS = {
    "zeros": (lambda info: changed(k=[0.0] * 9)(info), "focal lengths must be positive"),
    "NaN": (lambda info: changed(k=[float("nan")] * 9)(info), "must be finite"),
    "another shape": (lambda info: changed(width=640, height=400)(info), "it is for 640 x 400 pixels"),
    "an unknown model": (lambda info: changed(distortion_model="magic", d=[0.1])(info), "'magic' is unknown"),
    "a wrong number of coefficients": (lambda info: changed(d=[0.1, 0.2])(info), "coefficients, got 2"),
}


@pytest.mark.parametrize("name", BAD_CAMERAS)
def test_camera_info_that_cannot_be_used_is_ignored_by_name(mapped: Mapped, name: str) -> None:
    change, reason = BAD_CAMERAS[name]
    mapped.send(mapped.good())  # of the size that images have here
    before = mapped.bench.status
    session = mapped.bench.node._session
    assert session is not None
    seen = session._camera_info._newest
    mapped.bench.camera.infos.publish(change(camera_info()))
    wait_until(lambda: session._camera_info._newest is not seen, "camera_info")
    mapped.send(mapped.good())
    assert reason in mapped.bench.notice
    assert mapped.bench.status.frames_processed == before.frames_processed + 1


@pytest.mark.parametrize("factor", [0.5, 2])
def test_camera_info_of_half_or_double_size_is_scaled(mapped: Mapped, factor: float) -> None:
    mapped.send(mapped.good())
    session = mapped.bench.node._session
    assert session is not None
    cameras, seen = session._camera_info, session._camera_info._newest
    k = (np.array(camera_info().k) * factor).tolist()
    message = changed(width=int(64 * factor), height=int(48 * factor), k=[*k[:8], 1.0])(camera_info())
    mapped.bench.camera.infos.publish(message)
    wait_until(lambda: cameras._newest is not seen, "camera_info")
    camera = cameras.camera_for(64, 48)
    assert camera is not None and camera.fx == pytest.approx(camera_info().k[0])


def test_camera_info_that_was_latched_before_the_node_began_is_received(context: Context, weights: Path) -> None:
    driver = Node("driver", context=context)
    latched = driver.create_publisher(CameraInfo, "camera_info", LATCHED)
    latched.publish(camera_info())
    with running_node(context, weights) as bench:
        session = bench.node._session
        assert session is not None
        wait_until(lambda: session._camera_info._newest is not None, "the latched camera_info")
        camera = session._camera_info.camera_for(64, 48)
        assert camera is not None and camera.fx == camera_info().k[0]
    driver.destroy_node()


@pytest.mark.parametrize(("d", "taken"), [([0.1, 0.2, 0.3, 0.4, 0.0], 4), ([0.1, 0.2, 0.3, 0.4, 0.5], 0)])
def test_equidistant_camera_info_with_five_coefficients(mapped: Mapped, d: list[float], taken: int) -> None:
    mapped.send(mapped.good())
    session = mapped.bench.node._session
    assert session is not None
    cameras, seen = session._camera_info, session._camera_info._newest
    mapped.bench.camera.infos.publish(changed(distortion_model="equidistant", d=d)(camera_info()))
    wait_until(lambda: cameras._newest is not seen, "camera_info")
    camera = cameras.camera_for(64, 48)
    assert (0 if camera is None else len(camera.distortion)) == taken
    assert bool(taken) or "equidistant takes (4,) coefficients, got 5" in mapped.bench.notice


def test_skew_of_camera_info_is_told(mapped: Mapped) -> None:
    session = mapped.bench.node._session
    assert session is not None
    seen = session._camera_info._newest
    k = [*camera_info().k]
    k[1] = 3.0
    mapped.bench.camera.infos.publish(changed(k=k)(camera_info()))
    wait_until(lambda: session._camera_info._newest is not seen, "camera_info")
    mapped.send(mapped.good())
    assert "the skew of 3 pixels in K is taken as 0" in mapped.bench.notice


def test_messages_are_throttled(mapped: Mapped, capfd: pytest.CaptureFixture[str]) -> None:
    for _ in range(20):
        mapped.send(changed(encoding="rgb888")(mapped.good()))
    lines = [line for line in capfd.readouterr().err.splitlines() if "rgb888" in line]
    assert len(lines) == 1


def test_zero_stamp_becomes_the_time_of_arrival(context: Context, weights: Path) -> None:
    with running_node(context, weights) as bench:
        bench.wait_for_connection()
        before = time.time_ns()
        mapped = Mapped(bench)
        mapped.send(image_message(textured_image(0), 0))
        assert "stamp zero" in bench.notice
        stamp = bench.status.header.stamp
        assert before <= stamp.sec * 10**9 + stamp.nanosec <= time.time_ns()


def test_jump_back_in_time_starts_a_new_map(context: Context, weights: Path) -> None:
    with running_node(context, weights, image_queue=20) as bench:
        bench.wait_for_connection()
        bench.camera.send_images(6)
        bench.wait_for_handled(6)
        bench.camera.send_images(6, FIRST_NS - 5 * 10**9)
        bench.wait_for_handled(12)
        assert "time jumped back by 5.1" in bench.notice
        status = bench.status
        assert (status.frames_registered, status.frames_processed, status.frames_rejected) == (6, 12, 0)


def test_jump_back_of_simulated_time_starts_a_new_map(context: Context, weights: Path) -> None:
    with running_node(context, weights, image_queue=20, use_sim_time=True) as bench:
        clock = bench.camera.node.create_publisher(Clock, "/clock", 10)
        wait_until(lambda: clock.get_subscription_count() > 0, "the node listens to /clock")
        bench.wait_for_connection()
        clock.publish(Clock(clock=time_message(FIRST_NS + 10**9)))
        bench.camera.send_images(6)
        bench.wait_for_handled(6)
        assert bench.status.map_points > 0
        clock.publish(Clock(clock=time_message(FIRST_NS - 10**9)))
        wait_until(lambda: bench.status.map_points == 0, "an empty map")
        assert "the clock jumped back" in bench.notice
        assert bench.status.state_name == "WAITING_FOR_IMAGES"


@pytest.mark.parametrize("image", ["black", "noise"])
def test_stream_without_anything_to_see_says_why_and_goes_on(context: Context, weights: Path, image: str) -> None:
    """Black images have no texture; the same noise for ever shows no motion."""
    pixels = np.zeros((48, 64, 3), np.uint8)
    if image == "noise":
        pixels = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
    with running_node(context, weights, image_queue=20) as bench:
        bench.wait_for_connection()
        for number in range(8):
            bench.camera.images.publish(image_message(pixels, FIRST_NS + PERIOD_NS * number))
            time.sleep(0.01)
        bench.wait_for_handled(8)
        assert bench.status.state_name == "INITIALIZING"
        assert "initialisation failed" in bench.notice
        assert bench.status.reason in bench.notice
        bench.camera.send_images(8, FIRST_NS + 10**9)
        wait_until(lambda: bench.status.state_name == "TRACKING", "tracking when there is something to see")


def jpeg(image: np.ndarray) -> bytes:
    return cv2.imencode(".jpg", image)[1].tobytes()


def test_corrupt_jpeg_is_refused(context: Context, weights: Path) -> None:
    with running_node(context, weights, image_transport="compressed", image_queue=20) as bench:
        bench.wait_for_connection()
        whole = jpeg(textured_image(0))
        for number, data in enumerate([whole, whole[: len(whole) // 2], b"no image", b"", whole]):
            head = image_message(textured_image(0), FIRST_NS + PERIOD_NS * number).header
            message = CompressedImage(header=head, format="jpeg", data=array.array("B", data))
            bench.camera.compressed.publish(message)
            bench.wait_for_handled(number + 1)
        assert (bench.status.frames_processed, bench.status.frames_rejected) == (2, 3)


def test_an_8k_image_is_taken(context: Context, weights: Path) -> None:
    with running_node(context, weights, image_qos="reliable") as bench:
        bench.wait_for_connection()
        large = np.zeros((4320, 7680), np.uint8)
        message = image_message(np.zeros((2, 2, 3), np.uint8), FIRST_NS)
        message.height, message.width, message.step, message.encoding = *large.shape, large.shape[1], "mono8"
        message.data = array.array("B", large.tobytes())
        bench.camera.images.publish(message)
        bench.wait_for_handled(1)
        assert (bench.status.frames_processed, bench.status.frames_rejected) == (1, 0)


def test_no_image_for_long_is_told_in_diagnostics_and_log(context: Context, weights: Path) -> None:
    with running_node(context, weights, image_timeout=1.5) as bench:
        received = bench.camera.listen(DiagnosticArray, "/diagnostics")

        def images() -> list[DiagnosticStatus]:
            entries = [entry for message in received for entry in message.status]
            return [entry for entry in entries if entry.name == "slam3r: images"]

        wait_until(lambda: any("no image for" in entry.message for entry in images()), "a warning")
        warning = next(entry for entry in images() if "no image for" in entry.message)
        assert warning.level == DiagnosticStatus.WARN
        assert "'/image'" in warning.message
        assert "no image for" in bench.notice
        bench.camera.send_images(3)
        count = len(images())
        wait_until(lambda: any(e.level == DiagnosticStatus.OK for e in images()[count:]), "all well again")
