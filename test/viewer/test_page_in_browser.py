"""The live page in a real browser: it loads, draws the map, obeys its panels, and survives visitors who come and go."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import av
import numpy as np
import pytest
import trimesh
import viser
from browser import CHROMIUM, PHONE, opened
from numpy.typing import NDArray
from playwright.sync_api import Browser, Page
from viewer_map import DEPTH, FRAMES_BETWEEN, pose, view, write_map_file

from slam3r_ros.io.image_compression import decode_jpeg
from slam3r_ros.map_file.reader import MapFile
from slam3r_ros.viewer.display_settings import Colouring, DisplaySettings, TimelineMode
from slam3r_ros.viewer.following import ViewMode
from slam3r_ros.viewer.map_actions import NoActions
from slam3r_ros.viewer.map_model import MapModel
from slam3r_ros.viewer.map_page import MapPage
from slam3r_ros.viewer.page_server import PageAddress, PageError, PageServer
from slam3r_ros.viewer.saved_map import SavedMapActions, show_map

KEYFRAMES = 6
LEAST_WALL_SHARE = 0.05
"""Share of the picture that the wall covers at least when the whole map is looked at."""
PATIENCE_MS = 30_000
SIZE = (960, 600)
"""Width and height of the viewport, pixels: a smaller one is drawn faster without a GPU."""
LEFT, RIGHT = 240, 620
"""Columns of the picture between the panels."""


class RecordedActions(NoActions):
    """What visitors have asked for."""

    offered = frozenset({"pause", "reset", "save", "set_scale"})

    def __init__(self, model: MapModel) -> None:
        self._model = model
        self.calls: list[tuple[str, object]] = []

    def pause(self, paused: bool) -> str:
        """Note it."""
        self.calls.append(("pause", paused))
        return "images are ignored"

    def reset(self) -> str:
        """Note it."""
        self.calls.append(("reset", None))
        return "the map is empty"

    def save(self, path: str) -> str:
        """Note it."""
        self.calls.append(("save", path))
        return "saved"

    def set_scale(self, metres_per_unit: float) -> str:
        """Do it as the node does, whose status then has the scale."""
        self.calls.append(("set_scale", metres_per_unit))
        self._model.set_scale(metres_per_unit)
        return "lengths are metres"


def filled_model() -> MapModel:
    model = MapModel()
    fill(model)
    return model


def fill(model: MapModel) -> None:
    for number in range(KEYFRAMES):
        model.apply(view(number))
        model.put_pose(FRAMES_BETWEEN * number, pose(number))


@dataclass(slots=True)
class Shown:
    """A page, and a visitor who has it open; the tests share it, since a browser takes seconds to load it."""

    model: MapModel
    actions: RecordedActions
    page: MapPage
    visitor: Page
    requests: list[str]

    @property
    def camera(self) -> viser.CameraHandle:
        """The visitor's view as the server knows it."""
        (client,) = self.page.server.viser.get_clients().values()
        return client.camera


@pytest.fixture(scope="module")
def opened_page(chromium: Browser) -> Iterator[Shown]:
    model = filled_model()
    actions = RecordedActions(model)
    page = MapPage(model, PageAddress(port=0), actions)
    try:
        with opened(chromium, "about:blank", SIZE) as visitor:
            requests: list[str] = []
            visitor.on("request", lambda request: requests.append(request.url))
            visitor.goto(page.server.url)
            wait_for_map(visitor)
            yield Shown(model, actions, page, visitor, requests)
    finally:
        page.close()


@pytest.fixture
def shown(opened_page: Shown) -> Shown:
    """The page as it is at first."""
    opened_page.model.clear()
    opened_page.model.set_scale(0.0)
    fill(opened_page.model)
    opened_page.actions.calls.clear()
    opened_page.page.view.change_settings(lambda _: DisplaySettings(hidden_percent=0.0, point_size_percent=1.0))
    open_tab(opened_page.visitor, "View")
    opened_page.visitor.get_by_role("button", name="Show the whole map").click()
    wait_for_map(opened_page.visitor)
    return opened_page


def is_wall(visitor: Page, *, whole: bool = False) -> NDArray[np.bool_]:
    """Which pixels have the wall's colour, however bright: of the whole picture, or of that between the panels."""
    columns = slice(None) if whole else slice(LEFT, RIGHT)
    red, green, blue = np.moveaxis(picture(visitor)[:, columns].astype(int), 2, 0)
    found: NDArray[np.bool_] = (red > 60) & (red > 2 * green) & (red > 2 * blue)
    return found


