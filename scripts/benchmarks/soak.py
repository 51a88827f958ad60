#!/usr/bin/env python3
"""Kills drivers and workers of searches and cuts their database at random moments, and looks at what is left.

    .venv/bin/python scripts/benchmarks/soak.py --rounds 3 --disturbances 10 --out soak.json

Every round is one search on each storage, disturbed with a seed of its own. Rounds that ended are kept in the
file named by `--out`, so that the same command goes on after an interruption. Each search is a real one in
processes of its own, over networks that train in a moment. After every death of a driver, and at the end,
these must hold, or the script stops with an error:

- a trial that was told keeps its values for ever;
- every finished trial is counted exactly once: a record or a log line of a trained network belongs to one
  complete trial with the same error, a complete trial has one record, and no network was trained twice;
- the study goes on, and in the end as many networks are trained as wanted, with no trial left running;
- `front.json` is the front that follows from the study and from a comparison of every pair of networks.

With `--fidelities` networks are trained for two lengths. All this holds for each of them then, and in the end
one of two networks was trained longer, all of them among those of the shorter training.

Prints Markdown, with `--json` one JSON object. PostgreSQL is a real server, see `tests/postgres_server.py`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import yaml

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from hwnas.config import RunConfig
from hwnas.files import write_json_atomically
from hwnas.objectives import Objectives
from hwnas.search.front import ParetoFront
from hwnas.search.run_directory import RunDirectory
from hwnas.search.run_log import read_events
from hwnas.search.storage.place import place_of_run
from hwnas.search.study import SearchStudy
from hwnas.tasks.base import Quality
from hwnas.testing.tiny_site import ENTRY_POINTS
from tests.postgres_server import PostgresServer, why_not
from tests.search.conftest import run_settings

SOAK_SPACE = """\
from dataclasses import replace

import numpy as np

from hwnas_tiny_plugin import CHOICES, TinySpace, make_task

class SoakSpace(TinySpace):
    name = "soak-space"

    def __init__(self, contract, restrictions):
        super().__init__(contract, restrictions)
        self.choices = {**self.choices, "variant": tuple(range(10_000))}

    def encode(self, architecture):
        genes = dict(architecture.genes)
        variant = genes.pop("variant")
        return np.append(super().encode(replace(architecture, genes=genes)), np.float32(variant / 10_000))

def make_space(contract, restrictions):
    return SoakSpace(contract, restrictions)
