"""The live page of a demo: the map in the browser while the demo makes it."""

from __future__ import annotations

import importlib.util
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from slam3r_ros.cli.process_guard import ProcessGuard

USUAL_PORT = 8080
"""TCP port of the page, unless another program has it."""
_HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class DemoPage:
    """The page of a demo, in a process of its own."""

    process: subprocess.Popen[bytes] | None
    """None where viser is not installed."""
    url: str
    """What to open in a browser."""
    log: Path

    def text(self) -> str:
        """Where the page is, or why there is none; one sentence."""
        if self.process is None:
            return "no live page: it needs viser: pip install slam3r_ros[viewer]"
        if self.process.poll() is None:
            return f"watch the map grow in a browser: {self.url}"
        said = self.log.read_text(errors="replace").strip().splitlines()
        return f"no live page: {said[-1] if said else 'it ended without a word'} (see {self.log})"


@contextmanager
def live_page(guard: ProcessGuard, log: Path, port: int) -> Iterator[DemoPage]:
    """Serve the page as long as the block lasts, where viser is installed."""
    url = f"http://{_HOST}:{port}/"
    if importlib.util.find_spec("viser") is None:
        yield DemoPage(None, url, log)
        return
    command = [sys.executable, "-m", "slam3r_ros.ros.viewer", "--host", _HOST, "--port", str(port)]
    with guard.running(command, log) as process:
        yield DemoPage(process, url, log)


def page_port() -> int:
    """`USUAL_PORT`, or a free one where another program has it."""
    for port in (USUAL_PORT, 0):
        try:
            with socket.create_server((_HOST, port)) as listening:
                return int(listening.getsockname()[1])
        except OSError:
            continue
    return USUAL_PORT
