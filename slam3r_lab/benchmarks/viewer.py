"""The live page: what it costs the node, how fast a million points are drawn, how soon the first points are there, and
whether memory grows over a long run: ``slam3r_lab bench viewer``."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import shutil
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import viser
import websockets.asyncio.client
import websockets.exceptions
from playwright.sync_api import sync_playwright
from websockets.typing import Origin, Subprotocol

from slam3r_lab.benchmarks.report import Report, command_line_of_this_run, write
from slam3r_lab.benchmarks.topic import Case, Circumstances, Measured, measure_case
from slam3r_ros.engine.keyframe_view import KeyframeView
from slam3r_ros.geometry.camera import Camera
from slam3r_ros.geometry.se3 import rigid
from slam3r_ros.ros.input.dds_transport import choose_transport, installed_profiles, socket_limit
from slam3r_ros.ros.output.status import resident_bytes
from slam3r_ros.types import ImageHeader
from slam3r_ros.viewer.display_settings import DisplaySettings
from slam3r_ros.viewer.map_model import MapModel
from slam3r_ros.viewer.map_page import MapPage
from slam3r_ros.viewer.page_server import PageAddress

CASE = Case(30.0, "640x480", False)
"""The camera beside which the page is open."""
PARTS = ("cost", "drawing", "first", "memory")
PORT = 8765
MILLION = 1_000_000
VIEWPORTS = ((1280, 720), (640, 360))
"""Widths and heights at which the browser draws, pixels."""
DRAWING_S = 6.0
LONG_FRAMES, FRAMES_PER_KEYFRAME = 10_000, 5
GRID = (112, 150)
"""Rows and columns of the depths of the keyframes that are made up."""
_BROWSER_ARGUMENTS = [
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--ignore-gpu-blocklist",
    "--no-sandbox",
]
_COUNT_FRAMES = """seconds => new Promise(done => {
  let count = 0; const began = performance.now();
  const step = () => { count += 1; const passed = performance.now() - began;
    if (passed < 1000 * seconds) requestAnimationFrame(step); else done(1000 * count / passed); };
  requestAnimationFrame(step); })"""

WHOLE_FRAMES = 4
_TIME_WHOLE_FRAMES = """frames => new Promise(done => {
  const scene = window.__viserMutable.scene, prepare = scene.onBeforeRender;
  scene.onBeforeRender = () => {};  // so that all of them have all points
  let count = 0; const began = performance.now();
  const step = () => { window.__viserMutable.requestRender();
    if (count++ < frames) requestAnimationFrame(step);
    else { scene.onBeforeRender = prepare; done((performance.now() - began) / frames); } };
  requestAnimationFrame(step); })"""


@dataclass(slots=True)
class Reader:
    """A visitor who takes everything that the page's server sends, and draws nothing: a browser elsewhere."""

    received_bytes: int = 0
    first_cloud_s: float | None = None
    """Time (monotonic) at which the first points came."""

    async def read(self, port: int) -> None:
        """Connect and read until the server goes."""
        address = f"127.0.0.1:{port}"
        protocol = Subprotocol(f"viser-v{viser.__version__}")
        with contextlib.suppress(websockets.exceptions.ConnectionClosed, asyncio.CancelledError):
            async with websockets.asyncio.client.connect(
                f"ws://{address}", origin=Origin(f"http://{address}"), subprotocols=[protocol], max_size=None
            ) as connection:
                async for message in connection:
                    self.received_bytes += len(message)
                    if self.first_cloud_s is None and len(message) > 3 * GRID[0] * GRID[1]:
                        self.first_cloud_s = time.monotonic()


@contextlib.contextmanager
def reading(port: int) -> Iterator[Reader]:
    """A visitor in a thread of its own."""
    reader, loop = Reader(), asyncio.new_event_loop()
    task = loop.create_task(reader.read(port))
    thread = threading.Thread(target=lambda: loop.run_until_complete(task), daemon=True)
    thread.start()
    try:
        yield reader
    finally:
        loop.call_soon_threadsafe(task.cancel)
        thread.join(5.0)


