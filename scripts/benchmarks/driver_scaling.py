#!/usr/bin/env python3
"""How many workers one driver keeps busy: recorded evaluation times replayed, nothing trained.

    .venv/bin/python scripts/benchmarks/driver_scaling.py --workers 1 2 4 8 16 32 64 128 256

The driver is the real one: strategy, study, records, front and log are written as in a search. Its workers
and its target are replayed: a job takes as long as one that was recorded (with `--run`, in that run), on a
clock that skips the waiting. Reported for each number of workers, with the target's clock and without:

- own: share of the time in which the driver works itself, by its processor time; near 1 it is the limit;
- clock: share in which the one target is measured; near 1 the target is the limit;
- busy: share of the workers' time in which they have a job.

With `--told`, what a trial costs the driver, from asking to telling, is stated by the number of trials told
before: time on the wall, with everything that is written and synchronised to the disk, and processor time.

Prints Markdown, with `--json` one JSON object.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import random
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Self

import optuna

from hwnas.architecture import Architecture
from hwnas.config import SearchSection
from hwnas.io_spec import IoSpec, NetworkContract, TensorSpec, dense_logits
from hwnas.latency.measurement import LatencyMeasurement
from hwnas.objectives import Objectives
from hwnas.progress import Listener
from hwnas.search.executors.base import Reply, Worker
from hwnas.search.fidelities import Fidelities, Rung
from hwnas.search.interruption import StopRequest
from hwnas.search.latency_filter import LatencyFilter
from hwnas.search.loop import CandidateLoop
from hwnas.search.progress import ProposalCounts, SearchStatus
from hwnas.search.recorder import TrialRecorder
from hwnas.search.run_directory import RunDirectory
from hwnas.search.run_log import RunLog
from hwnas.search.storage.place import JournalPlace
from hwnas.search.strategies import Limits, StrategyContext, make_sampler
from hwnas.search.study import SearchStudy
from hwnas.search_spaces.base import make_search_space
from hwnas.tasks.base import Quality

RECORDED = (
    (5.1, 5.4, 29.3),
    (1.8, 5.6, 18.3),
    (2.3, 5.4, 22.0),
    (2.2, 5.4, 50.9),
    (2.0, 5.3, 14.6),
    (2.7, 5.1, 36.4),
    (3.2, 2.9, 36.2),
    (2.8, 5.0, 55.9),
    (2.5, 5.8, 20.7),
    (2.7, 3.7, 62.3),
    (2.3, 4.9, 28.4),
    (3.3, 2.1, 50.4),
    (4.9, 4.0, 39.4),
    (10.9, 6.6, 103.9),
    (3.4, 2.1, 31.6),
    (3.3, 1.7, 33.7),
    (5.0, 2.0, 35.6),
    (3.2, 3.2, 64.7),
    (3.7, 2.8, 73.1),
    (6.3, 5.7, 95.4),
    (2.7, 5.4, 43.7),
    (3.1, 4.3, 128.1),
    (2.7, 5.3, 55.0),
    (4.3, 2.3, 79.8),
)
"""Seconds of export, of the target's clock and of training, from two searches on real scans on two cores."""


WINDOW = 200
"""So many trials in a row make one figure of what a trial costs."""


class SkippingClock:
    """Processor time, which other work on the machine does not stretch, plus what was skipped."""

    def __init__(self) -> None:
        self._started = time.process_time()
        self.idle_s = self.clocked_s = 0.0

    @property
    def own_s(self) -> float:
        """Time in which the driver worked."""
        return time.process_time() - self._started

    @property
    def now_s(self) -> float:
        """Time since the beginning, as it would have been."""
        return self.own_s + self.idle_s + self.clocked_s