"""
KINDS = {"driver killed": 4, "worker killed": 3, "connections cut": 4, "server crashed": 1}
NEEDS_SERVER = ("connections cut", "server crashed")
REDUCTION_FACTOR = 2
"""With two lengths of training, one of so many networks is trained longer."""
KILLED, GAVE_UP, ENDED = -signal.SIGKILL, 5, 0


class Soak:
    """One search that is disturbed until it has had enough."""

    def __init__(
        self, directory: Path, seed: int, server: PostgresServer | None, *, fidelities: bool
    ) -> None:
        self.fidelities = fidelities
        self.run = RunDirectory(directory / "run")
        self.file = directory / "run.yaml"
        self.server = server
        self.rng = random.Random(seed)  # noqa: S311
        self.counts: Counter[str] = Counter()
        self.sessions = self.gave_up = 0
        self.reported: dict[str, dict[int, Any]] = {}
        self.environment = {**os.environ, "PYTHONPATH": f"{_site(directory)}{os.pathsep}{ROOT}"}
        self.output = directory / "output"
        self.process: subprocess.Popen[bytes] | None = None

    def disturb(self, times: int, pause_s: float, limit_s: float) -> None:
        """Run the search and disturb it so often, or for so long, then let it end."""
        deadline = time.monotonic() + limit_s
        kinds = {k: w for k, w in KINDS.items() if self.server or k not in NEEDS_SERVER}
        while self.counts.total() < times and time.monotonic() < deadline:
            self._start(10_000)
            while self._alive() and self.counts.total() < times:
                if time.monotonic() > deadline:
                    break
                time.sleep(self.rng.uniform(0, pause_s))
                kind = self.rng.choices(list(kinds), list(kinds.values()))[0]
                if self._alive() and self._disturb(kind):
                    self.counts[kind] += 1
                    print(f"{self.counts.total()}/{times} {kind}, {self._trained()} trained", file=sys.stderr)
            self._end()
        self._start(self._trained() + 3)
        self._end(kill=False)

    def _disturb(self, kind: str) -> bool:
        if kind == "driver killed":
            self.process.kill()
        elif kind == "worker killed":
            victims = self._workers()
            if not victims:
                return False
            with contextlib.suppress(psutil.NoSuchProcess):
                self.rng.choice(victims).kill()
        elif kind == "connections cut":
            return self.server.cut_connections() > 0
        else:
            self.server.stop("immediate")
            time.sleep(self.rng.uniform(0, 2))
            self.server.start()
        return True

    def _workers(self) -> list[psutil.Process]:
        found = []
        with contextlib.suppress(psutil.NoSuchProcess):
            for process in psutil.Process(self.process.pid).children(recursive=True):
                with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
                    if "hwnas.search.worker" in process.cmdline():
                        found.append(process)
        return found

    def _start(self, trials: int) -> None:
        settings = run_settings(
            space={"name": "soak-space", "choices": {}},
            search={"strategy": "random", "trials": trials, "workers": 2},
            training={"proxy": {"steps": 4 if self.fidelities else 2}, "full": {"steps": 4}},
        )
        if self.fidelities:
            settings["search"]["fidelities"] = {"steps": [2], "reduction_factor": REDUCTION_FACTOR}
        if self.server is not None:
            settings |= {"storage": self.server.address, "study": "soak"}
        self.file.write_text(yaml.safe_dump(settings))
        resume = ["--resume"] if self.run.exists else []
        command = [
            sys.executable,
            "-m",
            "hwnas",
            "search",
            str(self.file),
            "--out",
            str(self.run.path),
        ]
        self.sessions += 1
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [*command, *resume, "--json"],
                stdout=output,
                stderr=output,
                env=self.environment,
                start_new_session=True,
            )

    def _alive(self) -> bool:
        return self.process.poll() is None

    def _end(self, *, kill: bool = True) -> None:
        """Wait for the driver, then look at what it left."""
        if kill and self._alive():
            self.process.kill()
            self.counts["driver killed"] += 1
        self.process.wait(timeout=1800)
        said = self.output.read_text(encoding="utf-8", errors="replace")
        allowed = (KILLED, GAVE_UP) if kill else (ENDED,)
        check(
            self.process.returncode in allowed, f"driver ended with {self.process.returncode}: {said[-3000:]}"
        )
        if self.process.returncode == GAVE_UP:
            self.gave_up += 1
            print(f"gave up: {said.strip().splitlines()[-1]}", file=sys.stderr)
        self._check(is_over=not kill)

    def _opened(self) -> SearchStudy | None:
        if not self.run.exists:
            return None
        config: RunConfig = self.run.load_config()
        if self.server is not None:
            config = config.model_copy(update={"storage": self.server.address})
        return SearchStudy(place_of_run(self.run, config), read_only=True)

    def _trained(self) -> int:
        lowest = "rung 1" if self.fidelities else ""
        own = [trial for trial in self.reported.get(lowest, {}).values() if trial["duplicate_of"] is None]
        return sum(trial["state"] == "COMPLETE" for trial in own)

    def _check(self, *, is_over: bool) -> None:
        study = self._opened()
        if study is None:
            return
        # A driver that was killed before its session began may not have made all studies.
        rungs = [("", study, self.run)]
        if self.fidelities and any(event["event"] == "session" for event in _events(self.run)):
            rungs = [("rung 1", study.beside("rung-1"), self.run.rung(1)), ("rung 2", study, self.run)]
        elif self.fidelities:
            rungs = []
        trained = [self._check_rung(*rung, is_over=is_over) for rung in rungs]
        study.close()
        if is_over and self.fidelities:
            check(trained[1] <= trained[0], "a network was trained longer that was not trained before")
            check(
                len(trained[1]) == len(trained[0]) // REDUCTION_FACTOR,
                f"{[len(each) for each in trained]} are trained",
            )

    def _check_rung(self, rung: str, study: SearchStudy, run: RunDirectory, *, is_over: bool) -> set[str]:
        """Look at one length of training, and return the names of its networks."""
        trials = study.summaries()
        pareto_front = ParetoFront(run, Objectives())
        pareto_front.update(trials)
        front = json.loads(json.dumps(pareto_front.record(trials)))
        states = {t["number"]: t for t in front["trials"] if t["state"] in ("COMPLETE", "PRUNED")}
        check(
            list(range(len(trials))) == [trial.number for trial in trials],
            "a number is missing or there twice",
        )
        for number, trial in self.reported.get(rung, {}).items():
            check(states.get(number) == trial, f"trial {number} was told and changed")
        self.reported[rung] = states
        trained = [trial for trial in trials if trial.is_trained]
        ids = [trial.architecture.id for trial in trained]
        check(len(ids) == len(set(ids)), "a network was trained twice")
        errors = {trial.number: trial.error for trial in trained}
        for number, error in errors.items():
            quality = Quality.from_json(run.read_trial(number)["quality"])
            check(quality.error == error, f"trial {number} and its record differ")
        events = [event for event in _events(self.run) if event["event"] == "trained"]
        logged = [event["trial"] for event in events if event.get("rung", "") == rung]
        check(len(logged) == len(set(logged)), "a trained network was logged twice")
        check(set(logged) <= set(errors), "a trained network was logged and does not count")
        if not is_over:
            return set(ids)
        recorded = {n for n in _recorded(run) if run.read_trial(n)["state"] == "COMPLETE"}
        check(recorded == set(errors), f"finished and not counted: {sorted(recorded ^ set(errors))}")
        check(all(trial.state != "RUNNING" for trial in trials), "a trial is left running")
        check(front == run.read_front(), "front.json is not the front of the study")
        points = {trial.number: (trial.error, trial.cost) for trial in trained}
        members = [member["trial"] for member in front["members"]]
        check(members and not any(_is_beaten(points, n) for n in members), "a member of the front is beaten")
        rest = set(points) - set(members)
        check(all(_is_beaten(points, n) for n in rest), "a network that none beats is not on the front")
        return set(ids)

    def figures(self) -> dict[str, Any]:
        """Say what was done and what came of it."""
        front = self.run.read_front()
        events = _events(self.run)
        runs = [self.run.rung(1), self.run] if self.fidelities else [self.run]
        trials = [trial for run in runs for trial in run.read_front()["trials"]]
        states = Counter(t["state"] for t in trials if t["duplicate_of"] is None)
        return {
            "disturbances": {kind: n for kind, n in self.counts.items() if n},
            "sessions": self.sessions,
            "drivers_that_gave_up_resumably": self.gave_up,
            "trials": len(trials),
            "trained": states["COMPLETE"],
            "failed": states["FAIL"],
            "finished_before_a_kill_and_told_after_it": sum(len(e.get("recovered", ())) for e in events),
            "front": len(front["members"]),
        }


def check(holds: bool, message: str) -> None:  # noqa: FBT001
    """Stop with an error unless something holds."""
    if not holds:
        raise SystemExit(f"SOAK FAILED: {message}")


def _is_beaten(points: dict[int, Any], number: int) -> bool:
    """Whether another point is nowhere worse and somewhere better, or is the same and came first."""
    error, cost = points[number]
    return any(
        other_error <= error
        and other_cost <= cost
        and ((other_error, other_cost) != (error, cost) or n < number)
        for n, (other_error, other_cost) in points.items()
    )


def _events(run: RunDirectory) -> list[dict[str, Any]]:
    """Return whole lines of the log: a killed driver may have torn the last one."""
    return [dict(event) for event in read_events(run).events]


def _recorded(run: RunDirectory) -> Iterator[int]:
    return (int(path.parent.name) for path in run.trials_dir.glob("*/trial.json"))


def _site(directory: Path) -> Path:
    """Install the tiny task and a space that is large enough never to be exhausted."""
    site = directory / "site"
    site.mkdir()
    shutil.copy(ROOT / "hwnas" / "testing" / "tiny_plugin.py", site / "hwnas_tiny_plugin.py")
    (site / "hwnas_soak_plugin.py").write_text(SOAK_SPACE)
    metadata = site / "hwnas_soak_plugin-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: hwnas-soak-plugin\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"{ENTRY_POINTS}soak-space = hwnas_soak_plugin:make_space\n")
    return site


def soak(
    storage: str, times: int, seed: int, pause_s: float, limit_s: float, *, fidelities: bool
) -> dict[str, Any]:
    """Disturb one search and return the figures."""
    started = time.monotonic()
    server: Callable[[], Any] = PostgresServer if storage == "postgresql" else contextlib.nullcontext
    directory = Path(tempfile.mkdtemp(prefix="hwnas-soak-"))
    with server() as running:
        search = Soak(directory, seed, running, fidelities=fidelities)
        search.disturb(times, pause_s, limit_s)
    figures = {"storage": storage, "seed": seed, "fidelities": fidelities, **search.figures()}
    shutil.rmtree(directory)
    return {**figures, "minutes": round((time.monotonic() - started) / 60, 1)}


def rounds_of(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Yield the figures of every round, of those that ended before from their file."""
    done: list[dict[str, Any]] = []
    if options.out and options.out.exists():
        done = json.loads(options.out.read_text(encoding="utf-8"))
    known = {(each["storage"], each["seed"], each["wanted"], each["fidelities"]): each for each in done}
    for seed in range(options.seed, options.seed + options.rounds):
        for storage in options.storage:
            key = (storage, seed, options.disturbances, options.fidelities)
            if key not in known:
                figures = soak(
                    storage,
                    options.disturbances,
                    seed,
                    options.pause,
                    60 * options.minutes,
                    fidelities=options.fidelities,
                )
                known[key] = {**figures, "wanted": options.disturbances}
                done.append(known[key])
                if options.out:
                    write_json_atomically(options.out, done)
            yield known[key]


