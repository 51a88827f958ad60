"""Processes of this machine, told apart from those of other machines, boots and containers."""

from __future__ import annotations

from pathlib import Path


def machine_id() -> str:
    """Name this boot of this machine, and the process ids that are seen here: containers have their own."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return f"{boot} {Path('/proc/self/ns/pid').readlink()}"


def process_started(pid: int) -> int:
    """Return when a process started, in clock ticks after boot; -1 where there is none or it is a zombie."""
    fields = _status(pid)
    return -1 if fields is None or fields[0] in "ZX" else int(fields[19])


def is_stopped(pid: int) -> bool:
    """Whether a process is stopped, or gone and therefore as quiet."""
    fields = _status(pid)
    return fields is None or fields[0] in "TtZX"


def _status(pid: int) -> list[str] | None:
    """Return the fields of `/proc/PID/stat` from the state on; None where there is no process."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The command name stands in parentheses and may hold spaces; the state follows it.
    return status.rpartition(")")[2].split()
