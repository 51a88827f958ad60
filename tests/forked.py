"""Worker processes and commands that are forked from one process that has loaded what they need.

A fresh interpreter takes four seconds of a core until it has exported its first network, most of them for
imports. Tests of what a search does with its workers, or of what commands leave behind, need none of that; those
of executors, of killing and of the command line itself start fresh ones.

The loaded process has one thread and computes nothing, so that its forks are like fresh interpreters. They are
children of the test process: whatever starts them can wait for them and kill them as usual. A command that was
forked has such a process of its own, from which its workers are forked.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import inspect
import json
import multiprocessing.util
import os
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from hwnas import processes

REPOSITORY = Path(__file__).parents[1]
_PR_SET_CHILD_SUBREAPER = 36
SPAWN = multiprocessing.util.spawnv_passfds
"""How `multiprocessing` starts its processes."""
_POOL_WORKER = "from multiprocessing.spawn import spawn_main; "
_ABOVE = 1000
"""Descriptors are moved from here down to the numbers that a child expects."""
_one_at_a_time = threading.RLock()
_of_command: list[tuple[int, socket.socket]] = []
"""In a command that was forked: the number of its own loaded process, and the connection to it."""
_CLIENT = """#!{python} -ISE
import json, os, socket, sys
with socket.socket(socket.AF_UNIX) as server:
    server.connect({address!r})
    order = json.dumps([{module!r}, sys.argv[1:], dict(os.environ), os.getcwd()]).encode()
    socket.send_fds(server, [len(order).to_bytes(4, "big")], [0, 1, 2])
    server.sendall(order)
    status = int(server.recv(16))
if status < 0:
    os.kill(os.getpid(), -status)
sys.exit(status)
"""


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


def spawn(path: str | bytes, arguments: Sequence[str], descriptors: Sequence[int]) -> int:
    """Do as `multiprocessing.util.spawnv_passfds` does, which starts the workers of pools."""
    code = arguments[arguments.index("-c") + 1]
    if not code.startswith(_POOL_WORKER):
        return SPAWN(path, arguments, descriptors)
    kept = [0, 1, 2, *map(int, descriptors)]
    order = {
        "code": code,
        "arguments": list(arguments[arguments.index("-c") + 2 :]),
        "environment": dict(os.environ),
        "directory": str(Path.cwd()),
        "descriptors": kept,
        "is_leader": False,
    }
    return _fork(json.dumps(order).encode(), kept)


def fork_workers(set_attribute: Callable[[Any, str, Any], None] = setattr) -> None:
    """Have this process fork the workers of its searches and pools from here on."""
    from hwnas.search.executors import local

    set_attribute(local, "start", start)
    set_attribute(multiprocessing.util, "spawnv_passfds", spawn)


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


@contextlib.contextmanager
def program(path: Path, module: str) -> Iterator[None]:
    """Have `path` be a program, for shells to call, that runs a module in a fork of the loaded process.

    Args:
        path: of the program.
        module: run as `python -m` does it.
    """
    with (
        tempfile.TemporaryDirectory(prefix="hwnas-forked-") as directory,
        socket.socket(socket.AF_UNIX) as server,
    ):
        address = str(Path(directory) / "socket")
        server.bind(address)
        server.listen()
        path.write_text(_CLIENT.format(python=sys.executable, address=address, module=module))
        path.chmod(0o755)
        thread = threading.Thread(target=_answer, args=(server,))
        thread.start()
        try:
            yield
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


def _answer(server: socket.socket) -> None:
    """Run what clients ask for, one after the other, until the server is shut down."""
    while True:
        try:
            client, _ = server.accept()
        except OSError:
            return
        with client, contextlib.ExitStack() as stack:
            length, streams, _, _ = socket.recv_fds(client, 4, 3)
            for stream in streams:
                stack.callback(os.close, stream)
            content = _received(client, int.from_bytes(length, "big"))
            module, arguments, environment, directory = json.loads(content)
            stdin, stdout, stderr = streams
            command = [sys.executable, "-m", module, *arguments]
            with ForkedProcess(
                command, env=environment, cwd=directory, stdin=stdin, stdout=stdout, stderr=stderr
            ) as process:
                status = process.wait()
            client.sendall(str(status).encode())


def _fork(order: bytes, descriptors: list[int]) -> int:
    """Have the loaded process fork, and return the number of its fork, which becomes a child of this one."""
    with _one_at_a_time:
        loaded = _of_command[0][1] if _of_command else _connection_to_loaded()
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


def _connection_to_loaded() -> socket.socket:
    process, loaded = _loaded()
    if processes.has_ended(process):  # a test may kill all that its process has started
        _loaded.cache_clear()
        _, loaded = _loaded()
    return loaded


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
    import hwnas.estimators.comparison
    import hwnas.latency.predict.exporting
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
        if "code" in order:
            sys.argv = ["-c", *order["arguments"]]
            exec(order["code"], {"__name__": "__main__"})
        else:
            _run_module(order["module"])
        status = 0
    except SystemExit as ending:
        status = ending.code if isinstance(ending.code, int) else int(ending.code is not None)
    except BaseException:  # noqa: BLE001 - what an interpreter prints before it ends
        sys.excepthook(*sys.exc_info())
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        for loaded, connection in _of_command:
            connection.close()
            os.waitpid(loaded, 0)
        os._exit(status)


def _run_module(command: Sequence[str]) -> None:
    sys.argv = list(command)
    if command[0] == "hwnas.processes":
        processes.main()
    else:
        _fork_for_workers()
        runpy.run_module(command[0], run_name="__main__", alter_sys=True)


def _fork_for_workers() -> None:
    """Leave a fork of this command as it is now, from which it forks its workers once it has threads."""
    ours, theirs = socket.socketpair()
    loaded = os.fork()
    if loaded == 0:
        ours.close()
        with Path(os.devnull).open("r+b") as nothing:
            for descriptor in range(3):
                os.dup2(nothing.fileno(), descriptor)
        # Ends when the command has: nobody else holds the other end.
        try:
            _serve(theirs)
        finally:
            os._exit(0)
    theirs.close()
    _of_command.append((loaded, ours))
    fork_workers()


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
        _load()
        _serve(_connection)
