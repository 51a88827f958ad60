"""What runs on a node of a cluster: one worker process, and the files of its job.

A job names a file (`path`) or a directory (`directory`) of the driver's machine. Here it gets one in a
temporary directory; what is there goes along with the job, and what changes comes back.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hwnas.errors import HwnasError
from hwnas.files import write_bytes_atomically
from hwnas.scratch import ScratchDirectory
from hwnas.search.executors.base import ReplyKind, WorkerSetup
from hwnas.search.executors.local import LocalExecutor
from hwnas.search.machine import machine_id

Files = dict[str, bytes]
"""Content by name; names are those in a job's directory, or that of its one file."""

_POLL_S = 0.5
_START_S = 600.0
_CHECKPOINTS_EVERY_S = 10.0


class NodeWorker:
    """One worker process with the files of its job; every method returns soon, but `start`."""

    def __init__(self, setup: Mapping[str, Any]) -> None:
        """Start the process; it loads its task meanwhile."""
        self._scratch = ScratchDirectory("node")
        self._directory = Path(self._scratch.name)
        # Cores are the cluster's to share out, so that none is pinned here.
        self._executor = LocalExecutor(
            WorkerSetup(**setup), workers=1, logs=self._directory, are_pinned=False
        )
        self._executor.__enter__()
        self._job: dict[str, Any] = {}
        self._sent: dict[str, tuple[int, int]] = {}
        self._files_at = 0.0

    def place(self) -> dict[str, Any]:
        """Say where the process is."""
        return {"machine": machine_id(), "pid": self._executor.process_ids[0]}

    def start(self) -> dict[str, Any]:
        """Wait until the process has loaded its task, and say where it is, or why it has not."""
        deadline = time.monotonic() + _START_S
        try:
            while not self._executor.idle and time.monotonic() < deadline:
                self._executor.wait(_POLL_S)
        except HwnasError as error:
            return {"error": {"kind": type(error).__name__, "message": str(error)}}
        if not self._executor.idle:
            message = f"A worker must load its task within {_START_S:g} s, but did not."
            return {"error": {"kind": "StudyError", "message": message}}
        return self.place()

    def begin(self, job: Mapping[str, Any], files: Files) -> tuple[list[tuple[ReplyKind, Any]], Files]:
        """Hand a job to the process, with the files that it may go on from; then as `poll`."""
        work = self._directory / "work"
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
        own = {**job, _key(job): str(work / Path(job[_key(job)]).name)}
        write_files(own, files)
        self._job = own
        self._sent = _stamps(own)
        self._files_at = time.monotonic()
        self._executor.wait(0)  # notices an idle process that is gone
        if not self._executor.idle:
            self.start()
        self._executor.submit(self._executor.idle[0], own)
        return self.poll()

    def poll(self) -> tuple[list[tuple[ReplyKind, Any]], Files]:
        """Return what the process says within a moment, and the files that changed."""
        said = [(reply.kind, reply.value) for reply in self._executor.wait(_POLL_S)]
        is_over = any(kind != "progress" for kind, _ in said)
        if not is_over and time.monotonic() - self._files_at < _CHECKPOINTS_EVERY_S:
            return said, {}
        self._files_at = time.monotonic()
        return said, self._changed()

    def kill(self) -> None:
        """End the job; `poll` will say that the process died."""
        self._executor.kill(self._executor.workers[0])

    def stop(self) -> None:
        """Ask a training to save a checkpoint and end; `poll` will say that it was interrupted."""
        self._executor.stop(self._executor.workers[0])

    def close(self) -> None:
        """End the process and remove its files."""
        self._executor.__exit__()
        self._scratch.cleanup()

    def _changed(self) -> Files:
        stamps = _stamps(self._job)
        names = {name for name, stamp in stamps.items() if self._sent.get(name) != stamp}
        self._sent = stamps
        return {name: content for name, content in read_files(self._job).items() if name in names}


def read_files(job: Mapping[str, Any]) -> Files:
    """Return the files of a job that are there; hidden ones are being written and left out."""
    found = {}
    for path in _paths(job):
        try:
            found[str(path.relative_to(_base(job)))] = path.read_bytes()
        except FileNotFoundError:
            continue  # replaced or removed at this moment
    return found


def write_files(job: Mapping[str, Any], files: Files) -> None:
    """Put files of a job where it names them, each atomically."""
    for name, content in files.items():
        path = _base(job) / name
        if not path.resolve().is_relative_to(_base(job).resolve()):
            raise ValueError(f"{name!r} is outside of the job's directory.")
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes_atomically(path, content)


def _key(job: Mapping[str, Any]) -> str:
    return "path" if "path" in job else "directory"


def _base(job: Mapping[str, Any]) -> Path:
    return Path(job["path"]).parent if "path" in job else Path(job["directory"])


def _paths(job: Mapping[str, Any]) -> list[Path]:
    if "path" in job:
        return [Path(job["path"])]
    below = Path(job["directory"]).rglob("*")
    return [path for path in below if path.is_file() and not path.name.startswith(".")]


def _stamps(job: Mapping[str, Any]) -> dict[str, tuple[int, int]]:
    """Return size and time of change of each file of a job, by name."""
    found = {}
    for path in _paths(job):
        try:
            status = path.stat()
        except FileNotFoundError:
            continue
        found[str(path.relative_to(_base(job)))] = (status.st_size, status.st_mtime_ns)
    return found