def made_up_view(number: int) -> KeyframeView:
    """A keyframe on a straight path past a wavy wall, GRID depths."""
    height, width = GRID
    rows, columns = np.mgrid[:height, :width]
    depth = (2.0 + 0.2 * np.sin(columns / 9 + number)).astype(np.float32)
    image = np.stack([rows * 2 % 256, columns % 256, np.full(GRID, number % 256)], axis=2).astype(np.uint8)
    return KeyframeView(
        id=number,
        index=FRAMES_PER_KEYFRAME * number,
        header=ImageHeader(33_000_000 * FRAMES_PER_KEYFRAME * number, GRID),
        T_world_camera=rigid(np.eye(3), [0.02 * number, 0.0, 0.0]),
        camera=Camera(width, height, 120.0, 120.0, width / 2, height / 2),
        image=image,
        depth=depth,
        confidence=np.ones(GRID, np.float32) + rows / 10,
    )


# ---- what the page costs the node ------------------------------------------------------------------------------------


def measure_cost(video: Path, seconds: float, rounds: int) -> dict[str, list[Measured]]:
    """The node at 30 Hz with and without the page open in a browser elsewhere, one after the other."""
    os.environ["ROS_DOMAIN_ID"] = str(1 + os.getpid() % 100)
    os.environ.update(choose_transport(os.environ, socket_limit(), installed_profiles(), closed=True).variables)
    found: dict[str, list[Measured]] = {"without": [], "with": []}
    circumstances = Circumstances(seconds=seconds)
    for _ in range(rounds):
        found["without"].append(measure_case(video, CASE, circumstances))
        with _viewer(), reading(PORT):
            found["with"].append(measure_case(video, CASE, circumstances))
    return found


@contextlib.contextmanager
def _viewer() -> Iterator[None]:
    """The node slam3r_viewer, listening."""
    process = subprocess.Popen([sys.executable, "-m", "slam3r_ros.ros.viewer", "--port", str(PORT)])
    try:
        ends = time.monotonic() + 60.0
        while not _listens(PORT):
            if time.monotonic() > ends or process.poll() is not None:
                raise RuntimeError("slam3r_viewer has not begun to listen")
            time.sleep(0.1)
        yield
    finally:
        process.terminate()
        process.wait(20.0)


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.5):
        return True
    return False


# ---- how fast it is drawn --------------------------------------------------------------------------------------------


