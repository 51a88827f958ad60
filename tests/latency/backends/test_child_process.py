from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from hwnas.latency.backends import child_process, heartbeat
from hwnas.latency.backends.errors import AgentError
from tests.process_trees import have_ended

BUILDS = "tests.latency.backends.builds"


def test_result_comes_back_from_another_process() -> None:
    found = child_process.run_in_child(f"{BUILDS}:good", {"number": 21})
    assert found["doubled"] == 42
    assert found["pid"] != os.getpid()


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("refusing", r"^the model of 3 is refused$"),
        ("buggy", r"(?s)exit code 1\. It said last: .*ZeroDivisionError: the builder has a bug"),
        ("killed", r"was killed \(SIGKILL\): memory may have run out; \d+ MB are .* last: allocating 40 GB"),
        ("crashing", r"crashed \(SIGABRT\)"),
        ("silent_end", r"ended without a result"),
    ],
)
def test_the_end_of_a_child_is_said(name: str, reason: str) -> None:
    with pytest.raises(AgentError, match=reason):
        child_process.run_in_child(f"{BUILDS}:{name}", {"number": 3})


def test_out_of_memory_kills_are_told_from_others(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = iter([4, 5])
    monkeypatch.setattr(child_process, "_out_of_memory_kills", lambda: next(counts))
    with pytest.raises(AgentError, match="the kernel killed for lack of memory meanwhile"):
        child_process.run_in_child(f"{BUILDS}:killed", {})


def test_a_hung_build_ends_with_all_it_started(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    with pytest.raises(AgentError, match=r"did not end within 5 s and was killed.*HWNAS_BUILD_LIMIT_S"):
        child_process.run_in_child(f"{BUILDS}:hanging", {"pids": str(pids)}, timeout_s=5)
    for pid in pids.read_text().split():
        assert have_ended([int(pid)])


def test_a_build_ends_with_its_agent(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    code = (
        "from hwnas.latency.backends.child_process import run_in_child; "
        f"run_in_child('{BUILDS}:hanging', {{'pids': {str(pids)!r}}})"
    )
    agent = subprocess.Popen([sys.executable, "-c", code])
    deadline = time.monotonic() + 60
    while not (pids.is_file() and pids.read_text()) and time.monotonic() < deadline:
        time.sleep(0.05)
    building, grandchild = (int(pid) for pid in pids.read_text().split())
    agent.kill()
    agent.wait()
    try:
        assert have_ended([building])
    finally:
        psutil.Process(grandchild).kill()


def test_long_builds_say_that_they_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[tuple[str, bool]] = []
    heartbeat.listen(lambda what, is_waiting: said.append((what, is_waiting)))
    monkeypatch.setattr(child_process, "_SAY_EVERY_S", 0.1)
    child_process.run_program(["sleep", "0.6"], 60, "sleeping")
    assert said
    assert all(what.startswith("sleeping takes") and not is_waiting for what, is_waiting in said)


def test_programs_that_are_not_there_or_fail() -> None:
    with pytest.raises(AgentError, match="no program 'no-such-program'"):
        child_process.run_program(["no-such-program"], 10, "it")
    with pytest.raises(AgentError, match=r"^it ended with exit code 3\. It said last: why$"):
        child_process.run_program(["sh", "-c", "echo why; exit 3"], 10, "it")
    assert child_process.run_program(["echo", "a b"], 10, "it") == "a b"


def test_the_limit_of_a_build_can_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HWNAS_BUILD_LIMIT_S", "7.5")
    assert child_process.limit_s() == 7.5
    monkeypatch.setenv("HWNAS_BUILD_LIMIT_S", "soon")
    with pytest.raises(AgentError, match="'soon'"):
        child_process.limit_s()