class ReplayingExecutor:
    """Workers whose jobs take as long as recorded ones, and end without a result of their own."""

    def __init__(self, clock: SkippingClock, size: int, rows: Sequence[tuple[float, float, float]]) -> None:
        self.size = size
        self.busy_s = 0.0
        self._clock = clock
        self._rows = itertools.cycle(rows)
        self._rng = random.Random(0)  # noqa: S311
        self._workers = [Worker(slot, is_ready=True) for slot in range(size)]
        self._ends: dict[Worker, tuple[float, dict[str, Any]]] = {}

    def __enter__(self) -> Self:
        """Start nothing."""
        return self

    def __exit__(self, *_error: object) -> None:
        """Forget what runs."""
        self._ends = {}

    @property
    def idle(self) -> list[Worker]:
        """Workers without a job."""
        return [worker for worker in self._workers if not worker.is_busy]

    def submit(self, worker: Worker, job: Mapping[str, Any]) -> None:
        """Take as long as the next recorded job."""
        export_s, _, train_s = next(self._rows)
        seconds = export_s if job["job"] == "export" else train_s
        value = {"parameters": 1, "export_s": export_s} if job["job"] == "export" else self._trained(train_s)
        worker.is_busy = True
        self.busy_s += seconds
        self._ends[worker] = (self._clock.now_s + seconds, value)

    def kill(self, worker: Worker) -> None:
        """Refuse: no replayed job is overdue."""
        raise RuntimeError(f"Nothing is killed in a replay, not even {worker}.")

    def wait(self, timeout_s: float) -> list[Reply]:
        """Skip the time to the next end of a job."""
        first = min((end for end, _ in self._ends.values()), default=self._clock.now_s + timeout_s)
        self._clock.idle_s += max(0.0, first - self._clock.now_s)
        over = [worker for worker, (end, _) in self._ends.items() if end <= self._clock.now_s]
        for worker in over:
            worker.is_busy = False
        return [Reply(worker, "result", self._ends.pop(worker)[1]) for worker in over]

    def stop(self, worker: Worker) -> None:
        """Nothing trains here."""

    def paused(self) -> AbstractContextManager[None]:
        """Stop nothing."""
        return contextlib.nullcontext()

    def _trained(self, train_s: float) -> dict[str, Any]:
        value = self._rng.uniform(0.2, 0.6)
        quality = Quality("mIoU", value, {"all": value}, 5, 5, {"all": 5})
        return {"quality": quality.to_json(), "cost_s": train_s, "estimator": "replayed"}


class ReplayingMeter:
    """A target whose clock takes as long as a recorded one."""

    target = "replayed"

    def __init__(self, clock: SkippingClock, clock_s: Iterator[float]) -> None:
        self._clock = clock
        self._clock_s = clock_s
        self._rng = random.Random(1)  # noqa: S311

    def fingerprint(self) -> Mapping[str, Any]:
        """Return a made-up fingerprint."""
        return {"replayed": True}

    def measure(
        self, model: Path, io_spec: IoSpec, *, give_up_over_ms: float | None = None
    ) -> LatencyMeasurement:
        """Take as long as the next recorded measurement."""
        self._clock.clocked_s += next(self._clock_s)
        latency_ms = self._rng.uniform(5, 50)
        return LatencyMeasurement(
            latency_ms=latency_ms,
            interval_ms=(latency_ms * 0.99, latency_ms * 1.01),
            confidence=0.95,
            samples_ms=((latency_ms,) * 100, (latency_ms,) * 100),
            percentiles_ms={"p90": latency_ms, "p95": latency_ms, "p99": None},
            is_stable=True,
            remark="",
            warmup_s=(0.1, 0.1),
            model_sha256="0" * 64,
            target=self.target,
            fingerprint=self.fingerprint(),
            protocol={},
        )

    def close(self) -> None:
        """Nothing is open."""


class ReplayedTask:
    """A task that only says what its networks take and give."""

    name = "replayed"

    def io_spec(self, architecture: Architecture) -> IoSpec:
        """Return one image in, one out."""
        shape = architecture.input_shape
        outputs = architecture.io_spec().outputs[0].shape
        return IoSpec((TensorSpec("image", (1, *shape)),), (TensorSpec("logits", outputs),))


def replay(
    directory: Path,
    workers: int,
    trials: int,
    strategy: str,
    rows: Sequence[tuple[float, float, float]],
    *,
    clocked: bool,
    listener: Listener[SearchStatus] = lambda _status: None,
) -> dict[str, float]:
    """Drive one search over replayed workers and say where the time went."""
    run = RunDirectory(directory)
    run.make()
    space = make_search_space("range-unet", NetworkContract(5, 64, (512,), dense_logits(20)), {})
    study = SearchStudy(run.study_journal)
    study.set_sampler(make_sampler(strategy, StrategyContext(space, None, Limits(None, trials), 0)))
    objectives = Objectives()
    clock = SkippingClock()
    executor = ReplayingExecutor(clock, workers, rows)
    with StopRequest() as stop, executor:
        CandidateLoop(
            SearchSection(strategy=strategy, trials=trials, workers=workers),
            task=ReplayedTask(),
            space=space,
            meter=ReplayingMeter(clock, itertools.cycle([row[1] if clocked else 0.0 for row in rows])),
            pool=executor,
            fidelities=Fidelities([Rung(TrialRecorder(run, study, RunLog(run), objectives))]),
            latency_filter=LatencyFilter(None, space, objectives),
            proposals=ProposalCounts(),
            stop=stop,
            listener=listener,
        ).run()
    study.close()
    total_s = clock.now_s
    return {
        "own": clock.own_s / total_s,
        "clock": clock.clocked_s / total_s,
        "busy": executor.busy_s / (workers * total_s),
        "own_ms_per_trial": 1000 * clock.own_s / trials,
        "trained_per_hour": 3600 * trials / total_s,
    }


