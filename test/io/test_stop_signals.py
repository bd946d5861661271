"""What ends a process: signals as a request, and as an interruption where nothing is lost by one."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest

from slam3r_ros.io.stop_signals import StopRequest, stop_on_signals

pytestmark = pytest.mark.usefixtures("default_signals")
ALL = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


@pytest.mark.parametrize("number", ALL)
def test_a_signal_is_a_request_and_the_usual_action_comes_back(number: signal.Signals) -> None:
    usual = signal.getsignal(number)
    with stop_on_signals(process_ends=False) as stop:
        assert (stop.is_set(), stop.exit_status) == (False, 0)
        signal.raise_signal(number)
        signal.raise_signal(number)
        assert stop.is_set() and stop.wait(10.0)
        assert stop.exit_status == 128 + number
    assert signal.getsignal(number) is usual


@pytest.mark.parametrize("number", ALL)
def test_signals_are_ignored_while_the_process_ends(number: signal.Signals) -> None:
    usual = [(each, signal.getsignal(each)) for each in ALL]
    try:
        with stop_on_signals():
            pass
        signal.raise_signal(number)
    finally:
        for each, action in usual:
            signal.signal(each, action)


def test_second_interrupt_ends_at_once_where_asked_for() -> None:
    with stop_on_signals(process_ends=False, second_interrupts=True) as stop:
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        assert stop.exit_status == 143


@pytest.mark.parametrize("number", ALL)
def test_a_block_that_may_be_interrupted_is(number: signal.Signals) -> None:
    with stop_on_signals(process_ends=False) as stop:
        with pytest.raises(KeyboardInterrupt), stop.interrupting():
            signal.raise_signal(number)
        with pytest.raises(KeyboardInterrupt), stop.interrupting():  # the request came before the block
            pytest.fail("entered")
        signal.raise_signal(number)  # after it, nothing is raised


def test_waiting_ends_soon_after_the_signal() -> None:
    with stop_on_signals(process_ends=False) as stop:
        threading.Timer(0.1, lambda: os.kill(os.getpid(), signal.SIGTERM)).start()
        began = time.monotonic()
        assert stop.wait(120.0)
        assert time.monotonic() - began < 60.0


def test_waiting_without_a_request_takes_its_time() -> None:
    began = time.monotonic()
    assert not StopRequest().wait(0.12)
    assert 0.11 < time.monotonic() - began < 60.0
