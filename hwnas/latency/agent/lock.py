"""Lets one measurement run at a time on a machine, whoever started it."""

from __future__ import annotations

import errno
import fcntl
import getpass
import json
import os
import time

from hwnas.latency.backends import heartbeat
from hwnas.latency.backends.errors import AgentError

# Not the user's temporary directory: everyone who measures on this machine must meet at the same file.
DEFAULT_PATH = "/tmp/hwnas-measuring.lock"  # noqa: S108
PATH_VARIABLE = "HWNAS_MEASURING_LOCK"
_POLL_S = 0.05
_SAY_AFTER_S = 1.0
_SAY_EVERY_S = 30.0


class MeasuringLock:
    """A lock that the kernel gives back when its holder ends, however it ends."""

    def __init__(self, path: str = "") -> None:
        self._path = path or os.environ.get(PATH_VARIABLE, DEFAULT_PATH)
        self._descriptor = -1

    def acquire(self, wait_s: float) -> None:
        """Take the lock, waiting up to `wait_s` seconds.

        Raises:
            AgentError: if it stays taken, naming the holder, or its file cannot be used.
        """
        descriptor = self._open()
        start = time.monotonic()
        deadline = start + wait_s
        say_at = start + _SAY_AFTER_S
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if self._is_there(descriptor):
                    break
                # The file was removed meanwhile: others meet at another one, or will.
                os.close(descriptor)
                descriptor = self._open()
                continue
            except OSError as error:
                if error.errno not in (errno.EAGAIN, errno.EACCES):
                    os.close(descriptor)
                    raise self._unusable(error) from error
            now = time.monotonic()
            if now >= deadline:
                holder = _holder(descriptor)
                os.close(descriptor)
                raise AgentError(
                    f"Another measurement holds {self._path!r} longer than {wait_s:g} s: {holder}. "
                    "Wait for it, or end it."
                )
            if now >= say_at:
                say_at = now + _SAY_EVERY_S
                heartbeat.say(
                    f"Another measurement holds the target: {_holder(descriptor)}. Waited "
                    f"{now - start:.0f} s of at most {wait_s:g} s.",
                    is_waiting=True,
                )
            time.sleep(_POLL_S)
        self._descriptor = descriptor
        self._name_holder()

    def check(self) -> None:
        """Look whether the lock, if it was taken, still keeps others away.

        Raises:
            AgentError: if its file was removed, or another one put in its place: others lock that one.
        """
        if self._descriptor >= 0 and not self._is_there(self._descriptor):
            raise AgentError(
                f"The measuring lock {self._path!r} was removed while it was held, so another measurement "
                "may have run beside this one. Measure again, and leave the file where it is."
            )

    def _is_there(self, descriptor: int) -> bool:
        """Return whether the file that is open is the one that has the name now."""
        try:
            return os.path.samestat(os.fstat(descriptor), os.stat(self._path, follow_symlinks=False))
        except OSError:
            return False

    def release(self) -> None:
        """Give the lock back; harmless without it."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _open(self) -> int:
        flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            try:
                # Without O_CREAT first: kernels refuse it for other users' files in shared directories.
                return os.open(self._path, flags)
            except FileNotFoundError:
                descriptor = os.open(self._path, flags | os.O_CREAT, 0o666)
                os.fchmod(descriptor, 0o666)
                return descriptor
        except OSError as error:
            raise self._unusable(error) from error

    def _name_holder(self) -> None:
        """Write who holds the lock, for those who wait; the lock holds without it too."""
        holder = {
            "pid": os.getpid(),
            "driver_pid": os.getppid(),
            "user": _user(),
            "since": time.strftime("%FT%T%z"),
        }
        try:
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, json.dumps(holder).encode(), 0)
        except OSError as error:
            self.release()
            raise self._unusable(error) from error

    def _unusable(self, error: OSError) -> AgentError:
        return AgentError(
            f"The measuring lock {self._path!r} cannot be used: {error.strerror}. "
            f"Remove the file, free disk space, or name another file in {PATH_VARIABLE}."
        )


def _holder(descriptor: int) -> str:
    """Return who wrote into the file that it holds the lock; anybody may write anything there."""
    text = os.pread(descriptor, 1000, 0).decode(errors="replace").strip()
    try:
        holder = json.loads(text)
        pid, driver_pid, user, since = (holder[key] for key in ("pid", "driver_pid", "user", "since"))
    except (ValueError, TypeError, KeyError, RecursionError):
        return f"an unknown process that left {text!r}" if text else "an unknown process"
    return f"process {pid!r} of {user!r}, started by process {driver_pid!r}, since {since!r}"


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())
