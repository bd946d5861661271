"""A saved map in the browser: ``slam3r_ros view FILE``."""

from __future__ import annotations

import argparse
import threading
import webbrowser
from pathlib import Path

from slam3r_ros.cli.map_result import map_file_in
from slam3r_ros.io.files import FileFormatError
from slam3r_ros.io.stop_signals import stop_on_signals
from slam3r_ros.io.terminal import say
from slam3r_ros.viewer.map_model import MapModel
from slam3r_ros.viewer.map_page import MapPage
from slam3r_ros.viewer.page_arguments import add_page_arguments, page_address
from slam3r_ros.viewer.page_server import PageError
from slam3r_ros.viewer.saved_map import SavedMapActions, show_map

_WAIT_S = 3600.0
"""Seconds between two looks at nothing."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line of ``slam3r_ros view``."""
    parser.add_argument(
        "map", type=Path, help="map file NAME.slam3r, or a folder that holds one, as `slam3r_ros run` leaves it"
    )
    add_page_arguments(parser)
    parser.add_argument("--open", action="store_true", help="open the page in this machine's browser too")


def main(arguments: argparse.Namespace) -> int:
    """Show the map until Ctrl-C; 2 where it cannot be read or the page cannot be served."""
    model = MapModel()
    try:
        path = map_file_in(arguments.map.expanduser())
        address = page_address(arguments)
        actions = SavedMapActions(path, model)
        page = MapPage(model, address, actions, title=f"slam3r: {path.name}")
    except (FileFormatError, PageError) as error:
        say(f"slam3r_ros view: {error}", is_trouble=True)
        return 2
    with stop_on_signals() as stop:
        try:
            say(f"{path} is shown at {page.server.url} (Ctrl-C ends it)")
            if address.advice:
                say(f"slam3r_ros view: {address.advice}", is_trouble=True)
            if arguments.open:
                threading.Thread(target=webbrowser.open, args=(page.server.url,), daemon=True).start()
            show_map(path, model)
            while not stop.wait(_WAIT_S):
                pass
        except FileFormatError as error:
            say(f"slam3r_ros view: {error}", is_trouble=True)
            return 2
        finally:
            page.close()
            actions.close()
    return 0
