"""Who may open the page: requests of other sites are refused, and those without the token where there is one.

A web page of another site can make a visitor's browser connect to this server. Two checks keep it out: a websocket is
accepted only from the page that this server sent itself (its Origin is the Host that was asked for), and the Host must
be a name or an address of this machine, so that no foreign name can be pointed to it (DNS rebinding).
"""

from __future__ import annotations

import hmac
import ipaddress
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, urlsplit

TOKEN_PARAMETER = "token"
"""Name of the token in the page's address."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request gets no answer."""

    status: HTTPStatus
    reason: str
    """One sentence."""


class PageGuard:
    """Decides on each request by its path and its headers."""

    def __init__(self, host: str, port: int, token: str) -> None:
        """``token`` is empty where none is asked for."""
        own = socket.gethostname()
        self._names = {"localhost", own, f"{own}.local", socket.getfqdn(), host} - {""}
        self._token = token
        self._cookie = f"slam3r_token_{port}"

    def refusal(self, path: str, headers: Mapping[str, str]) -> Refusal | None:
        """Why a request is refused; None where it is not."""
        host = headers.get("Host", "")
        if not self._is_own(_host_name(host)):
            return Refusal(
                HTTPStatus.FORBIDDEN,
                f"'{_printable(host)}' is not a name of this machine; open the page by its IP address or host name.",
            )
        if _is_websocket(headers) and not _is_same_origin(headers.get("Origin", ""), host):
            return Refusal(HTTPStatus.FORBIDDEN, "Only the page of this server may connect to it.")
        if self._token and not (self.has_token(path) or self._has_cookie(headers)):
            return Refusal(
                HTTPStatus.UNAUTHORIZED,
                "This page asks for a token: open the whole address that was printed where it was started.",
            )
        return None

    def has_token(self, path: str) -> bool:
        """Whether the address that was asked for holds the right token."""
        given = parse_qs(urlsplit(path).query).get(TOKEN_PARAMETER, [""])[0]
        return bool(self._token) and hmac.compare_digest(given.encode(), self._token.encode())

    @property
    def set_cookie(self) -> str:
        """The header that has a browser send the token from now on, to this server's own pages only."""
        return f"{self._cookie}={self._token}; Path=/; HttpOnly; SameSite=Strict"

    def _has_cookie(self, headers: Mapping[str, str]) -> bool:
        try:
            cookies = SimpleCookie(headers.get("Cookie", ""))
        except CookieError:
            return False
        given = cookies[self._cookie].value if self._cookie in cookies else ""
        return hmac.compare_digest(given.encode(), self._token.encode())

    def _is_own(self, name: str) -> bool:
        if name in self._names:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True


def _is_websocket(headers: Mapping[str, str]) -> bool:
    return headers.get("Upgrade", "").lower() == "websocket"


def _is_same_origin(origin: str, host: str) -> bool:
    """Whether a page of this origin came from this host."""
    parts = urlsplit(origin)
    return parts.scheme in ("http", "https") and bool(host) and parts.netloc.lower() == host.lower()


def _host_name(host: str) -> str:
    """The name or address in a Host header, without its port."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _printable(text: str) -> str:
    return "".join(character for character in text[:80] if character.isalnum() or character in ".:-_[]")
