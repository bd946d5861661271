"""The app in the browser: ``slam3r_ros app``."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from slam3r_ros.app.app_server import AppOptions, AppServer
from slam3r_ros.app.limits import MEBIBYTE, UploadLimits
from slam3r_ros.app.messages import NetworkChoice
from slam3r_ros.io.arguments import positive
from slam3r_ros.io.files import OutputError
from slam3r_ros.io.stop_signals import stop_on_signals
from slam3r_ros.io.terminal import say
from slam3r_ros.viewer.page_arguments import add_page_arguments, page_address
from slam3r_ros.viewer.page_server import PageError

_WAIT_S = 3600.0
"""Seconds between two looks at nothing."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line of ``slam3r_ros app``."""
    add_page_arguments(parser)
    parser.add_argument(
        "--scratch",
        type=Path,
        metavar="FOLDER",
        help="where uploads and maps are kept while the app runs (default: the folder for temporary files)",
    )
    parser.add_argument(
        "--max-upload-mb", type=positive, default=2048.0, metavar="MB",
        help="megabytes that a visitor may upload (default: %(default).0f)",
    )  # fmt: skip
    parser.add_argument(
        "--max-runs", type=int, default=1, metavar="N", help="runs at once; others wait (default: %(default)s)"
    )
    parser.add_argument(
        "--weights",
        default="embedded",
        help="'embedded', a directory or a hub id (default: %(default)s)",
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1 ... (default: %(default)s)")
    parser.add_argument("--precision", default="auto", help="auto, float32, bfloat16 or float16 (default: %(default)s)")


def main(arguments: argparse.Namespace) -> int:
    """Serve the app until Ctrl-C; 2 where it cannot be served."""
    if arguments.max_runs < 1:
        say(f"slam3r_ros app: --max-runs: expected at least 1, got {arguments.max_runs}", is_trouble=True)
        return 2
    address = page_address(arguments)
    options = AppOptions(
        address=address,
        scratch=arguments.scratch,
        limits=replace(UploadLimits(), total_bytes=int(arguments.max_upload_mb * MEBIBYTE)),
        most_runs=arguments.max_runs,
        networks=NetworkChoice(arguments.weights, arguments.device, arguments.precision),
    )
    with stop_on_signals() as stop:
        try:
            app = AppServer(options)
        except (PageError, OutputError) as error:
            say(f"slam3r_ros app: {error}", is_trouble=True)
            return 2
        try:
            say(f"open {app.server.url} in a browser (Ctrl-C ends the app and removes uploads and maps)")
            if address.advice:
                say(f"slam3r_ros app: {address.advice}", is_trouble=True)
            while not stop.wait(_WAIT_S):
                pass
        finally:
            app.close()
    return 0
