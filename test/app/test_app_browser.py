"""The app in a real browser: upload, run, watch, download; visitors, wrong files, and a phone."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import trimesh
from browser import PHONE, opened
from PIL import Image
from playwright.sync_api import Browser, FrameLocator, Page
from upload_files import example_images, video
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from slam3r_ros.app.app_server import AppOptions, AppServer
from slam3r_ros.app.limits import AppTuning, UploadLimits
from slam3r_ros.app.upload_route import UPLOAD_PATH
from slam3r_ros.viewer.page_server import PageAddress

LIMIT_MS = 120_000
GRACE_S = 3.0
SMALL = (760, 560)
"""A viewport that costs little to draw."""


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppServer]:
    """One app for all tests."""
    options = AppOptions(
        PageAddress(port=0),
        scratch=tmp_path_factory.mktemp("scratch"),
        limits=UploadLimits(total_bytes=30_000_000),
        tuning=AppTuning(grace_s=GRACE_S),
    )
    server = AppServer(options)
    yield server
    server.close()
    assert list(options.scratch.iterdir()) == []  # type: ignore[union-attr]


def field_of(page: Page) -> FrameLocator:
    """The upload field, once it is there."""
    field = page.frame_locator("iframe[title=Upload]")
    field.get_by_text("Choose files").wait_for(timeout=LIMIT_MS)
    return field


def upload(page: Page, *files: Path) -> str:
    """Upload files; what the field says at the end."""
    field = page.frame_locator("iframe[title=Upload]")
    field.locator("#files").wait_for(state="attached", timeout=LIMIT_MS)
    field.locator("#files").set_input_files([str(file) for file in files])
    name = files[0].name if len(files) == 1 else ""
    field.locator(".done, .error").filter(has_text=name).wait_for(timeout=LIMIT_MS)
    return f"{field.locator('#lead').inner_text()}: {field.locator('#note').inner_text()}"


def press(page: Page, name: str) -> None:
    page.get_by_role("button", name=name).click()


def wait_for_run(page: Page, state: str) -> str:
    """Wait until the run is in a state; what is said of it."""
    page.get_by_text(state, exact=True).wait_for(timeout=LIMIT_MS)
    return page.locator(".slam3r-run").inner_text()


def choose(page: Page, label: str, beginning: str) -> None:
    """Choose in a drop-down list."""
    page.get_by_label(label, exact=True).click()
    page.get_by_role("option").filter(has_text=beginning).click()


def choose_example(page: Page) -> None:
    field_of(page)
    choose(page, "Map", "Example")


def map_share(page: Page, folder: Path) -> float:
    """The share of the pixels left of the panel that are neither background nor grid: brighter than 60 of 255."""
    page.screenshot(path=folder / "page.png", clip={"x": 240, "y": 160, "width": 680, "height": 600})
    return float((np.array(Image.open(folder / "page.png").convert("RGB")).max(axis=2) > 60).mean())


def wait_until(holds: Callable[[], bool]) -> None:
    end_s = time.monotonic() + LIMIT_MS / 1000
    while not holds():
        assert time.monotonic() < end_s
        time.sleep(0.05)


def test_upload_run_watch_and_download(app: AppServer, chromium: Browser, tmp_path: Path) -> None:
    images = example_images(tmp_path, tuple(range(100, 136, 3)))
    with opened(chromium, app.server.url) as page:
        assert upload(page, *images) == "Ready: press Run: 12 images of 640 x 480 pixels"
        empty = map_share(page, tmp_path)
        press(page, "Run")
        said = wait_for_run(page, "DONE")
        points = int(said.split(" points from 12 images")[0].replace(",", ""))
        assert points > 5000
        wait_until(lambda: map_share(page, tmp_path) > empty + 0.1)
        for choice, suffix in (("GLB", ".glb"), ("COLMAP", ".zip")):
            choose(page, "Format", choice)
            with page.expect_download(timeout=LIMIT_MS) as download:
                press(page, "Download")
            path = tmp_path / download.value.suggested_filename
            download.value.save_as(path)
            assert path.suffix == suffix
        scene = trimesh.load_scene(tmp_path / "map.glb", process=False)
        clouds = [each for each in scene.geometry.values() if isinstance(each, trimesh.PointCloud)]
        assert sum(len(cloud.vertices) for cloud in clouds) == points


def test_two_visitors_wait_for_each_other_and_see_their_own_maps(
    app: AppServer,
    chromium: Browser,
    tmp_path: Path,
) -> None:
    images = example_images(tmp_path, (100, 112))
    with opened(chromium, app.server.url, SMALL) as first, opened(chromium, app.server.url, SMALL) as second:
        choose_example(first)
        press(first, "Run")
        wait_for_run(first, "RUNNING")
        assert upload(second, *images).startswith("Ready")
        press(second, "Run")
        said = wait_for_run(second, "QUEUED")
        assert said == "busy with another map: your run is number 1 in the queue"
        first.get_by_text("keyframes").first.wait_for()
        press(first, "Stop and keep the map")
        assert wait_for_run(first, "DONE").startswith("stopped: ")
        assert " points from 2 images in " in wait_for_run(second, "DONE")
        again = first.context.new_page()  # the same visitor in another tab, as after a reload
        again.goto(app.server.url)
        assert wait_for_run(again, "DONE").startswith("stopped: ")


def test_a_visitor_who_leaves_in_the_middle_stops_his_run_after_a_while(
    app: AppServer,
    chromium: Browser,
    tmp_path: Path,
) -> None:
    scratch = app.scratch
    before = {path.name for path in scratch.iterdir()}
    with opened(chromium, app.server.url, SMALL) as page:
        choose_example(page)
        press(page, "Run")
        wait_for_run(page, "RUNNING")
        own = {path.name for path in scratch.iterdir()} - before
        assert len(own) == 1
    with opened(chromium, app.server.url, SMALL) as page:  # the next one need not wait until the example is over
        left_s = time.monotonic()
        wait_until(lambda: not own & {path.name for path in scratch.iterdir()})
        assert GRACE_S - 0.5 < time.monotonic() - left_s < GRACE_S + 10


def test_a_file_that_cannot_be_used_is_named(app: AppServer, chromium: Browser, tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").write_bytes(b"no video at all")
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "notes.txt").write_bytes(b"hello")
    (tmp_path / "huge.mp4").write_bytes(bytes(30_000_001))
    video(tmp_path / "good.avi")
    with opened(chromium, app.server.url) as page:
        for name, sentence in (
            ("clip.mp4", "'clip.mp4' is no video that can be read: it is damaged or something else"),
            ("empty.mp4", "'empty.mp4' is empty: it has no bytes"),
            ("notes.txt", "'notes.txt' is no video, image, ZIP archive of images or ROS 2 bag by its name"),
            (
                "huge.mp4",
                "'huge.mp4' of 29 MiB is too large: at most 29 MiB may be uploaded, of which 0.0 MiB are used",
            ),
        ):
            assert upload(page, tmp_path / name) == f"Try another file: {sentence}"
        press(page, "Run")
        page.get_by_text("there is nothing to map yet").wait_for()
        assert upload(page, tmp_path / "good.avi").startswith("Ready: press Run: good.avi, 64 x 48 pixels")


def test_a_phone_has_everything_within_its_width(app: AppServer, chromium: Browser, tmp_path: Path) -> None:
    images = example_images(tmp_path, (100, 112))
    with opened(chromium, app.server.url, PHONE) as page:
        assert upload(page, *images).startswith("Ready")
        press(page, "Run")
        wait_for_run(page, "DONE")
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= PHONE[0]
        box = page.get_by_role("button", name="Download").bounding_box()
        assert box is not None and box["x"] >= 0 and box["x"] + box["width"] <= PHONE[0]


def test_no_other_page_may_upload_and_no_visitor_that_is_unknown(app: AppServer) -> None:
    host = f"127.0.0.1:{app.server.port}"
    for origin in ("http://evil.example", None, "null"):
        with pytest.raises(InvalidStatus) as refused:
            connect(f"ws://{host}{UPLOAD_PATH}?visitor=x", origin=origin)  # type: ignore[arg-type]
        assert refused.value.response.status_code == 403
    with connect(f"ws://{host}{UPLOAD_PATH}?visitor=guess", origin=f"http://{host}") as socket:  # type: ignore[arg-type]
        assert json.loads(socket.recv()) == {"error": "this page is too old: load it again"}