def measure_drawing(viewports: tuple[tuple[int, int], ...] = VIEWPORTS) -> dict[str, dict[str, float]]:
    """Of a browser without a GPU whose page has a million points, by viewport: frames a second while its view turns,
    how many points these have, and the milliseconds of a frame with all of them."""
    model = MapModel()
    per_keyframe = GRID[0] * GRID[1]
    for number in range(-(-MILLION // per_keyframe)):
        model.apply(made_up_view(number))
    page = MapPage(model, PageAddress(port=0))
    page.view.change_settings(lambda _: DisplaySettings(hidden_percent=0.0, budget=MILLION, shows_cameras=False))
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    found: dict[str, dict[str, float]] = {}
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=program, args=_BROWSER_ARGUMENTS)
            for width, height in viewports:
                tab = browser.new_page(viewport={"width": width, "height": height})
                tab.goto(page.server.url)
                tab.wait_for_timeout(12_000)
                with _turning(page):
                    tab.wait_for_timeout(2_000)  # until the page knows how much the browser can draw
                    rate = float(tab.evaluate(_COUNT_FRAMES, DRAWING_S))
                    points = int(tab.evaluate("window.slam3rDrawing.drawn"))
                tab.wait_for_timeout(2_000)
                whole_ms = float(tab.evaluate(_TIME_WHOLE_FRAMES, WHOLE_FRAMES))
                found[f"{width} x {height}"] = {
                    "frames/s": round(rate, 1), "points": points, "whole frame, ms": round(whole_ms)
                }  # fmt: skip
                tab.close()
            browser.close()
    finally:
        page.close()
    return found


@contextlib.contextmanager
def _turning(page: MapPage) -> Iterator[None]:
    """Every visitor's view moves, so that every frame is drawn anew."""
    ended = threading.Event()

    def turn() -> None:
        while not ended.wait(0.03):
            for client in page.server.viser.get_clients().values():
                client.camera.position = np.array(client.camera.position) + np.array([0.0, 0.004, 0.0])

    thread = threading.Thread(target=turn, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


# ---- how soon, and how much memory -----------------------------------------------------------------------------------


def measure_first_points() -> float:
    """Seconds from a first keyframe to its points at a visitor."""
    model = MapModel()
    page = MapPage(model, PageAddress(port=0))
    try:
        with reading(page.server.port) as reader:
            time.sleep(1.0)
            began = time.monotonic()
            model.apply(made_up_view(0))
            while reader.first_cloud_s is None and time.monotonic() - began < 30.0:
                time.sleep(0.005)
            return round((reader.first_cloud_s or time.monotonic()) - began, 3)
    finally:
        page.close()


def measure_memory() -> dict[str, float]:
    """Resident MiB of the page's process at the start, after half of a long run, and at its end, with a visitor."""
    model = MapModel()
    page = MapPage(model, PageAddress(port=0))
    found = {"start": resident_bytes() / 2**20}
    try:
        with reading(page.server.port) as reader:
            for frame in range(LONG_FRAMES):
                model.put_pose(frame, rigid(np.eye(3), [0.004 * frame, 0.0, 0.0]))
                if frame % FRAMES_PER_KEYFRAME == 0:
                    model.apply(made_up_view(frame // FRAMES_PER_KEYFRAME))
                time.sleep(0.002)
                if frame + 1 in (LONG_FRAMES // 2, LONG_FRAMES):
                    time.sleep(3.0)
                    found[f"after {frame + 1} frames"] = resident_bytes() / 2**20
            found["sent, MiB"] = reader.received_bytes / 2**20
    finally:
        page.close()
    return {name: round(value) for name, value in found.items()}


# ---- command line ----------------------------------------------------------------------------------------------------


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line of ``slam3r_lab bench viewer``."""
    parser.description = __doc__
    parser.add_argument(
        "parts", nargs="*", metavar="PART", default=list(PARTS), choices=[*PARTS, list(PARTS)],
        help=f"{', '.join(PARTS)} (default: all)",
    )  # fmt: skip
    parser.add_argument("--video", type=Path, help="the camera's video (default: the example clip)")
    parser.add_argument("--seconds", type=float, default=8.0, help="of images in each case (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="with and without the page (default: %(default)s)")


def main(arguments: argparse.Namespace) -> int:
    """Measure the parts that are named, and keep the results."""
    lines = [f"Load of the machine over the last minute at the start: {os.getloadavg()[0]:.1f}", ""]
    values: dict[str, object] = {}
    if "cost" in arguments.parts:
        cost = measure_cost(arguments.video or _example(), arguments.seconds, arguments.rounds)
        rates = {name: statistics.median(each.processed_per_second for each in cases) for name, cases in cost.items()}
        cpu = {name: statistics.median(each.cpu for each in cases) for name, cases in cost.items()}
        loss = 100 * (1 - rates["with"] / rates["without"])
        lines.append(
            f"- {CASE}: {rates['without']:.1f} frames/s without the page, {rates['with']:.1f} with it ({loss:.1f} % "
            f"fewer; medians of {arguments.rounds}); the node keeps {cpu['without']:.2f} cores busy without it and "
            f"{cpu['with']:.2f} with it"
        )
        values["cost"] = {"rates": rates, "cpu": cpu}
    if "drawing" in arguments.parts:
        values["drawing"] = drawn = measure_drawing()
        lines += [
            f"- a million points at {size}, while the view turns: {each['frames/s']} frames/s of {each['points']:,} "
            f"points; a frame with all of them takes {each['whole frame, ms']:.0f} ms"
            for size, each in drawn.items()
        ]
    if "first" in arguments.parts:
        values["first"] = first_s = measure_first_points()
        lines.append(f"- first points at a visitor {first_s} s after the first keyframe")
    if "memory" in arguments.parts:
        values["memory"] = memory = measure_memory()
        lines.append(f"- memory of the page's process, MiB: {', '.join(f'{n}: {v:.0f}' for n, v in memory.items())}")
    name = "-".join(
        ["viewer", *(part for part in PARTS if part in arguments.parts and len(arguments.parts) < len(PARTS))]
    )
    print(write(name, Report(lines, values), command_line_of_this_run()))
    return 0


def _example() -> Path:
    return Path(__file__).resolve().parents[2] / "slam3r_ros" / "examples" / "room"