def told_costs(directory: Path, points: Sequence[int], strategy: str) -> list[dict[str, float]]:
    """Return what a trial costs the driver after so many told ones, in ascending order, with one worker."""
    found = []
    rows = [(1.0, 0.0, 1.0)]
    replay(directory, 1, WINDOW, strategy, rows, clocked=False)
    for reported in points:
        _fill(directory, reported)
        moments: dict[int, tuple[float, float]] = {}

        def note(status: SearchStatus, moments: dict[int, tuple[float, float]] = moments) -> None:
            moments.setdefault(status.trained, (time.perf_counter(), time.process_time()))

        replay(directory, 1, reported + WINDOW, strategy, rows, clocked=False, listener=note)
        steps = list(itertools.pairwise(moments[number] for number in sorted(moments)))
        wall_ms = [1000 * (after[0] - before[0]) for before, after in steps]
        own_ms = [1000 * (after[1] - before[1]) for before, after in steps]
        found.append(
            {
                "reported": reported,
                "mean_ms": statistics.fmean(wall_ms),
                "median_ms": statistics.median(wall_ms),
                "largest_ms": max(wall_ms),
                "mean_processor_ms": statistics.fmean(own_ms),
                "largest_processor_ms": max(own_ms),
            }
        )
    return found


def _fill(directory: Path, reported: int) -> None:
    """Repeat the first trials of a study until it has so many; their records are those of the first."""
    place = JournalPlace(RunDirectory(directory).study_journal)
    with place.opened(read_only=False) as storage:
        study = optuna.load_study(study_name=place.name, storage=storage)
        trials = study.get_trials()
        for number in range(len(trials), reported):
            study.add_trial(trials[number % WINDOW])


def recorded(run: Path) -> list[tuple[float, float, float]]:
    """Return seconds of export, clock and training of the trained trials of a run."""
    rows = []
    for path in sorted(run.glob("trials/*/trial.json"), key=lambda each: int(each.parent.name)):
        record = json.loads(path.read_text(encoding="utf-8"))
        if record["state"] != "COMPLETE":
            continue
        latency = record["latency"]
        samples = [*latency["samples_ms"], *(latency.get("reference") or {}).get("samples_ms", [])]
        clock_s = sum(map(sum, samples)) / 1000 + sum(latency["warmup_s"])
        rows.append((record["export_s"], clock_s * latency.get("attempts", 1), record["cost_s"]))
    if not rows:
        raise SystemExit(f"{run} holds no trained trial.")
    return rows


def main() -> None:
    """Replay with each number of workers."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--workers", type=int, nargs="+", default=[2**power for power in range(9)])
    parser.add_argument("--trials", type=int, default=512, help="networks to be trained in each replay")
    parser.add_argument("--strategy", default="random")
    parser.add_argument("--run", type=Path, help="a run directory, whose times are replayed")
    parser.add_argument(
        "--told",
        type=int,
        nargs="+",
        default=[],
        help="told trials after which one is timed",
    )
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = recorded(options.run) if options.run else RECORDED
    results: dict[str, dict[int, dict[str, float]]] = {"with clock": {}, "without clock": {}}
    for mode, workers in itertools.product(results, options.workers):
        with tempfile.TemporaryDirectory() as directory:
            results[mode][workers] = replay(
                Path(directory), workers, options.trials, options.strategy, rows, clocked=mode == "with clock"
            )
    costs: list[dict[str, float]] = []
    if options.reported:
        with tempfile.TemporaryDirectory() as directory:
            costs = told_costs(Path(directory), sorted(options.reported), options.strategy)
    if options.json:
        found = {"strategy": options.strategy, "trials": options.trials, **results, "reported": costs}
        print(json.dumps(found))
        return
    _print_tables(results, costs)


def _print_tables(
    results: Mapping[str, Mapping[int, Mapping[str, float]]], costs: Sequence[Mapping[str, float]]
) -> None:
    for mode, found in results.items():
        print(f"\n{mode}\n\n| workers | own | clock | busy | own ms a trial | trained an hour |")
        print("| --- | --- | --- | --- | --- | --- |")
        for workers, each in found.items():
            print(
                f"| {workers} | {each['own']:.1%} | {each['clock']:.1%} | {each['busy']:.1%} "
                f"| {each['own_ms_per_trial']:.0f} | {each['trained_per_hour']:.0f} |"
            )
    if costs:
        print(
            "\n| told before | mean ms | median ms | largest ms | mean processor ms | largest processor ms |"
        )
        print("| --- | --- | --- | --- | --- | --- |")
    for each in costs:
        figures = ("mean_ms", "median_ms", "largest_ms", "mean_processor_ms", "largest_processor_ms")
        print(f"| {each['told']:,} | {' | '.join(f'{each[name]:.1f}' for name in figures)} |")


if __name__ == "__main__":
    main()
