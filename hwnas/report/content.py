"""What a report tells, gathered from the files of a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hwnas.architecture import Architecture
from hwnas.bundle.candidates import Candidate, candidates_of
from hwnas.bundle.manifest import MANIFEST_NAME, read_manifest
from hwnas.bundle.verification.result import passed_verification
from hwnas.config import JOURNAL, RunConfig
from hwnas.estimators.report import EstimatorReport
from hwnas.search.comparing import read_comparison
from hwnas.search.comparison import BaselineComparison
from hwnas.search.records import FrontRecord, TrainedRow
from hwnas.search.run_directory import RunDirectory
from hwnas.search.run_log import read_events
from hwnas.search.storage.place import place_of_run
from hwnas.search.strategies import Transfer
from hwnas.search.study import SearchStudy
from hwnas.tasks.base import MetricWords


@dataclass(frozen=True)
class Member:
    """A network of the search's front, or one that was trained at full budget, or both.

    Attributes:
        architecture: the network.
        trial: number of the trial that found it; None if the search does not list it any more.
        parameters: number of weights; None if no record states it.
        search_quality: `Quality.to_json()` after the short training of the search.
        search_latency: `LatencyMeasurement.to_json()` of the search.
        search_cost: second objective, as measured in the search.
        trained: its entry in `trained.json`, or None.
        verified: outcome of `hwnas verify` on its bundle; None where there is no verification.
        candidates: the network at each precision of its bundle; empty if there is none.
    """

    architecture: Architecture
    trial: int | None
    parameters: int | None
    search_quality: Mapping[str, Any] | None
    search_latency: Mapping[str, Any] | None
    search_cost: float | None
    trained: Mapping[str, Any] | None
    verified: bool | None
    candidates: tuple[Candidate, ...] = ()

    @property
    def quality(self) -> Mapping[str, Any] | None:
        """Quality at full budget if there is one, else that of the search."""
        return self.trained["quality"] if self.trained else self.search_quality

    @property
    def cost(self) -> float | None:
        """Second objective: the final measurement if there is one, else that of the search."""
        final: float | None = self.trained.get("cost") if self.trained else None
        return self.search_cost if final is None else final

    @property
    def latency(self) -> Mapping[str, Any] | None:
        """The final measurement if there is one, else that of the search."""
        final: Mapping[str, Any] | None = self.trained["latency"] if self.trained else None
        return final or self.search_latency


@dataclass(frozen=True)
class RunContent:
    """Everything that the run directory states.

    Attributes:
        run: where it lies.
        config: the resolved run file.
        front: content of `front.json`.
        members: by ascending latency.
        identity: what the study was started with (versions, fingerprints); empty if unknown.
        finished: time of the last event, ISO 8601; None if there is no log of events.
        rank_agreement: of searched and final latencies, see `hwnas.search.agreement`; None if not known.
        estimator_report: as the last session of the search knew it; None if it did not.
        transfer: what earlier runs told, as the last session of the search knew it; None if it used none.
        unreadable_events: damaged lines of the log of events, which are left out.
        comparison: with hand-crafted networks; None if there is none.
    """

    run: RunDirectory
    config: RunConfig
    front: Mapping[str, Any]
    members: tuple[Member, ...]
    identity: Mapping[str, Any]
    finished: str | None
    rank_agreement: Mapping[str, Any] | None = None
    estimator_report: EstimatorReport | None = None
    unreadable_events: int = 0
    comparison: BaselineComparison | None = None
    transfer: Transfer | None = None

    @property
    def trained(self) -> tuple[Member, ...]:
        """Members at full budget."""
        return tuple(member for member in self.members if member.trained)

    @property
    def objective(self) -> str:
        """Name of the metric that was minimised beside the error."""
        return str(self.front["objectives"][1])

    @property
    def unit(self) -> str:
        """Unit of the objective."""
        return str(self.front["unit"])

    @property
    def metric(self) -> str:
        """Name of the task's metric."""
        for member in self.members:
            if member.quality:
                return str(member.quality["metric"])
        return "metric"

    @property
    def words(self) -> MetricWords:
        """What the task calls its figures; neutral words where the run does not say."""
        neutral = MetricWords(self.metric, self.metric, "item", "sample", "class")
        return MetricWords(**{**neutral.to_json(), **self.identity.get("words", {})})


