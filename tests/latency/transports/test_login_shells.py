"""Whatever the login shell of a board is, arguments reach Python as they are, and its end reaches us."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hwnas.errors import TargetLostError
from hwnas.latency.target import Target
from hwnas.latency.transports.quoting import remote_command
from hwnas.latency.transports.ssh import SshTransport
from hwnas.testing.onnx_models import write_conv_model
from tests.latency.transports.board import Board

SHELLS = ("sh", "bash", "zsh", "fish", "tcsh", "csh")
ECHO = "import json, os, sys; print(json.dumps([list(os.fsencode(word)) for word in sys.argv[1:]]))"
WORDS = [
    "a b",
    "it's",
    "$HOME",
    "!!",
    "\\",
    "(x)",
    "~",
    "*",
    "",
    "café",
    "a\nb",
    '"',
    "`id`",
    "\udcff",
    "{1,2}",
    "^a^b",
]


def shell_of(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed: apt-get install {name}")
    return found


def run(shell: str, arguments: list[str]) -> subprocess.CompletedProcess[str]:
    command = remote_command(sys.executable, arguments)
    return subprocess.run([shell, "-c", command], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", SHELLS)
def test_any_words_arrive_in_any_shell(name: str) -> None:
    shell = shell_of(name)
    for words in (WORDS, [word for word in WORDS if word.isascii() and word.isalnum()] or ["plain"]):
        done = run(shell, ["-S", "-c", ECHO, *words])
        assert done.returncode == 0, done.stderr
        assert [os.fsdecode(bytes(word)) for word in json.loads(done.stdout)] == words


@pytest.mark.parametrize("name", ["fish", "tcsh"])
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(words=st.lists(st.text(st.characters(exclude_characters="\0")), max_size=3))
def test_random_words_arrive(name: str, words: list[str]) -> None:
    words = [os.fsdecode(word.encode("utf-8", errors="ignore")) for word in words]
    done = run(shell_of(name), ["-S", "-c", ECHO, *words])
    assert [os.fsdecode(bytes(word)) for word in json.loads(done.stdout)] == words


@pytest.mark.parametrize("name", SHELLS)
def test_how_python_ended_is_told(name: str) -> None:
    shell = shell_of(name)
    assert run(shell, ["-S", "-c", "raise SystemExit(7)"]).returncode == 7
    killed = run(shell, ["-S", "-c", "import os; os.kill(os.getpid(), 9)"])
    assert killed.returncode == 128 + signal.SIGKILL


@pytest.fixture(params=["fish", "tcsh"])
def board_with_shell(board: Board, request: pytest.FixtureRequest) -> Iterator[Board]:
    shell = shell_of(request.param)
    if not board.made_user:
        pytest.skip("the login shell can be changed by root only")
    subprocess.run(["usermod", "--shell", shell, board.user], check=True, capture_output=True)
    yield board
    subprocess.run(["usermod", "--shell", "/bin/sh", board.user], check=True, capture_output=True)


def test_boards_with_other_login_shells_work(board_with_shell: Board, tmp_path: Path) -> None:
    board = board_with_shell
    model = tmp_path / "model.onnx"
    io_spec = write_conv_model(model)
    transport = SshTransport(Target.parse(board.url), "hwnas.latency.backends.onnxruntime")
    agent = transport.start_agent()
    try:
        backend = "hwnas.latency.backends.onnxruntime:OnnxRuntimeCpu"
        agent.request("set_up", timeout_s=60, backend=backend, threads=1, cores=[])
        there = transport.place_model(model)
        agent.request("load", timeout_s=60, model=there, io_spec=io_spec.to_json(), seed=0)
        assert len(agent.request("clock", timeout_s=60, count=3)["samples_ms"]) == 3
        for process in board.agents():
            process.kill()
        with pytest.raises(TargetLostError, match="by signal SIGKILL"):
            agent.request("clock", timeout_s=60, count=3)
    finally:
        agent.close()
        transport.close()
