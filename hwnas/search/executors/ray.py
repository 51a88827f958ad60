"""Workers on many machines, through Ray: an existing cluster or one of this machine alone.

Each worker is an actor that keeps one worker process on its node, so that a network that kills its process
is told apart from a node that went away: the first counts as a failure of the candidate, the second is
repeated elsewhere. Nodes need the same version of hwnas and the data at the same path; everything else
travels: the files of a job go to the node, and what the job writes comes back, unfinished checkpoints
included, so that a repeated training goes on where it was.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from hwnas.errors import StudyError, TrainingInterruptedError
from hwnas.search.executors.base import (
    ExecutorContext,
    Reply,
    ReplyKind,
    Worker,
    WorkerSetup,
    error_from_reply,
    refuse_unknown_options,
    request_stop,
)
from hwnas.search.executors.local import stopped_groups
from hwnas.search.executors.node import Files, NodeWorker, read_files, write_files
from hwnas.search.executors.ray_options import LOCAL, RayOptions, check_reachable, imported_ray, no_cluster
from hwnas.search.machine import machine_id

_MAX_FAILED_STARTS = 3
_CLOSE_S = 5.0


@dataclass(eq=False, kw_only=True)
class RayWorker(Worker):
    """One actor.

    Attributes:
        actor: handle of it.
        polling: what it is asked at the moment: where it is, to load its task, what its job says.
        place: name of its machine and id of its process there; None before it has started.
        job: what it does.
        attempt: of that job, from 1.
    """

    actor: Any
    polling: Any
    place: tuple[str, int] | None = None
    job: dict[str, Any] | None = None
    attempt: int = 0


class RayExecutor:
    """Keeps one actor a worker, wherever the cluster has room.

    Workers for which there is no room yet start when a node comes.

    Args:
        setup: what every worker is made with.
        workers: how many; None means as many as fit into the cluster as it is.
        options: see `RayOptions`.
    """

    is_local = False

    def __init__(self, setup: WorkerSetup, *, workers: int | None, options: RayOptions) -> None:
        """Describe the workers; entering connects to the cluster and starts them.

        Raises:
            ConfigError: if Ray is not installed.
        """
        self._setup = setup
        self._options = options
        self._ray = imported_ray()
        self._is_ours = not self._ray.is_initialized()
        self._resources = {
            "num_cpus": setup.threads if options.cpus_per_trial is None else options.cpus_per_trial,
            "num_gpus": options.gpus_per_trial,
        }
        self._wanted = workers
        self.size = workers or 1
        self._workers: list[RayWorker] = []
        self._told: list[Reply] = []
        self._failed_starts = 0

    def __enter__(self) -> Self:
        """Start all workers; they load their task meanwhile.

        Raises:
            StudyError: if there is no cluster at the address.
        """
        if self._is_ours:
            self._connect()
        try:
            self.size = self._wanted or self._room()
            self._actor_class = self._ray.remote(NodeWorker).options(**self._resources, max_restarts=0)
            for slot in range(self.size):
                self._workers.append(self._start(slot))
        except BaseException:  # what was started already would be left behind: nobody calls `__exit__`
            self.__exit__()
            raise
        return self

    def __exit__(self, *_error: object) -> None:
        """End all workers, and the connection to the cluster if it was made here."""
        closing = [worker.actor.close.remote() for worker in self._workers if worker.is_ready]
        if closing:
            self._ray.wait(closing, num_returns=len(closing), timeout=_CLOSE_S)
        for worker in self._workers:
            self._end(worker)
        self._workers = []
        if self._is_ours:
            self._ray.shutdown()

    @property
    def idle(self) -> list[Worker]:
        """Workers that can take a job."""
        return [worker for worker in self._workers if worker.is_ready and not worker.is_busy]

    def submit(self, worker: Worker, job: Mapping[str, Any]) -> None:
        """Hand a job to an idle worker; if it is lost, another one is given the job."""
        own = self._workers[worker.slot]
        if own is worker:
            own.is_busy, own.job, own.attempt = True, dict(job), 1
            self._begin(own)

    def kill(self, worker: Worker) -> None:
        """End a job at once; `wait` will say that its worker died."""
        own = self._workers[worker.slot]
        if own is not worker or own.job is None:
            return
        if own.is_ready:
            own.actor.kill.remote()
        else:
            own.is_busy, own.job = False, None
            self._told.append(Reply(own, "died", "worker was ended while it waited for a node"))

    def stop(self, worker: Worker) -> None:
        """Ask a training to save a checkpoint and end; `wait` will say that it was interrupted.

        One that waits for a node ends at once: what it saved before is here already.
        """
        own = self._workers[worker.slot]
        if own is not worker or own.job is None or own.job["job"] != "train":
            return
        request_stop(own.job)  # goes along if its node is lost and the job is repeated
        if own.is_ready:
            own.actor.stop.remote()
            return
        own.is_busy, own.job = False, None
        message = "The training was stopped while it waited for a node; its last checkpoint is kept."
        self._told.append(
            Reply(own, "error", {"kind": TrainingInterruptedError.__name__, "message": message})
        )

    def wait(self, timeout_s: float) -> list[Reply]:
        """Return what workers say within `timeout_s`; lost ones are replaced and their jobs repeated.

        Raises:
            HwnasError: if a worker cannot load its task, with its reason.
            StudyError: if workers keep being lost while they start.
        """
        asked = {worker.polling: worker for worker in self._workers if worker.polling is not None}
        replies, self._told = self._told, []
        if not asked:
            time.sleep(timeout_s)
            return replies
        answered, _ = self._ray.wait(list(asked), num_returns=1, timeout=timeout_s)
        for reference in answered:
            worker = asked[reference]
            try:
                said = self._ray.get(reference)
            except self._ray.exceptions.RayError as error:
                replies += self._lost(worker, _in_short(error))
            else:
                replies += self._heard(worker, said)
        self._take_over()
        return replies

    def paused(self) -> contextlib.AbstractContextManager[None]:
        """Stop the worker processes that run on this machine; those elsewhere disturb no clock here."""
        here = machine_id()
        places = [worker.place for worker in self._workers if worker.place is not None]
        return stopped_groups([pid for machine, pid in places if machine == here])

    def _connect(self) -> None:
        check_reachable(self._options.address)
        try:
            self._ray.init(
                address=self._options.address,
                include_dashboard=False if self._options.address == LOCAL else None,
                runtime_env=dict(self._options.runtime_env) or None,
                logging_level="WARNING",
                log_to_driver=False,
            )
        except (ConnectionError, ValueError, RuntimeError, self._ray.exceptions.RayError) as error:
            raise no_cluster(self._options.address, error) from error

    def _room(self) -> int:
        """Return how many workers fit into the cluster at once."""
        total = self._ray.cluster_resources()
        rooms = [
            total.get(kind, 0) / wanted
            for kind, wanted in (("CPU", self._resources["num_cpus"]), ("GPU", self._resources["num_gpus"]))
            if wanted
        ]
        return max(1, int(min(rooms, default=1)))

    def _start(self, slot: int) -> RayWorker:
        actor = self._actor_class.remote(self._setup.to_json())
        return RayWorker(slot=slot, actor=actor, polling=actor.place.remote())

    def _begin(self, worker: RayWorker) -> None:
        """Send a job with the files that it may go on from, and ask for what it says."""
        if worker.job is None:
            raise ValueError("There is no job to begin.")
        worker.polling = worker.actor.begin.remote(worker.job, read_files(worker.job))

    def _heard(self, worker: RayWorker, said: Any) -> list[Reply]:
        if not worker.is_ready:
            return self._started(worker, said)
        messages: list[tuple[ReplyKind, Any]]
        files: Files
        messages, files = said
        if worker.job is None:
            return []
        write_files(worker.job, files)
        replies = [Reply(worker, kind, value) for kind, value in messages]
        ends = [reply for reply in replies if reply.kind != "progress"]
        if ends:
            worker.is_busy, worker.job, worker.polling = False, None, None
            if ends[-1].kind == "died":  # its process was replaced: where it is must be asked anew
                worker.is_ready, worker.place = False, None
                worker.polling = worker.actor.place.remote()
        else:
            worker.polling = worker.actor.poll.remote()
        return replies

    def _started(self, worker: RayWorker, said: Any) -> list[Reply]:
        if "error" in said:
            raise error_from_reply(said["error"])
        first = worker.place is None
        worker.place = (said["machine"], said["pid"])
        if first:
            worker.polling = worker.actor.start.remote()
            return []
        worker.is_ready, worker.polling = True, None
        self._failed_starts = 0
        if worker.job is not None:
            self._begin(worker)
        return []

    def _lost(self, worker: RayWorker, reason: str) -> list[Reply]:
        """Replace a worker that is gone; its job is repeated, unless that was done often enough."""
        if not worker.is_ready:
            self._failed_starts += 1
            if self._failed_starts >= _MAX_FAILED_STARTS * self.size:
                raise StudyError(
                    f"Workers must start, but {self._failed_starts} in a row did not: {reason}. "
                    "Is hwnas installed on every node?"
                )
        self._end(worker)
        new = self._start(worker.slot)
        if worker.job is None or worker.attempt > self._options.retries:
            self._workers[worker.slot] = new
            attempts = f" (attempt {worker.attempt} of {self._options.retries + 1})"
            return [Reply(worker, "died", f"worker was lost: {reason}{attempts}")] if worker.job else []
        # The driver knows the worker by its handle, which therefore stays.
        worker.actor, worker.polling, worker.place, worker.is_ready = new.actor, new.polling, None, False
        worker.attempt += 1
        return []

    def _take_over(self) -> None:
        """Give jobs that wait for a new actor to actors that are idle.

        Where a node went away there may be no room for a new actor, ever: those that are left hold it. The
        driver knows the two workers by their handles, which therefore stay and exchange their actors.
        """
        waiting = [worker for worker in self._workers if worker.job is not None and not worker.is_ready]
        idle = [worker for worker in self._workers if worker.is_ready and not worker.is_busy]
        for busy, spare in zip(waiting, idle, strict=False):
            busy.actor, spare.actor = spare.actor, busy.actor
            busy.place, spare.place = spare.place, busy.place
            busy.is_ready, spare.is_ready = True, False
            spare.polling = busy.polling
            self._begin(busy)

    def _end(self, worker: RayWorker) -> None:
        with contextlib.suppress(self._ray.exceptions.RayError):
            self._ray.kill(worker.actor, no_restart=True)


def make_ray_executor(context: ExecutorContext) -> RayExecutor:
    """Return an executor of workers in a Ray cluster; its settings are those of `RayOptions`.

    Raises:
        ConfigError: if a setting is wrong or Ray is not installed.
    """
    refuse_unknown_options("ray", context.options, tuple(RayOptions.__dataclass_fields__))
    options = RayOptions(**context.options)
    return RayExecutor(context.setup, workers=context.workers, options=options)


def _in_short(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0].rstrip(".") if lines else type(error).__name__
