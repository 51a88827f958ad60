from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from hwnas.latency.transports.agent_archive import agent_archive
from hwnas.testing.onnx_models import write_conv_model


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "agent.pyz"
    path.write_bytes(agent_archive("tests.latency.faulty_backends").content)
    return path


class Guarded:
    """A watchdog and what is under it."""

    def __init__(self, archive: Path, silence_s: float = 60) -> None:
        self.model = archive.parent / "model.onnx"
        environment = {**os.environ, "HWNAS_MEASURING_LOCK": str(archive.parent / "lock")}
        environment.pop("PYTHONPATH", None)
        self.process = subprocess.Popen(
            [sys.executable, str(archive), "1", str(silence_s)],
            cwd=archive.parent,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
        )
        assert self.process.stdin is not None
        self.stdin = self.process.stdin

    def send(self, **request) -> None:
        self.stdin.write(json.dumps(request).encode() + b"\n\n")
        self.stdin.flush()

    def ask(self, **request) -> dict:
        self.send(**request)
        assert self.process.stdout is not None
        return json.loads(self.process.stdout.readline())

    def agent(self) -> psutil.Process:
        (agent,) = psutil.Process(self.process.pid).children()
        return agent

    def hang(self) -> psutil.Process:
        """Have the agent load a model into a backend that never returns."""
        backend = "tests.latency.faulty_backends:Hanging"
        assert "fingerprint" in self.ask(operation="set_up", backend=backend, threads=1, cores=[])
        spec = write_conv_model(self.model).to_json()
        assert self.ask(operation="load", model=str(self.model), io_spec=spec, seed=0) == {"request": None}
        self.send(operation="warm_up", min_s=0, max_s=1, tolerance=0.1)
        return self.agent()


@pytest.fixture
def guarded(archive: Path) -> Iterator[Guarded]:
    guarded = Guarded(archive)
    yield guarded
    guarded.process.kill()
    guarded.process.wait()
    for stream in (guarded.process.stdin, guarded.process.stdout, guarded.process.stderr):
        assert stream is not None
        stream.close()


def test_the_archive_answers(guarded: Guarded) -> None:
    assert guarded.ask(operation="lock", wait_s=0) == {"request": None}
    assert "'dance'" in guarded.ask(operation="dance")["error"]


def test_an_agent_in_a_hung_backend_ends_when_the_driver_closes(guarded: Guarded) -> None:
    agent = guarded.hang()
    guarded.stdin.close()
    assert guarded.process.wait(timeout=30) == 128 + signal.SIGKILL
    assert not agent.is_running()


def test_an_agent_in_a_hung_backend_ends_when_the_driver_is_silent(archive: Path) -> None:
    guarded = Guarded(archive, silence_s=5)
    is_silent = threading.Event()

    def show_life() -> None:
        while not is_silent.wait(0.2):
            guarded.stdin.write(b"\n")
            guarded.stdin.flush()

    thread = threading.Thread(target=show_life)
    thread.start()
    agent = guarded.hang()
    time.sleep(7)
    assert agent.is_running()
    is_silent.set()
    thread.join()
    assert guarded.process.wait(timeout=30) == 128 + signal.SIGKILL
    assert not agent.is_running()
    assert guarded.process.stderr is not None
    assert b"silent for 5 s" in guarded.process.stderr.read()


def test_an_agent_ends_with_its_watchdog(guarded: Guarded) -> None:
    agent = guarded.hang()
    guarded.process.kill()
    guarded.process.wait()
    agent.wait(timeout=10)
    assert not agent.is_running()


def test_a_killed_agent_is_told_by_the_exit_code(guarded: Guarded) -> None:
    guarded.ask(operation="lock", wait_s=0)
    guarded.agent().send_signal(signal.SIGTERM)
    assert guarded.process.wait(timeout=30) == 128 + signal.SIGTERM