def load_content(run: RunDirectory) -> RunContent:
    """Gather what a run directory states.

    Raises:
        StudyError: if there is no run, or a file of it is damaged.
        ConfigError: if the run file is damaged.
    """
    config = run.load_config()
    front = run.read_front()
    trained = run.read_trained() if run.trained.is_file() else None
    return RunContent(
        run,
        config,
        front,
        _members(run, front, trained["members"] if trained else []),
        _identity(run),
        _last_event(run),
        trained.get("rank_agreement") if trained else None,
        _estimator_report(run),
        read_events(run).num_unreadable,
        read_comparison(run),
        _transfer(run),
    )


def _members(run: RunDirectory, front: FrontRecord, trained: list[TrainedRow]) -> tuple[Member, ...]:
    objective = str(front["objectives"][1])
    by_id = {Architecture.from_json(entry["architecture"]).id: entry for entry in trained}
    members = {}
    for entry in front["members"]:
        architecture = Architecture.from_json(entry["architecture"])
        members[architecture.id] = _member(
            run, architecture, entry["trial"], by_id.get(architecture.id), objective
        )
    numbers = _numbers(front)
    for name, row in by_id.items():
        if name not in members:
            architecture = Architecture.from_json(row["architecture"])
            members[name] = _member(run, architecture, numbers.get(name), row, objective)
    return tuple(sorted(members.values(), key=_latency_ms))


def _numbers(front: Mapping[str, Any]) -> dict[str, int]:
    """Return the trial that first trained an architecture, by id."""
    return {
        Architecture.from_json(trial["architecture"]).id: int(trial["number"])
        for trial in reversed(front["trials"])
        if trial["architecture"] and trial["state"] == "COMPLETE" and trial["duplicate_of"] is None
    }


def _member(
    run: RunDirectory,
    architecture: Architecture,
    trial: int | None,
    trained: Mapping[str, Any] | None,
    objective: str,
) -> Member:
    record = run.read_trial(trial) if trial is not None else {}
    return Member(
        architecture=architecture,
        trial=trial,
        parameters=record.get("parameters"),
        search_quality=record.get("quality"),
        search_latency=record.get("latency"),
        search_cost=record.get("measurements", {}).get(objective),
        trained=trained,
        verified=passed_verification(run.bundle(architecture.id)),
        candidates=_candidates(run.bundle(architecture.id)),
    )


def _latency_ms(member: Member) -> float:
    return float(member.latency["latency_ms"]) if member.latency else float("inf")


def _candidates(bundle: Path) -> tuple[Candidate, ...]:
    return tuple(candidates_of(read_manifest(bundle).content)) if (bundle / MANIFEST_NAME).is_file() else ()


def _identity(run: RunDirectory) -> Mapping[str, Any]:
    if not run.exists:
        return {}
    config = run.load_config()
    if config.storage == JOURNAL and not run.study_journal.is_file():
        return {}
    study = SearchStudy(place_of_run(run, config), read_only=True)
    try:
        return study.identity
    finally:
        study.close()


def _last_event(run: RunDirectory) -> str | None:
    return next((str(event["time"]) for event in _latest_events(run) if "time" in event), None)


def _estimator_report(run: RunDirectory) -> EstimatorReport | None:
    found = _latest_event(run, "estimator report")
    return None if found is None else EstimatorReport.from_json(found["estimator_report"])


def _transfer(run: RunDirectory) -> Transfer | None:
    found = _latest_event(run, "transfer")
    return None if found is None else Transfer.from_json(found["transfer"])


def _latest_event(run: RunDirectory, name: str) -> Mapping[str, Any] | None:
    return next((event for event in _latest_events(run) if event.get("event") == name), None)


def _latest_events(run: RunDirectory) -> Iterator[Mapping[str, Any]]:
    """Yield what happened, the latest first."""
    yield from reversed(read_events(run).events)
