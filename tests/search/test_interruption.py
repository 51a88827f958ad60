"""Signals that end a run between two steps, or soon after."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from hwnas.search import interruption
from hwnas.search.interruption import StopRequest


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_first_signal_is_noted_and_handlers_are_given_back(number: signal.Signals) -> None:
    before = {each: signal.getsignal(each) for each in interruption._SIGNALS}
    with StopRequest() as stop:
        assert not stop.requested
        os.kill(os.getpid(), number)
        assert stop.requested
        # From now on, the second one does what it did before.
        assert {each: signal.getsignal(each) for each in interruption._SIGNALS} == before
    assert {each: signal.getsignal(each) for each in interruption._SIGNALS} == before


STUCK = """
import time
from hwnas.search import interruption
interruption._PATIENCE_S = 0.2
{before}
with interruption.StopRequest() as stop:
    print("started", flush=True)
    {what}
print("ended", stop.requested, flush=True)
time.sleep(0.5)
"""


def ended(number: signal.Signals, what: str, before: str = "") -> tuple[int, str]:
    program = STUCK.format(what=what, before=before)
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "started\n"
    process.send_signal(number)
    said, _ = process.communicate(timeout=60)
    return process.returncode, said


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_step_that_goes_on_is_interrupted_soon(number: signal.Signals) -> None:
    started = time.monotonic()
    assert ended(number, "time.sleep(60)") == (-number, "")
    assert time.monotonic() - started < 30


def test_a_step_that_ends_in_time_is_not() -> None:
    assert ended(signal.SIGTERM, "while not stop.requested: time.sleep(0.01)") == (0, "ended True\n")


def test_a_hangup_that_is_ignored_is_not_noted() -> None:
    before = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)"
    assert ended(signal.SIGHUP, "time.sleep(0.3)", before) == (0, "ended False\n")
