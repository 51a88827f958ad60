"""Processes of others, which may end while they are looked at.

A process that ended is gone, or a zombie until its parent waits for it, and psutil raises for either
at almost any question. What asks here never raises for that: an ended process has no words and is not
alive.
"""

import time
from collections.abc import Iterable
from contextlib import suppress

import psutil


def is_alive(process: int | psutil.Process) -> bool:
    """Return whether a process runs, or is stopped; one that nobody has waited for yet is not alive."""
    try:
        process = psutil.Process(process) if isinstance(process, int) else process
        return process.is_running() and process.status() not in {psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD}
    except psutil.NoSuchProcess:
        return False


def have_ended(processes: Iterable[int | psutil.Process], within_s: float = 10.0) -> bool:
    """Return whether all of these processes end in time."""
    processes = list(processes)
    deadline = time.monotonic() + within_s
    while any(is_alive(process) for process in processes):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def descendants(pid: int, *words: str) -> list[psutil.Process]:
    """All that runs below a process; with words, those that have each of them in their command line."""
    try:
        found = psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []
    return [each for each in found if is_alive(each) and all(word in command(each) for word in words)]


def command(process: psutil.Process) -> list[str]:
    """The words that a process was started with; none once it has ended."""
    with suppress(psutil.NoSuchProcess):
        return process.cmdline()
    return []
