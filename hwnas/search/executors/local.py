"""A small pool of persistent worker processes that can be paused while a latency is clocked.

Each worker is pinned to its own cores, dies with the driver even when that is killed, and
talks JSON lines over two pipes. Linux only: it rests on process descriptors and affinity.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Self

from hwnas.errors import StudyError
from hwnas.processes import kill_group, module_command, start
from hwnas.scratch import ScratchDirectory
from hwnas.search.executors.base import (
    ExecutorContext,
    Reply,
    Worker,
    WorkerSetup,
    error_from_reply,
    refuse_unknown_options,
    request_stop,
)
from hwnas.search.machine import is_stopped
from hwnas.thread_counts import checked_threads

_STOP_DEADLINE_S = 30.0


@dataclass(eq=False, kw_only=True)
class LocalWorker(Worker):
    """One worker process; its slot says which cores and which log it has.

    Attributes:
        process: the process; leader of a session of its own.
        commands: pipe to it.
        replies: pipe from it.
        sentinel: descriptor of the process, readable when it has ended.
        log: what it prints.
        unread: the beginning of a reply.
        job: what it does, or did last.
    """

    process: subprocess.Popen[bytes]
    commands: IO[bytes]
    replies: IO[bytes]
    sentinel: int
    log: Path
    unread: bytes = field(default=b"", repr=False)
    job: Mapping[str, Any] | None = field(default=None, repr=False)

    def death(self) -> str:
        """Say how a process that has ended did so."""
        status = self.process.wait()
        if status < 0:
            hint = "; if nobody did, memory may have run out" if -status == signal.SIGKILL else ""
            return f"worker was killed by signal {-status} ({signal.Signals(-status).name}{hint})"
        lines = self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        last = f": {lines[-1]}" if lines else ""
        return f"worker ended with status {status}{last} (see {self.log})"


class LocalExecutor:
    """Worker processes on this machine.

    A worker that dies is replaced and its job not repeated: what killed it was most likely the network.

    Args:
        setup: what every worker is made with.
        workers: how many; None means one for every `setup.threads` usable cores.
        logs: directory for what they print.
        are_pinned: whether each is kept on cores of its own.
    """

    is_local = True

    def __init__(
        self, setup: WorkerSetup, *, workers: int | None, logs: Path, are_pinned: bool = True
    ) -> None:
        """Describe the workers; entering starts the processes.

        Raises:
            ConfigError: if they are to have more threads than this machine can use.
        """
        checked_threads(setup.threads, least=1)
        self._setup = setup
        self._cores = sorted(os.sched_getaffinity(0))
        self.size = workers or max(1, len(self._cores) // setup.threads)
        self._logs = logs
        self._are_pinned = are_pinned
        self._workers: list[LocalWorker] = []
        self._selector = selectors.DefaultSelector()
        self._failed_starts = 0

    def __enter__(self) -> Self:
        """Start all workers; they load their task meanwhile."""
        self._scratch = ScratchDirectory("workers")
        try:
            for slot in range(self.size):
                self._workers.append(self._start(slot))
        except BaseException:  # what was started already would be left behind: nobody calls `__exit__`
            self.__exit__()
            raise
        return self

    def __exit__(self, *_error: object) -> None:
        """Kill all workers; whoever wants their results collects them before."""
        for worker in self._workers:
            self._end(worker)
        self._workers = []
        self._selector.close()
        self._scratch.cleanup()

    @property
    def idle(self) -> list[Worker]:
        """Workers that can take a job."""
        return [worker for worker in self._workers if worker.is_ready and not worker.is_busy]

    @property
    def workers(self) -> Sequence[Worker]:
        """All workers, by slot."""
        return tuple(self._workers)

    @property
    def process_ids(self) -> list[int]:
        """Process of each worker, by slot."""
        return [worker.process.pid for worker in self._workers]

    def submit(self, worker: Worker, job: Mapping[str, Any]) -> None:
        """Hand a job to an idle worker; if it has just died, `wait` will say so."""
        worker.is_busy = True
        if (own := self._workers[worker.slot]) is worker:
            own.job = job
            self._send(own, job)

    def kill(self, worker: Worker) -> None:
        """End a worker and its job; `wait` will say that it died."""
        if (own := self._workers[worker.slot]) is worker:
            _signal_group(own.process.pid, signal.SIGKILL)

    def stop(self, worker: Worker) -> None:
        """Ask a training to save a checkpoint and end; `wait` will say that it was interrupted."""
        own = self._workers[worker.slot]
        if own is worker and own.is_busy and own.job is not None:
            request_stop(own.job)

    def wait(self, timeout_s: float) -> list[Reply]:
        """Return what workers say within `timeout_s`; those that died are replaced.

        Raises:
            HwnasError: if a worker cannot load its task, with its reason.
            StudyError: if workers keep dying while they start.
        """
        replies: list[Reply] = []
        ready = {key.data[0].slot: key.data[0] for key, _ in self._selector.select(timeout_s)}
        for worker in ready.values():
            replies += self._read(worker)
            if worker.process.poll() is not None:
                replies += self._read(worker)
                replies.append(Reply(worker, "died", worker.death()))
                self._replace(worker)
        return [reply for reply in replies if not self._is_start(reply)]

    def paused(self) -> contextlib.AbstractContextManager[None]:
        """Stop every worker process, and whatever it started, for the duration of the block."""
        return stopped_groups(self.process_ids)

    @staticmethod
    def _send(worker: LocalWorker, line: Mapping[str, Any]) -> None:
        with contextlib.suppress(BrokenPipeError):
            worker.commands.write(json.dumps(line).encode("ascii") + b"\n")
            worker.commands.flush()

    def _is_start(self, reply: Reply) -> bool:
        if reply.kind == "died" and not reply.worker.is_ready:
            self._failed_starts += 1
            if self._failed_starts >= 3:
                raise StudyError(f"Workers must start, but three in a row did not: {reply.value}.")
            return True
        if reply.kind == "error" and not reply.worker.is_ready:
            raise error_from_reply(reply.value)
        if reply.kind == "ready":
            reply.worker.is_ready = True
            self._failed_starts = 0
            return True
        return False

    def _read(self, worker: LocalWorker) -> list[Reply]:
        replies = []
        with contextlib.suppress(BlockingIOError):
            while piece := os.read(worker.replies.fileno(), 1 << 16):
                worker.unread += piece
            # The pipe closes a moment before the process is gone; only its end is still of interest.
            if worker.replies in self._selector.get_map():
                self._selector.unregister(worker.replies)
        *lines, worker.unread = worker.unread.split(b"\n")
        for line in lines:
            ((kind, value),) = json.loads(line).items()
            if kind in {"result", "error"} and worker.is_ready:
                worker.is_busy = False
            replies.append(Reply(worker, kind, value))
        return replies

    def _start(self, slot: int) -> LocalWorker:
        threads = self._setup.threads
        cores = self._cores
        if self._are_pinned:
            cores = [cores[(slot * threads + thread) % len(cores)] for thread in range(threads)]
        log = self._logs / f"{slot}.log"
        with contextlib.ExitStack() as undo:
            with contextlib.ExitStack() as of_worker:  # the ends that the worker has; closed here in any case
                command_read, command_write = os.pipe()
                of_worker.callback(os.close, command_read)
                commands = undo.enter_context(os.fdopen(command_write, "wb"))
                reply_read, reply_write = os.pipe()
                of_worker.callback(os.close, reply_write)
                replies = undo.enter_context(os.fdopen(reply_read, "rb", buffering=0))
                os.set_blocking(reply_read, False)
                process = self._process(command_read, reply_write, log)
                undo.callback(kill_group, process)
            sentinel = os.pidfd_open(process.pid)
            worker = LocalWorker(
                slot=slot,
                process=process,
                commands=commands,
                replies=replies,
                sentinel=sentinel,
                log=log,
            )
            undo.pop_all()
            undo.callback(self._end, worker)
            self._selector.register(worker.replies, selectors.EVENT_READ, (worker,))
            self._selector.register(worker.sentinel, selectors.EVENT_READ, (worker,))
            self._send(worker, {**self._setup.to_json(), "cores": cores})
            undo.pop_all()
        return worker

    def _process(self, commands: int, replies: int, log: Path) -> subprocess.Popen[bytes]:
        """Start the process of a worker, which has these two descriptors."""
        python, *rest = module_command("hwnas.search.worker", str(commands), str(replies))
        threads = str(self._setup.threads)
        with log.open("ab") as output:
            return start(
                [python, "-P", *rest],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=(commands, replies),
                env={
                    **os.environ,
                    "OMP_NUM_THREADS": threads,
                    "MKL_NUM_THREADS": threads,
                    # What a killed worker leaves there goes with the executor's own directory.
                    "TMPDIR": self._scratch.name,
                },
            )

    def _end(self, worker: LocalWorker) -> None:
        kill_group(worker.process)
        for source in (worker.replies, worker.sentinel):
            if source in self._selector.get_map():
                self._selector.unregister(source)
        worker.replies.close()
        os.close(worker.sentinel)
        with contextlib.suppress(BrokenPipeError):
            worker.commands.close()

    def _replace(self, worker: LocalWorker) -> None:
        place = self._workers.index(worker)
        self._end(worker)
        try:
            self._workers[place] = self._start(worker.slot)
        except BaseException:
            del self._workers[
                place
            ]  # its descriptors are closed: `__exit__` must not close others of that number
            raise


def make_local_executor(context: ExecutorContext) -> LocalExecutor:
    """Return an executor of worker processes on this machine; it has no settings.

    Raises:
        ConfigError: if there are settings.
    """
    refuse_unknown_options("local", context.options, ())
    return LocalExecutor(context.setup, workers=context.workers, logs=context.logs)


@contextlib.contextmanager
def stopped_groups(leaders: Sequence[int]) -> Iterator[None]:
    """Stop process groups of this machine for the duration of a block.

    Raises:
        StudyError: if one cannot be stopped.
    """
    try:
        for leader in leaders:
            _signal_group(leader, signal.SIGSTOP)
        deadline = time.monotonic() + _STOP_DEADLINE_S
        while not all(is_stopped(leader) for leader in leaders):
            if time.monotonic() > deadline:
                raise StudyError("The workers cannot be paused for a measurement; is a debugger attached?")
            time.sleep(0.001)
        yield
    finally:
        for leader in leaders:
            _signal_group(leader, signal.SIGCONT)


def _signal_group(leader: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(leader, number)


def usable_cores() -> Sequence[int]:
    """Return the cores that this process may run on."""
    return sorted(os.sched_getaffinity(0))
