"""The app in the browser: ``slam3r_ros app``."""

from __future__ import annotations

import argparse
import secrets
import signal
import threading
from dataclasses import replace
from pathlib import Path

from slam3r_ros.io.arguments import positive
from slam3r_ros.io.files import OutputError
from slam3r_ros.io.terminal import say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line of ``slam3r_ros app``."""
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="address to listen on; 0.0.0.0 lets in everybody who can reach this machine (default: %(default)s)",
    )
    parser.add_argument("--port", type=int, default=8080, help="TCP port, 0 for any free one (default: %(default)s)")
    parser.add_argument(
        "--token",
        nargs="?",
        const="",
        help="let in only those who have the address with this token; without a value a new one is made",
    )
    parser.add_argument(
        "--scratch", type=Path, help="folder for uploads and results (default: that of temporary files)"
    )
    parser.add_argument(
        "--max-upload-mb", type=positive, default=2048.0, metavar="MB",
        help="megabytes that a visitor may upload (default: %(default).0f)",
    )  # fmt: skip
    parser.add_argument(
        "--max-runs", type=int, default=1, metavar="N", help="runs at once, the others wait (default: %(default)s)"
    )
    parser.add_argument(
        "--weights",
        default="embedded",
        help="'embedded', 'embedded-large', a directory or a hub id (default: %(default)s)",
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1 ... (default: %(default)s)")
    parser.add_argument("--precision", default="auto", help="auto, float32, bfloat16 or float16 (default: %(default)s)")


def main(arguments: argparse.Namespace) -> int:
    """Serve the app until Ctrl-C; 2 where it cannot be served."""
    from slam3r_ros.app.app_server import AppOptions, AppServer
    from slam3r_ros.app.limits import MEBIBYTE, UploadLimits
    from slam3r_ros.app.messages import NetworkChoice
    from slam3r_ros.viewer.page_server import PageAddress, PageError

    if arguments.max_runs < 1:
        say(f"slam3r_ros app: --max-runs: expected at least 1, got {arguments.max_runs}", is_trouble=True)
        return 2
    token = secrets.token_urlsafe(16) if arguments.token == "" else arguments.token or ""
    options = AppOptions(
        address=PageAddress(arguments.host, arguments.port, token),
        scratch=arguments.scratch,
        limits=replace(UploadLimits(), total_bytes=int(arguments.max_upload_mb * MEBIBYTE)),
        most_runs=arguments.max_runs,
        networks=NetworkChoice(arguments.weights, arguments.device, arguments.precision),
    )
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: ended.set())
    try:
        server = AppServer(options)
    except (PageError, OutputError) as error:
        say(f"slam3r_ros app: {error}", is_trouble=True)
        return 2
    try:
        say(f"open {server.server.url} in a browser; Ctrl-C ends the app and removes what was uploaded")
        if options.address.advice:
            say(f"slam3r_ros app: {options.address.advice}", is_trouble=True)
        ended.wait()
    finally:
        server.close()
    return 0
