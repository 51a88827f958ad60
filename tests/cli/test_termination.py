"""SIGTERM and SIGHUP end a command in order, wherever it is."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

PROGRAM = """
import signal, sys, time
from hwnas.cli import main as entry
from hwnas.scratch import ScratchDirectory

def app():
    held = ScratchDirectory("held")
    with ScratchDirectory("context"):
        try:
            print(sys.argv[1], flush=True)
            {what}
        finally:
            print("left in order", flush=True)

entry.make_app = lambda: app
{before}
entry.main()
"""


def ended(
    tmp_path: Path, number: signal.Signals, what: str = "time.sleep(60)", before: str = ""
) -> tuple[int, str]:
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(what=what, before=before), "started"],
        env={"TMPDIR": str(tmp_path), "PATH": "/usr/bin:/bin"},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "started\n"
    assert len(list(tmp_path.iterdir())) == 2
    process.send_signal(number)
    said, _ = process.communicate(timeout=60)
    return process.returncode, said


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_contexts_are_left_and_directories_removed(number: signal.Signals, tmp_path: Path) -> None:
    assert ended(tmp_path, number) == (-number, "left in order\n")
    assert list(tmp_path.iterdir()) == []


def test_what_takes_too_long_is_ended_by_the_kernel(tmp_path: Path) -> None:
    started = time.monotonic()
    what = "time.sleep(60)\n        except SystemExit:\n            time.sleep(60)"
    status, said = ended(tmp_path, signal.SIGTERM, what)
    assert (status, said) == (-signal.SIGALRM, "")
    assert time.monotonic() - started < 20


def test_a_hangup_that_is_ignored_stays_so(tmp_path: Path) -> None:
    what = "time.sleep(0.3)"
    before = "signal.signal(signal.SIGHUP, signal.SIG_IGN)"
    assert ended(tmp_path, signal.SIGHUP, what, before) == (0, "left in order\n")
    assert list(tmp_path.iterdir()) == []
