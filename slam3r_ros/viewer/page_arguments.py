"""The arguments of every command that serves a page: --host, --port and --token."""

from __future__ import annotations

import argparse
import secrets

from slam3r_ros.viewer.page_server import PageAddress

_ANY_TOKEN = "auto"
"""Value of --token that has one made up."""
_TOKEN_BYTES = 16
"""Length of a token that is made up, bytes."""


def add_page_arguments(made: argparse.ArgumentParser) -> None:
    """Declare where the page is served."""
    made.add_argument(
        "--host",
        default="127.0.0.1",
        help="address to listen on; 0.0.0.0 lets every machine that can reach this one see the map and use its buttons "
        "(default: %(default)s, this machine only)",
    )
    made.add_argument("--port", type=int, default=8080, help="TCP port; 0 for any free one (default: %(default)s)")
    made.add_argument(
        "--token",
        nargs="?",
        const=_ANY_TOKEN,
        default="",
        help="let in only those whose address holds this text; without a value one is made up and printed",
    )


def page_address(arguments: argparse.Namespace) -> PageAddress:
    """Where the page is served, by the command line's arguments."""
    token = secrets.token_urlsafe(_TOKEN_BYTES) if arguments.token == _ANY_TOKEN else arguments.token
    return PageAddress(arguments.host, arguments.port, token)
