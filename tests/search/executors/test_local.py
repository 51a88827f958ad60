from __future__ import annotations

import errno
import os
import signal
import time
from pathlib import Path

import psutil
import pytest

from hwnas.errors import StudyError
from hwnas.search.executors import local
from hwnas.search.executors.local import LocalExecutor
from hwnas.testing.executor_suite import ExecutorSuite, setup_with, wait_until_idle

pytestmark = [pytest.mark.usefixtures("tiny_plugin"), pytest.mark.slow]


class TestLocal(ExecutorSuite):
    executor = "local"


def cpu_s(pid: int) -> float:
    return sum(psutil.Process(pid).cpu_times()[:2])


def test_workers_pause_are_pinned_and_are_replaced(tmp_path: Path) -> None:
    with LocalExecutor(setup_with(), workers=2, logs=tmp_path) as pool:
        with pool.paused():  # also while they start
            assert all(
                psutil.Process(worker.process.pid).status() == psutil.STATUS_STOPPED
                for worker in pool._workers
            )
            before = [cpu_s(worker.process.pid) for worker in pool._workers]
            time.sleep(0.2)
            assert [cpu_s(worker.process.pid) for worker in pool._workers] == before
        wait_until_idle(pool, 2)
        cores = sorted(os.sched_getaffinity(0))
        pinned = [os.sched_getaffinity(worker.process.pid) for worker in pool._workers]
        assert pinned == [{cores[0]}, {cores[1 % len(cores)]}]

        with pytest.raises(KeyError), pool.paused():
            raise KeyError
        victim = pool._workers[0]
        assert psutil.Process(victim.process.pid).status() != psutil.STATUS_STOPPED
        with pool.paused():
            os.kill(victim.process.pid, signal.SIGKILL)
        replies = pool.wait(5) or pool.wait(5)  # its pipe closes a moment before it is gone
        (reply,) = replies
        assert (reply.kind, reply.worker) == ("died", victim)
        assert "killed by signal 9" in reply.value
        wait_until_idle(pool, 2)
        pids = [worker.process.pid for worker in pool._workers]
    assert not any(psutil.pid_exists(pid) for pid in pids)


def test_workers_that_never_start_are_given_up(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("PYTHONHOME", str(tmp_path))
    pool = LocalExecutor(setup_with(), workers=1, logs=tmp_path)
    with pytest.raises(StudyError, match="three in a row did not: worker ended with status 1"), pool:
        wait_until_idle(pool, 1)


def descriptors() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize("fails", ["pidfd_open", "second pipe"])
def test_a_start_that_fails_leaves_nothing_behind(tmp_path: Path, monkeypatch, fails: str) -> None:
    started: list[int] = []
    calls = {"pidfd_open": 0, "pipe": 0}
    real_open, real_pipe = os.pidfd_open, os.pipe

    def pidfd_open(pid: int) -> int:
        started.append(pid)
        calls["pidfd_open"] += 1
        if fails == "pidfd_open" and calls["pidfd_open"] == 2:
            raise OSError(errno.EMFILE, "Too many open files")
        return real_open(pid)

    def pipe() -> tuple[int, int]:
        calls["pipe"] += 1
        if fails == "second pipe" and calls["pipe"] == 4:
            raise OSError(errno.EMFILE, "Too many open files")
        return real_pipe()

    pool = LocalExecutor(setup_with(), workers=2, logs=tmp_path)
    before = descriptors()
    with monkeypatch.context() as patched:
        patched.setattr(local.os, "pidfd_open", pidfd_open)
        patched.setattr(local.os, "pipe", pipe)
        with pytest.raises(OSError, match="Too many open files"):
            pool.__enter__()
    assert started
    assert not any(psutil.pid_exists(pid) for pid in started)
    assert descriptors() < before, "but for the selector nothing is open that was not"


def wait_for_ever(pool: LocalExecutor) -> None:
    while True:
        pool.wait(5)


def test_a_worker_that_cannot_be_replaced_is_closed_once(tmp_path: Path, monkeypatch) -> None:
    with LocalExecutor(setup_with(), workers=1, logs=tmp_path) as pool:
        wait_until_idle(pool, 1)
        pool.kill(pool.workers[0])
        with monkeypatch.context() as patched:
            patched.setattr(pool, "_process", lambda *_: (_ for _ in ()).throw(OSError("no process")))
            with pytest.raises(OSError, match="no process"):
                wait_for_ever(pool)
        assert pool.workers == ()
