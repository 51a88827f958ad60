#!/usr/bin/env python3
"""What several fidelities save, on a table of networks that were all trained on three data sets.

    python scripts/benchmarks/fidelities_on_table.py --accuracy CSV --latency CSV --devices a,b,... [--json]

Files as for `strategies.py`. ImageNet16-120 is what counts; a training on CIFAR-10 costs a sixth of it and
one on CIFAR-100 a third, by the seconds in the table: they stand for shorter trainings. Driver, fidelities,
strategy, studies and records are those of a search; workers answer from the table, on a clock that skips
the waiting. Plain search trains `--trained` networks on ImageNet16-120. A search with fidelities gets a
third of the seconds that this took, and as many candidates as they pay for. So does prescreening, which
trains candidates on CIFAR-10, predicts all 15,625 networks, and trains the best on ImageNet16-120. Scored is
the area under the staircase of latency and accuracy of networks trained on ImageNet16-120, above 35 per cent
and relative to that of the whole table; accuracies are seen with one seed and scored by the mean of all.
Prints Markdown, with `--json` one line of JSON at the end.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import json
import math
import os
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Self

import numpy as np
from driver_scaling import ReplayedTask
from strategies import Table, TableSpace, load, with_error

from hwnas.architecture import Architecture, Choice
from hwnas.config import PrescreeningSection, SearchSection
from hwnas.io_spec import IoSpec
from hwnas.latency.measurement import LatencyMeasurement
from hwnas.objectives import Objectives
from hwnas.search.executors.base import Reply, Worker
from hwnas.search.fidelities import Fidelities, Rung
from hwnas.search.interruption import StopRequest
from hwnas.search.latency_filter import LatencyFilter
from hwnas.search.loop import CandidateLoop
from hwnas.search.prescreening.stage import PrescreeningStage
from hwnas.search.progress import ProposalCounts
from hwnas.search.recorder import TrialRecorder
from hwnas.search.run_directory import RunDirectory
from hwnas.search.run_log import RunLog
from hwnas.search.strategies import LatencyPrediction, Limits, StrategyContext, make_sampler
from hwnas.search.study import SearchStudy
from hwnas.tasks.base import Quality

DATA_SETS = ("c10", "c100", "in16")
"""From the cheapest to the one that counts; their positions stand for steps."""
FLOOR = 35.0
BUDGET = 1 / 3
"""Share of the seconds of plain search that a search with fidelities gets."""


@dataclass(frozen=True)
class Trained:
    """Accuracies and seconds of every network on every data set, and latencies."""

    tables: Mapping[str, Table]
    seconds: Mapping[str, list[float]]
    device: str

    def row(self, architecture: Architecture) -> int:
        """Return the row of a network."""
        genes = architecture.genes
        return self.tables["in16"].rows[tuple(str(genes[f"edge{number}"]) for number in range(1, 7))]

    def latency_ms(self, architecture: Architecture) -> float:
        """Return the latency of a network; some without a way through are stated as nothing."""
        return max(float(self.tables["in16"].latency_ms[self.device][self.row(architecture)]), 1e-3)


class TableExecutor:
    """Workers that take as long as the table says, on a clock that skips the waiting."""

    def __init__(self, trained: Trained, size: int) -> None:
        self.size = size
        self.now_s = self.busy_s = 0.0
        self._trained = trained
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
        """Answer from the table."""
        architecture = Architecture.from_json(job["architecture"])
        seconds, value = 0.0, {"parameters": 1, "export_s": 0.0}
        if job["job"] == "export":
            self._name(Path(job["path"]), architecture)
        else:
            data_set = DATA_SETS[job["estimator"]]
            row = self._trained.row(architecture)
            seconds = self._trained.seconds[data_set][row]
            accuracy = float(self._trained.tables[data_set].seen[row]) / 100
            quality = Quality("accuracy", accuracy, {"all": accuracy}, 1, 1, {"all": 1})
            value = {"quality": quality.to_json(), "cost_s": seconds, "estimator": data_set}
        worker.is_busy = True
        self.busy_s += seconds
        self._ends[worker] = (self.now_s + seconds, value)

    def kill(self, worker: Worker) -> None:
        """Refuse: no replayed job is overdue."""
        raise RuntimeError(f"Nothing is killed here, not even {worker}.")

    def wait(self, timeout_s: float) -> list[Reply]:
        """Skip the time to the next end of a job."""
        self.now_s = min((end for end, _ in self._ends.values()), default=self.now_s + timeout_s)
        over = [worker for worker, (end, _) in self._ends.items() if end <= self.now_s]
        for worker in over:
            worker.is_busy = False
        return [Reply(worker, "result", self._ends.pop(worker)[1]) for worker in over]

    def stop(self, worker: Worker) -> None:
        """Nothing trains here."""

    def paused(self) -> AbstractContextManager[None]:
        """Stop nothing."""
        return contextlib.nullcontext()

    @staticmethod
    def _name(path: Path, architecture: Architecture) -> None:
        path.write_text(json.dumps(architecture.to_json()), encoding="utf-8")


class TableMeter:
    """A target whose clock is the table; what is exported here names the network."""

    target = "table"

    def __init__(self, trained: Trained) -> None:
        self._trained = trained

    def fingerprint(self) -> Mapping[str, Any]:
        """Return the name of the device."""
        return {"device": self._trained.device}

    def measure(
        self, model: Path, io_spec: IoSpec, *, give_up_over_ms: float | None = None
    ) -> LatencyMeasurement:
        """Read the latency of the network that a file names."""
        architecture = Architecture.from_json(json.loads(model.read_text(encoding="utf-8")))
        latency_ms = self._trained.latency_ms(architecture)
        return LatencyMeasurement(
            latency_ms=latency_ms,
            interval_ms=(latency_ms, latency_ms),
            confidence=0.95,
            samples_ms=((latency_ms,),),
            percentiles_ms={},
            is_stable=True,
            remark="",
            warmup_s=(0.0,),
            model_sha256="0" * 64,
            target=self.target,
            fingerprint=self.fingerprint(),
            protocol={},
        )

    def close(self) -> None:
        """Nothing is open."""


class KnownLatency(LatencyFilter):
    """Latencies of the table, known before a network is measured."""

    def __init__(self, trained: Trained, space: TableSpace, objectives: Objectives) -> None:
        super().__init__(None, space, objectives)
        self._trained = trained

    @property
    def is_available(self) -> bool:
        """Always."""
        return True

    def predict_many(self, architectures: Sequence[Architecture]) -> list[LatencyPrediction | None]:
        """Read them."""
        latencies = [self._trained.latency_ms(architecture) for architecture in architectures]
        return [LatencyPrediction(latency_ms, (latency_ms, latency_ms)) for latency_ms in latencies]


def main() -> None:
    """Search with and without fidelities, compare, print."""
    arguments = _arguments()
    loaded = {
        name: load(arguments.accuracy, arguments.latency, arguments.devices, f"{name}_val_s1", FLOOR)
        for name in DATA_SETS
    }
    with arguments.accuracy.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    seconds = {name: [float(row[f"{name}_train_time_s"]) for row in rows] for name in DATA_SETS}
    jobs = [(strategy, device) for strategy in arguments.strategies for device in arguments.devices]
    found: dict[str, dict[str, list[dict[str, float]]]] = {}
    with ProcessPoolExecutor(arguments.processes, mp_context=get_context("spawn")) as pool:
        compared = [
            (job, pool.submit(_compared, Trained(loaded, seconds, job[1]), job[0], arguments)) for job in jobs
        ]
        for (strategy, device), future in compared:
            for name, ones in future.result().items():
                found.setdefault(strategy, {}).setdefault(name, []).extend(ones)
            print(f"[{strategy}, {device}] done", file=sys.stderr, flush=True)
    _show(found, arguments)


def _compared(
    trained: Trained, strategy: str, arguments: argparse.Namespace
) -> dict[str, list[dict[str, float]]]:
    """Search on one device with every seed, plainly and with fidelities."""
    found: dict[str, list[dict[str, float]]] = {}
    for seed in range(arguments.first_seed, arguments.first_seed + arguments.seeds):
        search = TableSearch(trained, strategy, seed, arguments.workers)
        plain, rows = search.run([3], 1, arguments.trained)
        found.setdefault("plain", []).append(plain)
        for name, (lengths, reduction_factor) in SCHEDULES.items():
            number = _affordable(trained, rows, lengths, reduction_factor)
            one, _ = search.run(lengths, reduction_factor, number)
            found.setdefault(name, []).append(one)
        number = _affordable(trained, rows, *PRESCREENING)
        one, _ = search.run(*PRESCREENING, number, prescreening=True)
        found.setdefault(PRESCREENING_NAME, []).append(one)
        for ones in found.values():
            ones[-1]["share"] = ones[-1]["seconds"] / plain["seconds"]
            ones[-1]["ratio"] = ones[-1]["hypervolume"] / plain["hypervolume"]
    return found


SCHEDULES: dict[str, tuple[list[int], int]] = {
    "ImageNet16-120 alone, for a third of the seconds": ([3], 1),
    "CIFAR-10, ImageNet16-120; reduction factor 4": ([1, 3], 4),
    "CIFAR-10, ImageNet16-120; reduction factor 8": ([1, 3], 8),
    "CIFAR-10, CIFAR-100, ImageNet16-120; reduction factor 3": ([1, 2, 3], 3),
}
"""Data sets by their positions, and one of how many is promoted."""
PRESCREENING: tuple[list[int], int] = ([1, 3], 4)
PRESCREENING_NAME = "CIFAR-10, prescreening of all, ImageNet16-120; the best, a quarter as many"


def _affordable(trained: Trained, rows: Sequence[int], lengths: Sequence[int], reduction_factor: int) -> int:
    """Return how many candidates a schedule may begin with for `BUDGET` of the seconds of plain search.

    Estimated by the networks that plain search trained, which are larger than the usual ones of the table.
    """
    means = [statistics.fmean(trained.seconds[DATA_SETS[at - 1]][row] for row in rows) for at in lengths]
    each_s = sum(mean / reduction_factor**height for height, mean in enumerate(means))
    seconds = sum(trained.seconds[DATA_SETS[-1]][row] for row in rows)
    return max(reduction_factor ** (len(lengths) - 1), math.floor(BUDGET * seconds / each_s))


@dataclass(frozen=True)
class TableSearch:
    """Searches on one device with one seed, as `hwnas search` does."""

    trained: Trained
    strategy: str
    seed: int
    workers: int

    def run(
        self, lengths: Sequence[int], reduction_factor: int, trials: int, *, prescreening: bool = False
    ) -> tuple[dict[str, float], list[int]]:
        """Search once, with fidelities, or with prescreening in between.

        Returns:
            what it cost and found, and the rows of the networks that were trained on the last data set.
        """
        executor = TableExecutor(self.trained, self.workers)
        with tempfile.TemporaryDirectory() as scratch, StopRequest() as stop, executor:
            run = RunDirectory(scratch)
            run.make()
            study = SearchStudy(run.study_journal)
            schedules = _schedules(_rungs(run, study, lengths), reduction_factor, prescreening=prescreening)
            space, limits = TableSpace(), Limits(None, trials)
            latency_filter = KnownLatency(self.trained, space, Objectives())
            for fidelities in schedules:
                context = StrategyContext(space, self._predict, limits, self.seed, rungs=fidelities.studies)
                fidelities.follow(make_sampler(self.strategy, context))
            loop = partial(self._loop, space, executor, latency_filter, stop)
            loop(schedules[0], trials)
            if prescreening:
                stage = PrescreeningStage(
                    run,
                    PrescreeningSection(
                        networks=len(self.trained.tables["in16"].rows), train_best=trials // reduction_factor
                    ),
                    space=space,
                    latency_filter=latency_filter,
                    limits=limits,
                    objectives=Objectives(),
                    seed=self.seed,
                    log=RunLog(run),
                )
                chosen = stage.chosen(schedules[0].lowest.trials, [], lambda: False)
                loop(schedules[1], stage.wanted, chosen or [])
            best = [one.architecture for one in study.summaries() if one.is_trained and one.architecture]
            study.close()
        return self._figures(executor, trials, best)

    def _predict(self, architecture: Architecture) -> LatencyPrediction:
        latency_ms = self.trained.latency_ms(architecture)
        return LatencyPrediction(latency_ms, (latency_ms, latency_ms))

    def _loop(
        self,
        space: TableSpace,
        executor: TableExecutor,
        latency_filter: LatencyFilter,
        stop: StopRequest,
        fidelities: Fidelities,
        wanted: int,
        queue: Sequence[Mapping[str, Choice]] = (),
    ) -> None:
        """Train until as many candidates as wanted are."""
        CandidateLoop(
            SearchSection(strategy=self.strategy, trials=wanted, workers=self.workers, seed=self.seed),
            task=ReplayedTask(),
            space=space,
            meter=TableMeter(self.trained),
            pool=executor,
            fidelities=fidelities,
            latency_filter=latency_filter,
            proposals=ProposalCounts(),
            stop=stop,
            listener=lambda _status: None,
            queue=queue,
        ).run()

    def _figures(
        self, executor: TableExecutor, trials: int, best: Sequence[Architecture]
    ) -> tuple[dict[str, float], list[int]]:
        table, rows = self.trained.tables["in16"], [self.trained.row(each) for each in best]
        everything = table.hypervolume(self.trained.device, list(range(len(table.seen))))
        return {
            "seconds": executor.busy_s,
            "begun": trials,
            "finished": len(best),
            "hypervolume": table.hypervolume(self.trained.device, rows) / everything,
            "busy": executor.busy_s / (self.workers * executor.now_s),
        }, rows


def _rungs(run: RunDirectory, study: SearchStudy, lengths: Sequence[int]) -> list[Rung]:
    """Return a rung for each length, the highest with the study and the directory of the run."""
    rungs = []
    for number, length in enumerate(lengths, start=1):
        is_top = number == len(lengths)
        where = run if is_top else run.rung(number)
        where.trials_dir.mkdir(parents=True, exist_ok=True)
        own = study if is_top else study.beside(f"rung-{number}")
        recorder = TrialRecorder(where, own, RunLog(run), Objectives(), rung=f"rung {number}")
        rungs.append(Rung(recorder, length - 1))
    return rungs


def _schedules(rungs: Sequence[Rung], reduction_factor: int, *, prescreening: bool) -> list[Fidelities]:
    """Return the searches that follow each other: one of all rungs, or one of each with prescreening."""
    if prescreening:
        return [Fidelities([rung]) for rung in rungs]
    return [Fidelities(rungs, reduction_factor=reduction_factor)]


def _show(found: dict[str, dict[str, list[dict[str, float]]]], arguments: argparse.Namespace) -> None:
    print(f"command: scripts/benchmarks/fidelities_on_table.py {' '.join(sys.argv[1:])}\n")
    print("| strategy | trained on | begun | on ImageNet16-120 | cost | hypervolume | ratio | workers busy |")
    print("|---|---|---:|---:|---:|---:|---:|---:|")
    for strategy, searches in found.items():
        for name, ones in searches.items():
            label = "ImageNet16-120 alone" if name == "plain" else name
            share = statistics.fmean(one.get("share", 1.0) for one in ones)
            ratio = with_error([one["ratio"] for one in ones]) if name != "plain" else "1"
            print(
                f"| `{strategy}` | {label} | {statistics.fmean(one['begun'] for one in ones):.0f} "
                f"| {statistics.fmean(one['finished'] for one in ones):.0f} | {share:.2f} "
                f"| {with_error([one['hypervolume'] for one in ones])} | {ratio} "
                f"| {np.mean([one['busy'] for one in ones]):.2f} |"
            )
    if arguments.json:
        print(json.dumps(found))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--accuracy", type=Path, required=True)
    parser.add_argument("--latency", type=Path, required=True)
    parser.add_argument("--devices", type=lambda text: text.split(","), required=True)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--trained", type=int, default=100, help="networks that plain search trains")
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--strategies", type=lambda text: text.split(","), default=["random", "surrogate"])
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    main()
