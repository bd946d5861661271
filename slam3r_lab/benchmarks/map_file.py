"""What a map file costs: ``slam3r_lab bench map-file FILE``, about a minute.

The keyframes of a map file are written again as the engine's events: how long each event keeps the mapping thread, and
how many bytes a keyframe takes. A file of many keyframes, the same ones again and again, is opened in a process of its
own, without fusing its points: time and memory. Processes that write are killed (SIGKILL) at random moments, and every
file is opened.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import signal
import sqlite3
import tempfile
import time
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from slam3r_ros.engine.keyframe_view import KeyframeView
from slam3r_ros.map_file.facts import MapFacts
from slam3r_ros.map_file.reader import KeyframesOfFile, MapFile
from slam3r_ros.map_file.writer import MapFileWriter

_LONGEST_LIFE_S = 0.5
"""Longest time in seconds from a writer's first keyframe to its kill."""
_COPIED = {
    "keyframes": "id, frame, stamp_ns, pose, depth_scale, header, camera",
    "keyframe_data": "id, image, depth, depth_step, confidence",
    "map_pixels": "id, count, pixels",
}
"""Tables whose rows are copied with another number, and their columns."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line of ``slam3r_lab bench map-file``."""
    parser.description = __doc__
    parser.add_argument("file", type=Path, help="map file whose keyframes are written")
    parser.add_argument("--keyframes", type=int, default=5000, help="of the large file (default: %(default)s)")
    parser.add_argument("--kills", type=int, default=50, help="processes that are killed (default: %(default)s)")


def main(arguments: argparse.Namespace) -> int:
    """Measure, and print the figures; 1 if a file did not open after a kill."""
    with MapFile(arguments.file) as file:
        views = list(KeyframesOfFile(file))
        started = time.perf_counter()
        point_count = len(file.points())
        points_s = time.perf_counter() - started
        per_keyframe = arguments.file.stat().st_size / len(views)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "map.slam3r"
        times_us = write(path, views)
        print(f"writing on the thread that maps: mean {np.mean(times_us):.1f}, longest {max(times_us):.0f} us an event")
        print(f"{per_keyframe / 1000:.0f} kB a keyframe in '{arguments.file.name}', points and places included")
        print(f"the {point_count} points of its {len(views)} keyframes are fused in {points_s:.2f} s")
        enlarge(path, len(views), arguments.keyframes)
        seconds, memory_mb = opened(path)
        size = path.stat().st_size / 1e6
        print(f"{arguments.keyframes} keyframes ({size:.0f} MB): open in {seconds:.2f} s, in {memory_mb:.0f} MB")
        random = np.random.default_rng(0)
        lives_s = random.uniform(0, _LONGEST_LIFE_S, arguments.kills)
        good = sum(survives(Path(folder) / f"{n}.slam3r", views, float(life)) for n, life in enumerate(lives_s))
    print(f"{good} of {arguments.kills} files open after SIGKILL, with every keyframe that was committed")
    return 0 if good == arguments.kills else 1


def write(path: Path, views: list[KeyframeView]) -> list[float]:
    """Write keyframes into a new file; microseconds that each has kept the caller."""
    times_us = []
    with MapFileWriter(path, MapFacts()) as writer:
        for number, view in enumerate(views):
            event = replace(view, id=number, added=view.points(pixel_step=2))
            started = time.perf_counter()
            writer.write(event)
            times_us.append(1e6 * (time.perf_counter() - started))
            time.sleep(0.05)
    return times_us


def enlarge(path: Path, count: int, wanted: int) -> None:
    """Repeat the rows of a file's ``count`` keyframes until there are so many."""
    database = sqlite3.connect(path)
    for first in range(count, wanted, count):
        for table, columns in _COPIED.items():
            shifted = columns.replace("id", f"id + {first}", 1).replace("frame,", f"frame + {10 * first},")
            rows = f"SELECT {shifted} FROM {table} WHERE id < {min(count, wanted - first)}"
            database.execute(f"INSERT INTO {table} ({columns}) {rows}")
    database.commit()
    database.close()


def opened(path: Path) -> tuple[float, float]:
    """Seconds to open a file and read two keyframes, and megabytes of the process at its largest, with torch."""
    receiver, sender = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("spawn").Process(target=_open, args=(path, sender))
    process.start()
    seconds, memory_mb = receiver.recv()
    process.join()
    return float(seconds), float(memory_mb)


def _open(path: Path, sender: Connection) -> None:
    started = time.perf_counter()
    with MapFile(path) as file:
        keyframes = KeyframesOfFile(file)
        assert keyframes[0].image.size and keyframes[-1].image.size
        seconds = time.perf_counter() - started
    sender.send((seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000))


def survives(path: Path, views: list[KeyframeView], life_s: float) -> bool:
    """Kill a process that writes keyframes; whether the file opens and has all that it had said to be committed."""
    receiver, sender = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("fork").Process(target=_write_until_killed, args=(path, views, sender))
    process.start()
    committed = int(receiver.recv())
    time.sleep(life_s)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    while receiver.poll():
        committed = int(receiver.recv())
    with MapFile(path) as file:
        return committed <= len(list(KeyframesOfFile(file))) <= committed + 1


def _write_until_killed(path: Path, views: list[KeyframeView], sender: Connection) -> None:
    writer = MapFileWriter(path, MapFacts())
    number = 0
    while True:
        writer.write(replace(views[number % len(views)], id=number, index=10 * number))
        writer.checkpoint().result()
        number += 1
        sender.send(number)
