"""What identifies the machine an agent runs on, and binds the agent to its processors."""

from __future__ import annotations

import os
import platform
from typing import Any, Dict, List, Optional, Sequence

from hwnas.latency.backends.errors import AgentError
from hwnas.thread_counts import problem_of_threads


def pin(cores: Sequence[int], threads: int) -> List[int]:
    """Bind this process to processors and return their numbers.

    Args:
        cores: to bind to; empty for the last `threads` allowed ones (interrupts prefer the first).
        threads: that are to run on them.

    Raises:
        AgentError: if the machine has too few, or refuses.
    """
    problem = problem_of_threads(threads, least=1)
    if problem:
        raise AgentError(problem)
    allowed = sorted(os.sched_getaffinity(0))
    if not cores and threads > len(allowed):
        raise AgentError(
            f"{threads} threads need as many processors, but this process may use {len(allowed)}; "
            "ask for fewer threads."
        )
    chosen = sorted(cores) if cores else allowed[-threads:]
    try:
        os.sched_setaffinity(0, chosen)
    except OSError as error:
        raise AgentError(
            f"Processors {chosen} cannot be used ({error.strerror}); this machine allows {allowed}."
        ) from error
    return chosen


def fingerprint(cores: Sequence[int]) -> Dict[str, Any]:
    """Return what a latency on this machine depends on; None where it cannot be read.

    Nothing that changes by itself is in it, so that two of them can be compared for equality.
    """
    governors = [_read(f"/sys/devices/system/cpu/cpu{core}/cpufreq/scaling_governor") for core in cores]
    return {
        "cpu_model": _cpu_model(),
        "cpu_count": os.cpu_count(),
        "machine": platform.machine(),
        "pinned_cores": list(cores),
        "governor": sorted({governor for governor in governors if governor}) or None,
        "boost": _read("/sys/devices/system/cpu/cpufreq/boost"),
        "cpu_quota": _read("/sys/fs/cgroup/cpu.max"),
        "board": (_read("/proc/device-tree/model") or "").rstrip("\0") or None,
        "kernel": platform.release(),
        "os": _os_name(),
        "python": platform.python_version(),
    }


def _read(path: str) -> Optional[str]:
    try:
        with open(path) as stream:
            return stream.read().strip() or None
    except OSError:
        return None


def _cpu_model() -> Optional[str]:
    for line in (_read("/proc/cpuinfo") or "").splitlines():
        name, _, value = line.partition(":")
        if name.strip().lower() in ("model name", "hardware", "cpu part"):
            return value.strip()
    return platform.processor() or None


def _os_name() -> str:
    for line in (_read("/etc/os-release") or "").splitlines():
        name, _, value = line.partition("=")
        if name == "PRETTY_NAME":
            return value.strip('"')
    return platform.system()
