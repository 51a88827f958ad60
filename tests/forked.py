"""Worker processes and commands that are forked from one process that has loaded what they need.

A fresh interpreter takes four seconds of a core until it has exported its first network, most of them for
imports. Tests of what a search does with its workers, or of what commands leave behind, need none of that; those
of executors, of killing and of the command line itself start fresh ones.

The loaded process has one thread and computes nothing, so that its forks are like fresh interpreters. They are
children of the test process: whatever starts them can wait for them and kill them as usual.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import inspect
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from hwnas import processes

REPOSITORY = Path(__file__).parents[1]
_PR_SET_CHILD_SUBREAPER = 36
_ABOVE = 1000
"""Descriptors are moved from here down to the numbers that a child expects."""


class ForkedProcess(subprocess.Popen[Any]):
    """A process whose arguments are those of an interpreter, and which is forked from the loaded one."""

    def _execute_child(self, *arguments: Any) -> None:
        signature = inspect.signature(subprocess.Popen._execute_child)  # type: ignore[attr-defined]
        given = signature.bind(self, *arguments).arguments
        streams = [given[name] for name in ("p2cread", "c2pwrite", "errwrite")]
        passed = {number: number for number in given["pass_fds"]}
        passed |= {number: stream for number, stream in enumerate(streams) if stream >= 0}
        passed = {0: 0, 1: 1, 2: 2} | passed
        command = list(given["args"])
        order = {
            "module": command[command.index("-m") + 1 :],
            "environment": dict(os.environ if given["env"] is None else given["env"]),
            "directory": str(given["cwd"] or Path.cwd()),
            "descriptors": list(passed),
            "is_leader": given["start_new_session"],
        }
        self.pid = _fork(json.dumps(order).encode(), list(passed.values()))
        self._child_created = True
        pipes = ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")
        self._close_pipe_fds(*(given[name] for name in pipes))  # type: ignore[attr-defined]


def start(
    command: Sequence[str], *, env: Mapping[str, str], pass_fds: Sequence[int] = (), **options: Any
) -> subprocess.Popen[bytes]:
    """Do as `hwnas.processes.start` does with a command of `module_command`."""
    lifeline = processes.new_lifeline()
    environment = {**env, processes.VARIABLE: ":".join(str(part) for part in lifeline)}
    kept = (*pass_fds, lifeline.descriptor)
    try:
        process = ForkedProcess(command, env=environment, pass_fds=kept, start_new_session=True, **options)
        processes.tie(lifeline, -process.pid)
    finally:
        os.close(lifeline.descriptor)
    return process


def run(
    arguments: Sequence[str], *, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the command line and return its status and what it printed."""
    command = [sys.executable, "-m", "hwnas", *arguments]
    with ForkedProcess(
        command, env=env, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        out, err = process.communicate()
    return subprocess.CompletedProcess(command, process.returncode, out, err)


def _fork(order: bytes, descriptors: list[int]) -> int:
    """Have the loaded process fork, and return the number of its fork, which becomes a child of this one."""
    process, loaded = _loaded()
    if processes.has_ended(process):  # a test may kill all that its process has started
        _loaded.cache_clear()
        _, loaded = _loaded()
    # A process whose parent has ended becomes a child of the next process above that asks for it.
    _adopt(True)
    try:
        socket.send_fds(loaded, [len(order).to_bytes(4, "big")], descriptors)
        loaded.sendall(order)
        answer = loaded.recv(16)
    finally:
        _adopt(False)
    if not answer:
        raise AssertionError("the loaded process has ended; see what it printed")
    return int(answer)


def _adopt(is_on: bool) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, int(is_on), 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")


@functools.cache
def _loaded() -> tuple[subprocess.Popen[bytes], socket.socket]:
    """Start the process that is forked, and return it with the connection to it; it ends with this process."""
    ours, theirs = socket.socketpair()
    with theirs:
        process = processes.start(
            processes.module_command("tests.forked", str(theirs.fileno())),
            env={**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"},
            pass_fds=(theirs.fileno(),),
            stdin=subprocess.DEVNULL,
            cwd=REPOSITORY,
        )
    return process, ours


# In the loaded process


def _serve(connection: socket.socket) -> None:
    _load()
    if len(os.listdir("/proc/self/task")) != 1:
        raise AssertionError("a process with threads cannot be forked safely")
    while True:
        length, descriptors, _, _ = socket.recv_fds(connection, 4, 64)
        if not length:
            return
        order = json.loads(_received(connection, int.from_bytes(length, "big")))
        reading, writing = os.pipe()
        between = os.fork()
        if between == 0:
            # Ends at once, so that its child goes to the test process.
            parent = os.getpid()
            child = os.fork()
            if child == 0:
                while os.getppid() == parent:
                    time.sleep(0.001)
                _become(order, descriptors)
            os.write(writing, str(child).encode())
            os._exit(0)
        os.waitpid(between, 0)
        connection.sendall(os.read(reading, 16))
        for descriptor in (reading, writing, *descriptors):
            os.close(descriptor)


def _received(connection: socket.socket, length: int) -> bytes:
    found = b""
    while len(found) < length:
        found += connection.recv(length - len(found))
    return found


def _load() -> None:
    """Load what workers load, the exporter's tables included, but not onnxruntime: it begins a thread."""
    import tqdm
    from torch import nn, optim

    import hwnas.cli.main
    import hwnas.search.driver
    import hwnas.search.worker  # noqa: F401
    from hwnas.io_spec import IoSpec, TensorSpec
    from hwnas.onnx_graphs import export

    tqdm.tqdm.monitor_interval = 0  # the exporter's progress would begin one, too
    network = nn.Conv2d(1, 1, 1)
    optim.AdamW(network.parameters())
    spec = IoSpec((TensorSpec("x", (1, 1, 4, 4)),), (TensorSpec("y", (1, 1, 4, 4)),))
    export._translated(network, spec, export.EXPORTER_OPSET, "convolution")


def _become(order: Mapping[str, Any], descriptors: Sequence[int]) -> NoReturn:
    """Be the process that would have been started; runs in the fork, in place of another program."""
    status = 1
    try:
        _take_over(order, descriptors)
        name, *arguments = order["module"]
        sys.argv = [name, *arguments]
        if name == "hwnas.processes":
            processes.main()
        else:
            runpy.run_module(name, run_name="__main__", alter_sys=True)
        status = 0
    except SystemExit as ending:
        status = ending.code if isinstance(ending.code, int) else int(ending.code is not None)
    except BaseException:  # noqa: BLE001 - what an interpreter prints before it ends
        sys.excepthook(*sys.exc_info())
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        os._exit(status)


def _take_over(order: Mapping[str, Any], descriptors: Sequence[int]) -> None:
    if order["is_leader"]:
        os.setsid()
    kept = [os.dup2(descriptor, _ABOVE + number) for number, descriptor in enumerate(descriptors)]
    os.closerange(3, _ABOVE)
    for number, descriptor in zip(order["descriptors"], kept, strict=True):
        os.dup2(descriptor, number)
        os.close(descriptor)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(order["directory"])
    os.environ.clear()
    os.environ.update(order["environment"])
    sys.path[:0] = [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    tempfile.tempdir = None
    warnings.simplefilter("ignore", RuntimeWarning)  # of runpy: the module has been loaded before
    sys.stdout = os.fdopen(1, "w")
    sys.stderr = os.fdopen(2, "w", buffering=1)


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[1])) as _connection:
        _serve(_connection)
