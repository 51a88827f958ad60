"""Forks of the loaded process are like fresh interpreters to whatever started them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from hwnas.processes import kill_group, module_command
from tests import forked

MODULE = """
import os, sys
descriptor, what = int(sys.argv[1]), sys.argv[2]
facts = [os.getppid(), os.getsid(0) == os.getpid(), os.environ["COLOUR"], os.getcwd()]
os.write(descriptor, repr(facts).encode())
exec(what)
"""


@pytest.mark.parametrize(
    ("what", "status", "said"),
    [
        ("pass", 0, ""),
        ("raise SystemExit(5)", 5, ""),
        ("raise ValueError('no such thing')", 1, "ValueError: no such thing"),
        ("print('last words', file=sys.stderr); os.kill(os.getpid(), 9)", -9, "last words"),
        ("import signal; signal.pause()", -15, ""),
    ],
)
def test_a_fork_is_a_child_with_what_it_was_given(what: str, status: int, said: str, tmp_path: Path) -> None:
    (tmp_path / "facts.py").write_text(MODULE)
    reading, writing = os.pipe()
    environment = {"PYTHONPATH": str(tmp_path), "COLOUR": "blue"}
    process = forked.start(
        module_command("facts", str(writing), what),
        env=environment,
        pass_fds=(writing,),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=tmp_path,
    )
    os.close(writing)
    with os.fdopen(reading) as facts:
        told = facts.readline() if "pause" not in what else os.read(reading, 1000).decode()
        assert told == repr([os.getpid(), True, "blue", str(tmp_path)])
        if "pause" in what:
            process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=60)
    assert process.returncode == status
    assert err.decode().strip().endswith(said)
    assert not psutil.pid_exists(process.pid)


def test_a_loaded_process_that_was_killed_is_started_again() -> None:
    loaded, _ = forked._loaded()
    kill_group(loaded)
    found = forked.run(["--version"])
    assert (found.returncode, found.stderr) == (0, "")
    fresh = subprocess.run(
        [sys.executable, "-m", "hwnas", "--version"], capture_output=True, text=True, check=True
    )
    assert found.stdout == fresh.stdout
