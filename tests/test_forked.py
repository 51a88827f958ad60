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
from hwnas.worker_pool import worker_pool
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


SPEAKING = """
import os, signal, sys
print(os.getcwd(), os.environ["COLOUR"], sys.argv[1:], sys.stdin.read(), flush=True)
print("aside", file=sys.stderr)
if sys.argv[1] == "killed":
    os.kill(os.getpid(), signal.SIGTERM)
sys.exit(5)
"""


@pytest.mark.parametrize(("argument", "status"), [("ended", 5), ("killed", -signal.SIGTERM)])
def test_a_program_for_shells_is_like_a_fresh_interpreter(
    argument: str, status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "speaking.py").write_text(SPEAKING)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    program = tmp_path / "speak"
    with forked.program(program, "speaking"):
        found = subprocess.run(
            [program, argument, "a b"],
            cwd="/",
            env={**os.environ, "COLOUR": "blue"},
            input="hello",
            capture_output=True,
            text=True,
            check=False,
        )
    assert found.stdout.strip() == f"/ blue ['{argument}', 'a b'] hello"
    assert found.stderr == "aside\n"
    assert found.returncode == status


def has_loaded(module: str) -> tuple[int, bool]:
    return os.getppid(), module in sys.modules


def test_workers_of_a_pool_are_forked_from_the_loaded_process() -> None:
    with worker_pool(1) as pool:
        assert pool.submit(has_loaded, "hwnas.search.worker").result() == (os.getpid(), True)


@pytest.mark.usefixtures("spawned_pools")
def test_workers_of_a_pool_are_fresh_where_a_test_asks_for_it() -> None:
    with worker_pool(1) as pool:
        assert pool.submit(has_loaded, "hwnas.search.worker").result() == (os.getpid(), False)


def test_a_loaded_process_that_was_killed_is_started_again() -> None:
    loaded, _ = forked._loaded()
    kill_group(loaded)
    found = forked.run(["--version"])
    assert (found.returncode, found.stderr) == (0, "")
    fresh = subprocess.run(
        [sys.executable, "-m", "hwnas", "--version"], capture_output=True, text=True, check=True
    )
    assert found.stdout == fresh.stdout
