"""A pool of worker processes that are killed with the process that made it."""

from __future__ import annotations

import multiprocessing.context
import multiprocessing.popen_spawn_posix
import os
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any, cast

from hwnas.onnxruntime_loading import disable_telemetry
from hwnas.processes import Lifeline, attach, collect_garbage_seldom, new_lifeline, tie


class _TiedPopen(multiprocessing.popen_spawn_posix.Popen):
    """Hands a worker its lifeline, and ties it before it can read what it is to import."""

    _lifeline: Lifeline
    _fds: list[int]

    def _launch(self, process_obj: _TiedProcess) -> None:
        self._lifeline = process_obj.lifeline = new_lifeline()
        self._fds.append(self._lifeline.descriptor)
        try:
            super()._launch(process_obj)  # type: ignore[misc]
        finally:
            os.close(self._lifeline.descriptor)

    @property
    def pid(self) -> int:
        """Process number of the worker."""
        return self._pid

    @pid.setter
    def pid(self, number: int) -> None:
        # The worker waits for what to import until `_launch` goes on: from here on it cannot be left alone.
        self._pid = number
        tie(self._lifeline, number)


class _TiedProcess(multiprocessing.context.SpawnProcess):
    """A worker in a session of its own, so that Ctrl-C reaches its parent alone."""

    lifeline: Lifeline

    @staticmethod
    def _Popen(process_obj: Any) -> Any:  # noqa: N802 - the name in the standard library
        return _TiedPopen(process_obj)

    def _bootstrap(self, parent_sentinel: int | None = None) -> int:
        disable_telemetry()
        os.setsid()
        attach(self.lifeline)
        collect_garbage_seldom()
        return cast("int", super()._bootstrap(parent_sentinel))  # type: ignore[misc]


class _TiedContext(multiprocessing.context.SpawnContext):
    """Spawns, never forks: the caller may hold threads. Knows what it has started."""

    def __init__(self) -> None:
        super().__init__()
        self._started: list[_TiedProcess] = []

    def Process(self, *arguments: Any, **options: Any) -> _TiedProcess:  # type: ignore[override]  # noqa: N802
        process = _TiedProcess(*arguments, **options)
        self._started.append(process)
        return process

    def kill(self) -> None:
        """Kill all workers at once."""
        for process in self._started:
            if process.pid is not None:
                process.kill()


class _Outcome(Future[Any]):
    """What comes of a job, apart from its warnings; as far as the job itself is."""

    job: Future[Any]

    def running(self) -> bool:
        """Return whether the job is being done."""
        return not self.done() and self.job.running()

    def cancel(self) -> bool:
        """Cancel the job, if it was not begun."""
        return self.job.cancel() and super().cancel()


class _RelayingPool(ProcessPoolExecutor):
    """Warns in this process of what jobs warn of in the workers: the caller's filters decide on it."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Hand a job to a worker."""
        outcome = _Outcome()

        def pass_on(done: Future[tuple[Any, list[tuple[str, type[Warning]]]]]) -> None:
            if done.cancelled():
                outcome.cancel()
            if not outcome.set_running_or_notify_cancel():
                return
            error = done.exception()
            if error is not None:
                outcome.set_exception(error)
                return
            result, found = done.result()
            try:
                for text, category in found:
                    warnings.warn(text, category, stacklevel=2)
            except Warning as refused:  # the caller's filters make errors of warnings
                outcome.set_exception(refused)
            else:
                outcome.set_result(result)

        outcome.job = super().submit(_recorded, fn, args, kwargs)
        outcome.job.add_done_callback(pass_on)
        return outcome


def _recorded(
    function: Callable[..., Any], arguments: tuple[Any, ...], named: dict[str, Any]
) -> tuple[Any, list[tuple[str, type[Warning]]]]:
    """Return what a function returns, and what it warns of: text and category, each once."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = function(*arguments, **named)
    return result, list(dict.fromkeys((str(one.message), one.category) for one in caught))


@contextmanager
def worker_pool(
    workers: int, prepare: Callable[..., None] | None = None, arguments: tuple[Any, ...] = ()
) -> Iterator[ProcessPoolExecutor]:
    """Yield a pool of fresh processes; when the block ends with an error, they are killed at once.

    Args:
        workers: how many at most.
        prepare: called in each worker first.
        arguments: of `prepare`.
    """
    context = _TiedContext()
    with _RelayingPool(workers, mp_context=context, initializer=prepare, initargs=arguments) as pool:
        try:
            yield pool
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            context.kill()
            raise