def wall_share(visitor: Page) -> float:
    """The share of the picture between the panels that has the wall's colour."""
    return float(is_wall(visitor).mean())


def picture(visitor: Page) -> NDArray[np.uint8]:
    return decode_jpeg(visitor.screenshot())


def wait_for(condition: Callable[[], bool], visitor: Page, what: str) -> None:
    end_s = time.monotonic() + PATIENCE_MS / 1000
    while not condition():
        assert time.monotonic() < end_s, f"did not happen: {what}"
        visitor.wait_for_timeout(100)


def wait_for_map(visitor: Page) -> None:
    """Wait until the wall is drawn, and nothing of it changes any more."""
    shares = [0.0]

    def has_settled() -> bool:
        shares.append(wall_share(visitor))
        return shares[-1] > LEAST_WALL_SHARE and shares[-1] == shares[-2]

    wait_for(has_settled, visitor, "the wall is drawn")


def number_beside(visitor: Page, label: str, value: str) -> None:
    """Type a number beside a slider."""
    row = visitor.locator("label", has_text=label).locator("xpath=ancestor::div[.//input][1]")
    box = row.locator("input.mantine-NumberInput-input, input[type=text]").last
    box.fill(value)
    box.press("Enter")


def open_tab(visitor: Page, name: str) -> None:
    visitor.get_by_role("tab", name=name).click()


def test_the_map_is_drawn_and_nothing_is_fetched_from_outside(shown: Shown) -> None:
    assert shown.visitor.title() == "slam3r"
    shown.visitor.get_by_text(f"{KEYFRAMES} keyframes").wait_for(timeout=PATIENCE_MS)
    own = (shown.page.server.url, f"blob:{shown.page.server.url}", "data:", "about:")
    assert [url for url in shown.requests if not url.startswith(own)] == []


def test_sliders_colours_and_timeline_change_what_is_drawn(shown: Shown) -> None:
    visitor, page_view = shown.visitor, shown.page.view
    whole = wall_share(visitor)
    number_beside(visitor, "Hide unsure (%)", "60")
    wait_for(lambda: wall_share(visitor) < 0.95 * whole, visitor, "the unsure half of the last keyframe is hidden")
    assert page_view.settings.hidden_percent == 60
    number_beside(visitor, "Point size", "0.1")
    wait_for(lambda: wall_share(visitor) < 0.5 * whole, visitor, "the points are smaller")
    page_view.change_settings(lambda _: DisplaySettings(hidden_percent=0.0, point_size_percent=1.0))

    visitor.get_by_label("Colour", exact=True).click()
    visitor.get_by_role("option", name=Colouring.HEIGHT.value).click()
    wait_for(lambda: wall_share(visitor) < 0.8 * whole, visitor, "the wall has other colours")
    page_view.change_settings(lambda old: replace(old, colouring=Colouring.IMAGE, timeline_mode=TimelineMode.SINGLE))
    wait_for(lambda: 0 < wall_share(visitor) < 0.7 * whole, visitor, "one keyframe is shown")
    open_tab(visitor, "Time")
    visitor.get_by_role("button", name="Play").click()
    wait_for(lambda: page_view.settings.timeline_position >= 2, visitor, "the timeline plays")
    wait_for(lambda: page_view.settings.timeline_position == KEYFRAMES - 1, visitor, "it plays to the end")


def test_a_rectangle_deletes_points(shown: Shown) -> None:
    visitor = shown.visitor
    before = sum(len(chunk.points) for chunk in shown.model.snapshot().chunks)
    open_tab(visitor, "Tools")
    visitor.get_by_role("button", name="Delete inside").click()
    visitor.get_by_text("Drag a rectangle").wait_for(timeout=PATIENCE_MS)
    visitor.mouse.move(LEFT + 60, 170)  # below the notice that the browser draws without a GPU
    visitor.mouse.down()
    visitor.mouse.move(LEFT + 120, 200, steps=4)
    visitor.mouse.move(RIGHT - 30, 560, steps=4)
    visitor.mouse.up()
    visitor.get_by_text("points are hidden on this page").wait_for(timeout=PATIENCE_MS)
    assert 0.1 * before < sum(len(chunk.points) for chunk in shown.model.snapshot().chunks) < 0.9 * before