def as_markdown(rounds: list[dict[str, Any]]) -> str:
    """Return a table with one row for each round."""
    kinds = list(KINDS)
    shown = ("sessions", "drivers_that_gave_up_resumably", "trials", "trained", "failed")
    shown = (*shown, "finished_before_a_kill_and_told_after_it", "front", "minutes")
    heads = ["storage", "seed", *kinds, *(name.replace("_", " ") for name in shown)]
    lines = [heads, ["---"] * len(heads)]
    for each in rounds:
        counts = [each["disturbances"].get(kind, 0) for kind in kinds]
        lines.append([each["storage"], each["seed"], *counts, *(each[name] for name in shown)])
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def main() -> None:
    """Disturb searches on each storage."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--disturbances", type=int, default=10, help="for each storage in each round")
    parser.add_argument(
        "--storage", nargs="+", choices=("journal", "postgresql"), default=["journal", "postgresql"]
    )
    parser.add_argument("--fidelities", action="store_true", help="with two lengths of training")
    parser.add_argument("--seed", type=int, default=0, help="of the first round")
    parser.add_argument(
        "--pause", type=float, default=12.0, help="longest time between disturbances, in seconds"
    )
    parser.add_argument("--minutes", type=float, default=600.0, help="for each search, at most")
    parser.add_argument("--out", type=Path, help="file with the rounds that have ended")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if "postgresql" in options.storage and why_not():
        parser.error(why_not())
    rounds = list(rounds_of(options))
    total = sum(sum(each["disturbances"].values()) for each in rounds)
    if options.json:
        print(json.dumps({"disturbances": total, "rounds": rounds}))
    else:
        print(f"{as_markdown(rounds)}\n\n{total} disturbances in all.")


if __name__ == "__main__":
    main()
