"""The whole pipeline on embedded defaults: every stage resumable, every stage timed."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress
from rich.text import Text

from hwnas.architecture import Architecture
from hwnas.bundle.bundle import Bundle
from hwnas.bundle.purpose import ExportOptions
from hwnas.bundle.verification.on_target import verify_on_target
from hwnas.bundle.verification.result import VerificationSettings, passed_verification
from hwnas.config import parse_config
from hwnas.data.synthetic import synthesize_dataset
from hwnas.errors import ConfigError
from hwnas.files import read_checked_json, write_checked_json
from hwnas.plain_console import PlainConsole
from hwnas.report.build import build_report
from hwnas.run.export import export_run
from hwnas.run.front import Front, trained_networks
from hwnas.run.progress import shown_export, shown_training
from hwnas.search.driver import search
from hwnas.search.executors.local import usable_cores
from hwnas.search.full_training import train_front
from hwnas.search.picking import picked
from hwnas.search.progress import watched
from hwnas.search.run_directory import RunDirectory
from hwnas.text import counted, one_line
from hwnas.version import __version__

CHOICES: dict[str, list[Any]] = {
    "input_width": [256, 512],
    "stem_width": [8, 16, 24],
    "stem_stride": ["1x2", "2x2"],
    "num_stages": [2, 3],
    **{f"stage{stage}_depth": [1, 2] for stage in (1, 2, 3)},
    **{f"stage{stage}_kernel": [3, 5] for stage in (1, 2, 3)},
    "stage1_width": [16, 24, 32],
    "stage1_stride": ["1x2", "2x2"],
    "stage2_width": [24, 32, 48],
    "stage3_width": [32, 48, 64],
    "decoder_width": [16, 24, 32],
}
"""The corner of `range-unet` whose networks train in seconds and run in milliseconds on a CPU."""

NUM_MEMBERS = 3
"""Members of the front that are trained in full, exported and verified."""

MOST_SCANS = 1000
"""About 2.5 GB; more time than that takes goes into training."""

MARKER = "quickstart.json"
"""In the directory: what was asked for, and how long each finished stage took."""

LATENCY_TOLERANCE = 0.25
"""Of verification: a busy desktop or a shared server repeats a median no better than this."""


@dataclass(frozen=True)
class Budget:
    """What a number of minutes is spent on, on two cores.

    Attributes:
        scans: synthetic scans to make.
        trials: candidates to train.
        proxy_steps: training steps of each.
        search_min: after this time no further candidate is started.
        full_s: wall-clock seconds for training the picked members in full.
    """

    scans: int
    trials: int
    proxy_steps: int
    search_min: float
    full_s: float

    @classmethod
    def of_minutes(cls, minutes: float) -> Budget:
        """Share out `minutes`; a calm machine leaves some of them over."""
        return cls(
            scans=min(MOST_SCANS, max(15, round(6 * minutes))),
            trials=max(4, round(2.4 * minutes)),
            proxy_steps=max(10, min(60, round(3.5 * minutes))),
            search_min=0.55 * minutes,
            full_s=60 * 0.15 * minutes,
        )


@dataclass(frozen=True)
class QuickstartBundle:
    """One bundle of a quickstart.

    Attributes:
        bundle: itself.
        objective: second objective of its network; None where it was not measured.
        is_on_front: whether no other network of the quickstart beats it.
        is_verified: whether every check of `hwnas verify` held.
    """

    bundle: Bundle
    objective: float | None
    is_on_front: bool
    is_verified: bool


@dataclass(frozen=True)
class QuickstartSummary:
    """What a quickstart leaves behind.

    Attributes:
        directory: the directory that holds all of it.
        seconds: seconds of each stage, by name.
        trained_candidates: networks that the search trained.
        front: the front of the networks at full budget.
        bundles: the fastest first.
        report: the HTML file.
    """

    directory: Path
    seconds: Mapping[str, float]
    trained_candidates: int
    front: Front
    bundles: tuple[QuickstartBundle, ...]
    report: Path

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "directory": str(self.directory),
            "seconds": dict(self.seconds),
            "trained_candidates": self.trained_candidates,
            "objectives": ["error", self.front.objective],
            "unit": self.front.unit,
            "bundles": [_bundle_json(each) for each in self.bundles],
            "report": str(self.report),
        }

    def __repr__(self) -> str:
        """Return the figures that matter most, in a line."""
        return one_line(
            self,
            counted(self.trained_candidates, "trained candidate"),
            counted(len(self.bundles), "bundle"),
            f"{sum(each.is_verified for each in self.bundles)} verified",
            f"report {str(self.report)!r}",
        )


def _bundle_json(entry: QuickstartBundle) -> dict[str, Any]:
    latency = entry.bundle.latency
    return {
        "path": str(entry.bundle.path),
        "architecture_id": entry.bundle.architecture_id,
        "quality": entry.bundle.quality.value,
        "latency_ms": latency.latency_ms,
        "interval_ms": list(latency.interval_ms),
        "is_stable": latency.is_stable,
        "remark": latency.remark,
        "verified": entry.is_verified,
        "cost": entry.objective,
        "on_front": entry.is_on_front,
    }


def quickstart(
    out: str | Path = "quickstart", *, minutes: float = 10.0, console: Console | None = None
) -> QuickstartSummary:
    """Synthesize scans, search, train, export, verify and report; the same call resumes it.

    Args:
        out: new directory for data, run, bundles and report.
        minutes: wall-clock time to spend, on two cores.
        console: the console on which progress is shown; standard error if None.

    Raises:
        ConfigError: if the directory holds something else.
        HwnasError: if a stage fails.
    """
    return Quickstart(Path(out), minutes, console=console or PlainConsole(stderr=True)).run()


@dataclass
class Quickstart:
    """One quickstart in one directory.

    Attributes:
        directory: holds the data (`data`), the run (`run`) and what was asked for (`quickstart.json`).
        minutes: wall-clock time to spend on two cores.
        seconds: time of each finished stage, by name.
        console: where progress is shown.
    """

    directory: Path
    minutes: float
    seconds: dict[str, float] = field(default_factory=dict)
    console: Console = field(default_factory=lambda: PlainConsole(stderr=True), repr=False)

    @property
    def run_directory(self) -> RunDirectory:
        """Where search and everything after it happen."""
        return RunDirectory(self.directory / "run")

    def run(self) -> QuickstartSummary:
        """Do every stage that is not done yet and return the summary.

        Raises:
            ConfigError: if the directory holds something else.
            HwnasError: if a stage fails.
        """
        self._claim()
        budget = Budget.of_minutes(self.minutes)
        stages: dict[str, Callable[[Budget], None]] = {
            "synthesize": self._synthesize,
            "search": self._search,
            "train": self._train,
            "export": self._export,
            "verify": self._verify,
            "report": self._report,
        }
        for name, stage in stages.items():
            if name not in self.seconds:
                started = time.monotonic()
                stage(budget)
                self.seconds[name] = time.monotonic() - started
                self._save()
                done = Text.assemble(("done", "green"), f" {name} in {self.seconds[name]:.0f} s")
                self.console.print(done, highlight=False)
        summary = self._summary()
        if not all(bundle.is_verified for bundle in summary.bundles):
            # What does not hold today may hold on a calmer machine: the next call looks again.
            del self.seconds["verify"], self.seconds["report"]
            self._save()
        return summary

    def _claim(self) -> None:
        """Make the directory ours, or recognise that it is and what is done."""
        marker, request = self.directory / MARKER, self._request()
        if marker.is_file():
            found = _read_marker(marker)
            if {key: found.get(key) for key in request} != request:
                asked = {key: found.get(key) for key in request}
                raise ConfigError(
                    f"{self.directory} holds a quickstart of {asked}, which {request} cannot go on with. "
                    "Choose another directory with `out=`, or remove that one."
                )
            self.seconds = dict(found["seconds"])
            return
        if self.directory.exists() and (not self.directory.is_dir() or any(self.directory.iterdir())):
            raise ConfigError(
                f"A quickstart needs a new or empty directory, but {self.directory} holds something else. "
                "Choose another one with `out=`."
            )
        self.directory.mkdir(parents=True, exist_ok=True)
        self._save()

    def _request(self) -> dict[str, Any]:
        return {"schema_version": 1, "hwnas": __version__, "minutes": self.minutes}

    def _save(self) -> None:
        write_checked_json(self.directory / MARKER, {**self._request(), "seconds": self.seconds})

    def _synthesize(self, budget: Budget) -> None:
        data = self.directory / "data"
        if data.exists():  # it is renamed into place when it is complete
            return
        with Progress(console=self.console, transient=True) as progress:
            bar = progress.add_task("ray-casting driving scenes", total=budget.scans)
            synthesize_dataset(
                data,
                scans=budget.scans,
                scans_per_scene=3,
                workers=len(usable_cores()),
                progress=lambda status: progress.update(bar, completed=status.number),
            )

    def _search(self, budget: Budget) -> None:
        config = parse_config(
            {
                "task": {
                    "name": "lidar-segmentation",
                    "data": str((self.directory / "data").resolve()),
                    "label_map": "merged-8",
                    "widths": CHOICES["input_width"],
                },
                "space": {"name": "range-unet", "choices": CHOICES},
                "search": {"trials": budget.trials, "timeout_min": budget.search_min},
                "training": {"proxy": {"steps": budget.proxy_steps}, "full": {"pick": NUM_MEMBERS}},
                "measuring": {
                    "search": {"max_s": 1.5, "max_warmup_s": 0.5, "max_attempts": 2},
                    "final": {"max_s": 6.0, "max_warmup_s": 2.0, "limit_s": 20.0},
                },
            }
        )
        run = self.run_directory
        with watched(self.console) as listener:
            result = search(config, run.path, resume=run.exists, progress=listener)
        if result.interrupted:
            raise KeyboardInterrupt

    def _train(self, budget: Budget) -> None:
        steps = self._full_steps(budget)
        with shown_training(self.console) as listener:
            result = train_front(self.run_directory.path, pick=NUM_MEMBERS, steps=steps, progress=listener)
        if result.interrupted:
            raise KeyboardInterrupt

    def _full_steps(self, budget: Budget) -> int:
        """Return how many steps the picked members can train within the budget, by what they took so far."""
        run = self.run_directory
        members = picked(run.read_front(), NUM_MEMBERS)
        cost_s: list[float] = [run.read_trial(member["number"])["cost_s"] for member in members]
        workers = min(len(members), len(usable_cores()))
        # The slowest member bounds it too: one network never trains on two workers.
        wall_s = max(sum(cost_s) / workers, *cost_s) if len(cost_s) > 1 else cost_s[0]
        return max(budget.proxy_steps, round(budget.proxy_steps * budget.full_s / wall_s))

    def _export(self, _budget: Budget) -> None:
        with shown_export(self.console) as listener:
            export_run(self.run_directory.path, ExportOptions(force=True), progress=listener)

    def _verify(self, _budget: Budget) -> None:
        settings = VerificationSettings(latency_tolerance=LATENCY_TOLERANCE, threads=1)
        bundles = self._bundles()
        for number, bundle in enumerate(bundles, start=1):
            with self.console.status(f"Verifying {bundle.name} ({number} of {len(bundles)})"):
                verify_on_target(bundle, settings=settings)

    def _report(self, _budget: Budget) -> None:
        build_report(self.run_directory.path)

    def _bundles(self) -> list[Path]:
        """Return the bundles of the trained members, the fastest first."""
        members = self.run_directory.read_trained()["members"]
        return [
            self.run_directory.bundle(Architecture.from_json(member["architecture"]).id) for member in members
        ]

    def _summary(self) -> QuickstartSummary:
        run = self.run_directory
        trials = run.read_front()["trials"]
        front = trained_networks(run, only_front=True)
        on_front = {member.id for member in front}
        networks = {member.id: member for member in trained_networks(run, only_front=False)}
        return QuickstartSummary(
            directory=self.directory,
            seconds=dict(self.seconds),
            trained_candidates=sum(
                trial["state"] == "COMPLETE" and trial["duplicate_of"] is None for trial in trials
            ),
            front=front,
            bundles=tuple(
                QuickstartBundle(
                    bundle=Bundle(path),
                    objective=networks[path.name].objective,
                    is_on_front=path.name in on_front,
                    is_verified=bool(passed_verification(path)),
                )
                for path in self._bundles()
            ),
            report=run.report,
        )


def _read_marker(path: Path) -> dict[str, Any]:
    try:
        found = read_checked_json(path)
        seconds = {str(stage): float(value) for stage, value in found["seconds"].items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"{path} should say what was asked for, but is damaged ({error}). "
            "Choose another directory with `out=`, or remove that one."
        ) from error
    return {**found, "seconds": seconds}
