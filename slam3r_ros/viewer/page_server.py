"""viser's web server, made safe: it refuses what `page_guard` refuses, and its page fetches nothing from outside."""

from __future__ import annotations

import contextlib
import gzip
import io
import logging
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from ipaddress import ip_address
from typing import Any

import viser
import websockets.asyncio.server
from viser import _messages as viser_messages
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from slam3r_ros.viewer.level_of_detail import drawing_script
from slam3r_ros.viewer.page_guard import TOKEN_PARAMETER, PageGuard
from slam3r_ros.viewer.tuning import DRAWING

Handler = Callable[[websockets.asyncio.server.ServerConnection, Request], Response | None]
"""What answers an HTTP request; None lets the websocket through."""
Route = Callable[[websockets.asyncio.server.ServerConnection], Awaitable[None]]
"""What talks to one websocket until its end."""

_POLICY = (
    "default-src 'self' data: blob: 'unsafe-inline' 'unsafe-eval'; connect-src 'self' data: blob:; "
    "frame-ancestors 'self'; form-action 'self'; base-uri 'self'"
)
"""What the browser allows the page: scripts and data of its own, connections to this server, and no frame around it."""
_NO_WEBGL_PATH = "/no-webgl"
_NO_WEBGL = (
    "This browser cannot draw the map because WebGL is off or missing; "
    "switch hardware acceleration on, or open the page in another browser."
)
_HEAD = """<style>@media (max-width: 480px) { [style*="width: 20em"] { width: 100% !important; } }</style>
<script>
(() => {
  document.title = "TITLE";
  const address = new URL(window.location.href);
  if (address.searchParams.has("PARAMETER")) {
    address.searchParams.delete("PARAMETER");
    window.history.replaceState(null, "", address.toString());
  }
  const canvas = document.createElement("canvas");
  let context = null;
  try { context = canvas.getContext("webgl2") || canvas.getContext("webgl"); } catch (error) { context = null; }
  if (context !== null) {
    const lose = context.getExtension("WEBGL_lose_context");
    if (lose) lose.loseContext();
    return;
  }
  window.location.replace("NO_WEBGL_PATH");
})();
</script>
<script>
DRAWING
</script>
"""
"""Put into the page before viser's own script: it gives the panel the whole width of a phone, sets the title, takes the
token out of the address bar, goes to a page of one sentence where the browser cannot draw, and keeps it fluent."""
_start_lock = threading.Lock()


class PageError(Exception):
    """The page cannot be served; the message is one sentence that says why and what to do."""


@dataclass(frozen=True, slots=True)
class PageAddress:
    """Where the page is served, and who may open it."""

    host: str = "127.0.0.1"
    """Address to listen on: 127.0.0.1 for browsers on this machine only, 0.0.0.0 for the whole network."""
    port: int = 8080
    """TCP port; 0 for any free one."""
    token: str = ""
    """Text that the page's address must hold; empty where none is asked for."""

    @property
    def is_local(self) -> bool:
        """Whether only programs on this machine can connect."""
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    @property
    def advice(self) -> str:
        """What an address that others can reach means, one sentence; empty for one that only this machine can."""
        if self.is_local:
            return ""
        everybody = f"everybody who can reach this machine's port {self.port}"
        if self.token:
            return f"{everybody} and has the address with its token can see the map and use its buttons"
        return f"{everybody} can see the map and use its buttons; --token lets in only those who have the address"


@dataclass(frozen=True, slots=True)
class Additions:
    """What a server has beside viser's page, by path; the same requests are refused."""

    pages: Mapping[str, str] = field(default_factory=dict)
    """Pages in HTML."""
    routes: Mapping[str, Route] = field(default_factory=dict)
    """Websockets; all other paths are viser's."""


