"""A real browser for tests: the system's Chromium, driven by Playwright, drawing without a GPU."""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

CHROMIUM = os.environ.get("CHROMIUM") or None
"""The browser's program; None where there is none, or these tests were not asked for, as `make test-browser` does."""
DESKTOP, PHONE = (1280, 800), (390, 844)
"""Width and height of the viewports, pixels."""
_LIMIT_S = 300.0
"""Longest time that a test may take, seconds; each takes under 20 on an idle machine."""
_ARGUMENTS = ["--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist", "--no-sandbox"]


@contextmanager
def launched() -> Iterator[Browser]:
    """The browser, for the fixture `chromium`; the test is skipped on a machine without it."""
    if CHROMIUM is None:
        pytest.skip("needs a browser, and all of two cores for minutes: make test-browser")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=_ARGUMENTS)
        yield browser
        with bounded("closing the browser"):
            browser.close()


@contextmanager
def bounded(what: str) -> Iterator[None]:
    """Give a test in the browser up after a while, and write where every thread is: Playwright waits for ever for some
    answers, as for the end of a browser."""

    def give_up(*_: object) -> None:
        faulthandler.dump_traceback(sys.__stderr__, all_threads=True)
        raise TimeoutError(f"{what} takes more than {_LIMIT_S:.0f} s")

    usual = signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, _LIMIT_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, usual)


@contextmanager
def opened(browser: Browser, address: str, size: tuple[int, int] = DESKTOP) -> Iterator[Page]:
    """A page as a visitor of its own has it; at the end it must have shown no error on its console."""
    context = browser.new_context(viewport={"width": size[0], "height": size[1]}, has_touch=size == PHONE)
    page = context.new_page()
    errors: list[str] = []

    def note(message: ConsoleMessage) -> None:
        if message.type == "error":
            errors.append(message.text)

    page.on("console", note)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(address)
    try:
        yield page
    finally:
        context.close()
    assert not errors, errors
