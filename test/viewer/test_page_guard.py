"""Who may open the page: no page of another site, no foreign name for this machine, nobody without the token."""

from __future__ import annotations

import socket
from http import HTTPStatus

import pytest
from websockets.datastructures import Headers

from slam3r_ros.viewer.page_guard import PageGuard

LOCAL = "127.0.0.1:8080"
FORBIDDEN, UNAUTHORIZED = HTTPStatus.FORBIDDEN, HTTPStatus.UNAUTHORIZED


def status(guard: PageGuard, path: str = "/", **headers: str) -> HTTPStatus | None:
    refusal = guard.refusal(path, Headers({name.replace("_", "-"): value for name, value in headers.items()}))
    assert refusal is None or (refusal.reason.endswith(".") and "\n" not in refusal.reason)
    return None if refusal is None else refusal.status


@pytest.mark.parametrize("host", [LOCAL, "localhost:8080", "192.168.1.20:8080", "[::1]:8080", socket.gethostname()])
def test_the_page_is_for_names_of_this_machine(host: str) -> None:
    assert status(PageGuard("127.0.0.1", 8080, ""), Host=host) is None


@pytest.mark.parametrize("host", ["evil.example:8080", "", "127.0.0.1.evil.example", "[::1", "localhost.evil.example"])
def test_a_foreign_name_is_refused(host: str) -> None:
    assert status(PageGuard("127.0.0.1", 8080, ""), Host=host) is FORBIDDEN


@pytest.mark.parametrize(
    ("origin", "expected"),
    [
        (f"http://{LOCAL}", None),
        (f"https://{LOCAL}", None),
        ("http://evil.example", FORBIDDEN),
        ("http://127.0.0.1:9999", FORBIDDEN),
        (f"http://evil.example/{LOCAL}", FORBIDDEN),
        (f"http://{LOCAL}@evil.example", FORBIDDEN),
        ("null", FORBIDDEN),
        ("", FORBIDDEN),
    ],
)
def test_only_the_servers_own_page_may_connect(origin: str, expected: HTTPStatus | None) -> None:
    guard = PageGuard("127.0.0.1", 8080, "")
    assert status(guard, Host=LOCAL, Upgrade="websocket", Origin=origin) is expected
    assert status(guard, Host=LOCAL, Upgrade="WebSocket", Origin=origin) is expected


def test_the_token_is_asked_for_in_the_address_and_then_in_a_cookie() -> None:
    guard = PageGuard("0.0.0.0", 8080, "s3cret")
    assert status(guard, Host=LOCAL) is UNAUTHORIZED
    assert status(guard, "/?token=wrong", Host=LOCAL) is UNAUTHORIZED
    assert status(guard, "/?token=", Host=LOCAL) is UNAUTHORIZED
    assert status(guard, "/?token=s3cret", Host=LOCAL) is None
    cookie = guard.set_cookie.partition(";")[0]
    assert "HttpOnly" in guard.set_cookie and "SameSite=Strict" in guard.set_cookie
    connection = {"Host": LOCAL, "Upgrade": "websocket", "Origin": f"http://{LOCAL}"}
    assert status(guard, **connection) is UNAUTHORIZED
    assert status(guard, **connection, Cookie=cookie) is None
    assert status(guard, **connection, Cookie=cookie.replace("s3cret", "other")) is UNAUTHORIZED
    assert status(guard, **connection, Cookie='[a]=";;="') is UNAUTHORIZED


def test_without_a_token_none_is_right() -> None:
    assert not PageGuard("127.0.0.1", 8080, "").has_token("/?token=")