class PageServer:
    """viser's server, listening where it was told to."""

    def __init__(self, address: PageAddress, title: str, additions: Additions | None = None) -> None:
        """Raises PageError where the port is in use or the host is not this machine's."""
        _check_free(address)
        # A connection that ends before it has asked for anything, as of a port scanner, is nobody's error.
        logging.getLogger("websockets.server").setLevel(logging.CRITICAL)
        self._title, self._additions = title, additions or Additions()
        wrap = partial(self._wrap, address)
        with _start_lock, _guarded(wrap, self._additions.routes) as wrapped, _without_viser_output():
            self.viser = viser.ViserServer(host=address.host, port=address.port, label=title, verbose=False)
            """viser's own server: scene, panels, visitors."""
        self.port = int(self.viser.get_port())
        """The port that it listens on."""
        if not wrapped or (address.port and self.port != address.port):
            self.stop()
            raise PageError(_in_use(address) if wrapped else "this version of viser cannot be guarded; install 1.1.1")
        self._address = address
        self.viser.gui.configure_theme(
            dark_mode=True, show_logo=False, show_share_button=False, brand_color=(64, 130, 255)
        )
        self.viser.scene.set_up_direction("+z")
        # Any visitor could ask viser to open a tunnel to a public server.
        for message in (viser_messages.ShareUrlRequest, viser_messages.ShareUrlDisconnect):
            self.viser._websock_server.unregister_handler(message)

    @property
    def url(self) -> str:
        """The address to open in a browser, with the token."""
        host = {"0.0.0.0": socket.gethostname(), "::": socket.gethostname()}.get(self._address.host, self._address.host)
        query = f"?{TOKEN_PARAMETER}={self._address.token}" if self._address.token else ""
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}/{query}"

    def stop(self) -> None:
        """Close all connections and stop listening."""
        with _without_viser_output():
            self.viser.stop()

    def _wrap(self, address: PageAddress, port: int, answer: Handler) -> Handler:
        """What answers requests instead of viser's own ``answer``, which gets those that are not refused."""
        guard = PageGuard(address.host, port, address.token)
        page: list[bytes] = []

        def handle(connection: websockets.asyncio.server.ServerConnection, request: Request) -> Response | None:
            refusal = guard.refusal(request.path, request.headers)
            if refusal is not None:
                return _text(refusal.status, refusal.reason)
            if request.path == _NO_WEBGL_PATH:
                return _text(HTTPStatus.OK, _NO_WEBGL)
            path = request.path.partition("?")[0]
            if path in self._additions.pages and request.headers.get("Upgrade") is None:
                return _html(HTTPStatus.OK, self._additions.pages[path])
            request.headers.pop("Accept-Encoding", None)  # what is changed here is compressed here
            response = answer(connection, request)
            if response is None:
                return None
            if path in ("/", "/index.html") and response.body is not None:
                if not page:
                    page.append(gzip.compress(_with_head(bytes(response.body), self._title)))
                response = Response(HTTPStatus.OK, "OK", Headers(_page_headers(len(page[0]), "gzip")), page[0])
                if guard.has_token(request.path):
                    response.headers["Set-Cookie"] = guard.set_cookie
            return response

        return handle


def _check_free(address: PageAddress) -> None:
    """Raise PageError where nobody can listen at an address."""
    try:
        with socket.create_server((address.host, address.port), family=_family(address.host)):
            pass
    except PermissionError as error:
        raise PageError(f"port {address.port} may not be used ({error.strerror}); choose one above 1023") from error
    except OverflowError as error:
        raise PageError(f"port {address.port} is not a port; choose one from 1024 to 65535") from error
    except socket.gaierror as error:
        raise PageError(f"host '{address.host}' is unknown; 127.0.0.1 or 0.0.0.0 is usual") from error
    except OSError as error:
        in_use = error.errno in (98, 48)  # Linux, macOS
        raise PageError(
            _in_use(address) if in_use else f"host '{address.host}' is not an address of this machine"
        ) from error


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _in_use(address: PageAddress) -> str:
    return f"port {address.port} is in use by another program; choose another port, or 0 for any free one"


@contextlib.contextmanager
def _guarded(wrap: Callable[[int, Handler], Handler], routes: Mapping[str, Route]) -> Iterator[list[bool]]:
    """Have the next server of `websockets` answer through ``wrap``, and websockets of these paths by their routes; the
    list is not empty once one does.

    viser starts its server in its constructor and gives no other way to look at a request before it is answered.
    """
    serve = websockets.asyncio.server.serve
    wrapped: list[bool] = []

    def guarded_serve(handler: Route, host: str, port: int, *, process_request: Handler, **options: Any) -> object:
        async def routed(connection: websockets.asyncio.server.ServerConnection) -> None:
            path = "" if connection.request is None else connection.request.path.partition("?")[0]
            await routes.get(path, handler)(connection)

        wrapped.append(True)
        return serve(routed, host, port, process_request=wrap(port, process_request), **options)  # type: ignore[arg-type]

    websockets.asyncio.server.serve = guarded_serve  # type: ignore[assignment,misc]
    try:
        yield wrapped
    finally:
        websockets.asyncio.server.serve = serve  # type: ignore[misc]


@contextlib.contextmanager
def _without_viser_output() -> Iterator[None]:
    """Keep viser from printing an address of its own, without the token."""
    with contextlib.redirect_stdout(io.StringIO()):
        yield


def _with_head(page: bytes, title: str) -> bytes:
    """viser's page with our script in its head."""
    head = _HEAD.replace("TITLE", title).replace("PARAMETER", TOKEN_PARAMETER)
    head = head.replace("NO_WEBGL_PATH", _NO_WEBGL_PATH).replace("DRAWING", drawing_script(DRAWING))
    before, tag, after = page.partition(b"<head>")
    return before + tag + head.encode() + after


def _page_headers(length: int, encoding: str = "identity") -> list[tuple[str, str]]:
    return [
        ("Content-Type", "text/html; charset=utf-8"),
        ("Content-Length", str(length)),
        ("Content-Encoding", encoding),
        ("Content-Security-Policy", _POLICY),
        ("X-Content-Type-Options", "nosniff"),
        ("Referrer-Policy", "no-referrer"),
        ("Cache-Control", "no-store"),
    ]


def _text(status: HTTPStatus, sentence: str) -> Response:
    """A page of one sentence."""
    return _html(status, f"<!doctype html><title>slam3r</title><p>{sentence}</p>")


def _html(status: HTTPStatus, page: str) -> Response:
    body = page.encode()
    return Response(status, status.phrase, Headers(_page_headers(len(body))), body)