def test_buttons_call_the_maps_actions(shown: Shown) -> None:
    visitor = shown.visitor
    open_tab(visitor, "Map")
    visitor.get_by_role("button", name="Pause").click()
    visitor.get_by_text("images are ignored").wait_for(timeout=PATIENCE_MS)
    visitor.get_by_role("button", name="New map").click()
    visitor.get_by_role("button", name="Begin a new map").click()
    visitor.get_by_text("the map is empty").wait_for(timeout=PATIENCE_MS)
    assert shown.actions.calls == [("pause", True), ("reset", None)]


def test_the_view_follows_the_camera(shown: Shown) -> None:
    visitor, model, camera = shown.visitor, shown.model, shown.camera
    open_tab(visitor, "View")
    live = model.snapshot().T_map_camera
    assert live is not None
    choose_view(visitor, ViewMode.FOLLOW)
    wait_for(lambda: is_at(camera.look_at, live), visitor, "the view looks at the camera")
    eye = np.array(camera.position)
    model.put_pose(999, pose(8))
    moved = model.snapshot().T_map_camera
    assert moved is not None
    wait_for(lambda: is_at(camera.look_at, moved), visitor, "the view follows the camera")
    np.testing.assert_allclose(camera.position - eye, moved[:3, 3] - live[:3, 3], atol=0.02)
    choose_view(visitor, ViewMode.FIRST_PERSON)
    wait_for(lambda: is_at(camera.position, moved), visitor, "the view is the camera's")
    choose_view(visitor, ViewMode.ABOVE)
    wait_for(lambda: bool(camera.position[2] > DEPTH), visitor, "the view is from above")


def is_at(place: NDArray[np.float64], T_map_camera: NDArray[np.float64]) -> bool:
    return bool(np.allclose(place, T_map_camera[:3, 3], atol=0.01))


def choose_view(visitor: Page, mode: ViewMode) -> None:
    visitor.get_by_label("View", exact=True).last.click()
    visitor.get_by_role("option", name=mode.value).click()


def test_a_second_visitor_on_a_phone_may_leave_in_the_middle(chromium: Browser, shown: Shown) -> None:
    with opened(chromium, shown.page.server.url, PHONE) as phone:
        wait_for(lambda: is_wall(phone, whole=True).mean() > LEAST_WALL_SHARE, phone, "the wall is drawn on the phone")
        assert phone.evaluate("document.documentElement.scrollWidth") <= PHONE[0]
        assert len(shown.page.server.viser.get_clients()) == 2
    wait_for(lambda: len(shown.page.server.viser.get_clients()) == 1, shown.visitor, "the phone is forgotten")
    for number in range(KEYFRAMES, KEYFRAMES + 4):
        shown.model.apply(view(number))
    shown.visitor.get_by_text(f"{KEYFRAMES + 4} keyframes").wait_for(timeout=PATIENCE_MS)


def test_a_page_without_points_fills_and_comes_back_when_its_server_starts_anew(chromium: Browser) -> None:
    model = MapModel()
    first = MapPage(model, PageAddress(port=0))
    port = first.server.port
    context = chromium.new_context(viewport={"width": SIZE[0], "height": SIZE[1]})
    try:
        visitor = context.new_page()  # not `opened`: the lost connection is an error on the console
        visitor.goto(first.server.url)
        visitor.get_by_text("nothing has come yet").wait_for(timeout=PATIENCE_MS)
        assert wall_share(visitor) == 0
        fill(model)
        wait_for_map(visitor)
        first.close()
        visitor.wait_for_timeout(500)  # the browser tries to connect again and again meanwhile
        model.apply(view(KEYFRAMES))
        second = MapPage(model, PageAddress(port=port))
        try:
            visitor.get_by_text(f"{KEYFRAMES + 1} keyframes").wait_for(timeout=2 * PATIENCE_MS)
            wait_for_map(visitor)
        finally:
            second.close()
    finally:
        context.close()


def test_without_webgl_the_page_is_one_sentence(chromium: Browser, shown: Shown) -> None:
    plain = chromium.browser_type.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-3d-apis"])
    try:
        visitor = plain.new_page()
        visitor.goto(shown.page.server.url)
        visitor.get_by_text("This browser cannot draw the map because WebGL is off or missing").wait_for()
    finally:
        plain.close()


def test_another_sites_page_cannot_connect_and_a_token_lets_in(chromium: Browser) -> None:
    page = MapPage(filled_model(), PageAddress(port=0, token="s3cret"))
    address = f"127.0.0.1:{page.server.port}"
    context = chromium.new_context()
    try:
        stranger = context.new_page()
        answer = stranger.goto(f"http://{address}/")
        assert answer is not None and answer.status == 401
        stranger.goto("data:text/html,another site")
        outcome = stranger.evaluate(
            "address => new Promise(done => { const socket = new WebSocket('ws://' + address, ['viser-v1.1.1']);"
            "socket.onopen = () => done('open'); socket.onerror = () => done('refused'); })",
            address,
        )
        assert outcome == "refused"
        with opened(chromium, page.server.url, SIZE) as visitor:
            wait_for_map(visitor)
            assert visitor.url == f"http://{address}/"  # the token is not left in the address bar
    finally:
        context.close()
        page.close()


def test_a_port_in_use_is_a_sentence(shown: Shown) -> None:
    with pytest.raises(PageError, match=f"^port {shown.page.server.port} is in use by another program; choose another"):
        PageServer(PageAddress(port=shown.page.server.port), "another")


def test_a_large_map_is_drawn_in_part_while_the_view_moves_and_whole_when_it_rests(shown: Shown) -> None:
    visitor, camera = shown.visitor, shown.camera
    for number in range(KEYFRAMES, 80):  # 250,000 points: more than a browser without a GPU begins with
        shown.model.apply(view(number))
    visitor.get_by_role("button", name="Show the whole map").click()
    drawing = "window.slam3rDrawing"
    wait_for(lambda: visitor.evaluate(f"{drawing}.points") > 200_000, visitor, "all keyframes are there")
    is_whole = f"{drawing}.isWhole && {drawing}.drawn === {drawing}.points"
    wait_for(lambda: visitor.evaluate(is_whole), visitor, "the picture rests")
    whole = visitor.evaluate(f"{drawing}.points")
    assert visitor.evaluate(f"{drawing}.isSoftware")
    seen = []

    def moves() -> bool:
        camera.position = camera.position + np.array([0.0, 0.02, 0.0])
        seen.append(visitor.evaluate(f"[{drawing}.isWhole, {drawing}.drawn, {drawing}.isCoarse]"))
        return not seen[-1][0] and seen[-1][1] < 0.6 * whole and seen[-1][2]

    wait_for(moves, visitor, "a part is drawn while the view moves")
    wait_for(lambda: visitor.evaluate(is_whole), visitor, "all points are drawn again once the picture rests")
    widths = "[...document.querySelectorAll('canvas')].map(each => [each.width, each.clientWidth])"
    assert max(visitor.evaluate(widths))[0] >= max(visitor.evaluate(widths))[1] > 600  # as many pixels as there are


def test_a_film_and_a_model_of_a_saved_map_are_downloaded(chromium: Browser, tmp_path: Path) -> None:
    path, model = write_map_file(tmp_path / "room.slam3r", KEYFRAMES), MapModel()
    show_map(path, model)
    actions = SavedMapActions(path, model)
    page = MapPage(model, PageAddress(port=0), actions)
    try:
        with opened(chromium, page.server.url, SIZE) as visitor:
            open_tab(visitor, "Map")
            for label, choice in (("Film", "All around"), ("Film size", "640 x 360")):
                visitor.get_by_label(label, exact=True).click()
                visitor.get_by_role("option", name=choice).click()
            with visitor.expect_download(timeout=8 * PATIENCE_MS) as film:
                visitor.get_by_role("button", name="Make a film").click()
                visitor.locator(".mantine-Progress-root").first.wait_for(timeout=PATIENCE_MS)
            assert film.value.suggested_filename == "orbit.mp4"
            with av.open(str(film.value.path())) as video:
                stream = video.streams.video[0]
                assert (stream.width, stream.height, stream.frames) == (640, 360, 360)
            with visitor.expect_download(timeout=4 * PATIENCE_MS) as glb:
                visitor.get_by_role("button", name="Download").click()
            assert glb.value.suggested_filename == "room.glb"
            glb.value.save_as(tmp_path / "page.glb")
        with MapFile(path) as file:
            points = len(file.points())
        scene = trimesh.load_scene(tmp_path / "page.glb", process=False)
        clouds = [each for each in scene.geometry.values() if isinstance(each, trimesh.PointCloud)]
        assert sum(len(cloud.vertices) for cloud in clouds) == points > 5000
    finally:
        page.close()
        actions.close()
