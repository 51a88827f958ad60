"""The networks that a run found: a Pareto front with typed members."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from hwnas.architecture import Architecture
from hwnas.bundle.trained_member import TrainedMember
from hwnas.data_frame import data_frame
from hwnas.errors import StudyError
from hwnas.latency.measurement import LatencyMeasurement
from hwnas.pareto import knee_of
from hwnas.search.records import FrontMemberRow, TrialRow
from hwnas.search.run_directory import RunDirectory
from hwnas.tasks.base import Quality
from hwnas.text import counted, figure, html_table, one_line

if TYPE_CHECKING:
    import pandas as pd

SEARCH, FULL_TRAINING = "search", "full training"


@dataclass(frozen=True)
class EngineBuilds:
    """Several builds of one engine, of which the fastest was kept.

    Attributes:
        made: how many.
        spread: how much longer the slowest takes than the fastest, relatively.
    """

    made: int
    spread: float


@dataclass(frozen=True)
class FrontMember:
    """A network on a front, as it was evaluated and measured.

    Attributes:
        architecture: description of the network, from which its search space builds it.
        quality: quality on the validation split, after the training of the front's stage.
        latency: latency of the network alone on the target of the run; None where it was not measured. On the
            front of a search it was clocked untrained under the quick protocol (`measuring.search`); at full
            budget `Run.train` clocked it anew under the final one (`measuring.final`). `Run.export` clocks
            the exported file once more, see `Bundle.latency`.
        objective: second objective of the run, in the unit that the front states; None where it is missing.
        measurements: everything that was measured, by name, such as `p99_ms@10hz`; units are in the names.
        trial: number of the trial that found it; None if the study does not list it any more.
        weights: safetensors file of its weights; None before full training.
        exceeds: constraints of the run that it breaks in its final measurements.
        builds: how far repeated builds of its engine differ; None where no engine was built more than once.
    """

    architecture: Architecture
    quality: Quality
    latency: LatencyMeasurement | None
    objective: float | None
    measurements: Mapping[str, float] = field(default_factory=dict)
    trial: int | None = None
    weights: Path | None = None
    exceeds: tuple[str, ...] = ()
    builds: EngineBuilds | None = None

    @property
    def id(self) -> str:
        """Content id of the architecture, which names its checkpoint and its bundle."""
        return self.architecture.id

    @property
    def error(self) -> float:
        """1 - the task's metric, 0 to 1."""
        return self.quality.error

    @property
    def latency_ms(self) -> float | None:
        """Median latency of the network alone."""
        return self.latency.latency_ms if self.latency is not None else None

    def __repr__(self) -> str:
        """Return the figures that matter most, in a line."""
        return one_line(
            self,
            self.id,
            f"{self.quality.metric} {self.quality.value:.4f}",
            f"latency {figure(self.latency_ms)} ms" if self.latency_ms is not None else "",
            f"exceeds {' and '.join(self.exceeds)}" if self.exceeds else "",
        )


@dataclass(frozen=True)
class Front(Sequence[FrontMember]):
    """A Pareto front: networks of which none is beaten in both objectives by another, by ascending error.

    It is a sequence of its members.

    Attributes:
        members: the networks.
        stage: `search` after the short trainings of a search, `full training` at full budget.
        objective: name of what was minimised beside the error, such as `latency_ms`.
        unit: unit of the objective.
        constraints: hard limits of the run, such as `p99_ms@10hz <= 40`.
        hypervolume: hypervolume of the search, at `reference_point`; None at full budget, where few networks
            are trained.
        reference_point: the worst corner, as error and objective.
    """

    members: tuple[FrontMember, ...]
    stage: str
    objective: str
    unit: str
    constraints: tuple[str, ...] = ()
    hypervolume: float | None = None
    reference_point: tuple[float, float] | None = None

    @overload
    def __getitem__(self, index: int) -> FrontMember: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[FrontMember, ...]: ...

    def __getitem__(self, index: int | slice) -> FrontMember | tuple[FrontMember, ...]:
        """Return a member by its place, or several as a tuple."""
        return self.members[index]

    def __len__(self) -> int:
        """Return the number of members."""
        return len(self.members)

    def __iter__(self) -> Iterator[FrontMember]:
        """Go through the members by ascending error."""
        return iter(self.members)

    @property
    def metric(self) -> str:
        """Name of the task's metric; empty if there is no member."""
        return self.members[0].quality.metric if self.members else ""

    @property
    def knee(self) -> FrontMember:
        """The member that lies farthest below the line between the ends of the front.

        Raises:
            StudyError: if no member has both objectives.
        """
        placed = [member for member in self.members if member.objective is not None]
        if not placed:
            raise StudyError(
                "A front without a measured member has no knee: train and measure networks first."
            )
        return knee_of(placed, lambda member: (member.error, float(member.objective or 0.0)))

    def to_dataframe(self) -> pd.DataFrame:
        """Return one row for each member: quality, objectives, everything measured, genes.

        Columns of genes are named `gene.NAME`; those of other measurements by their own names.

        Raises:
            PluginError: if pandas is not installed.
        """
        return data_frame([self._row(member) for member in self.members])

    def _row(self, member: FrontMember) -> dict[str, Any]:
        low, high = member.latency.interval_ms if member.latency is not None else (None, None)
        named = {self.objective: member.objective} if self.objective != "latency_ms" else {}
        return {
            "id": member.id,
            "trial": member.trial,
            self.metric: member.quality.value,
            "error": member.error,
            "latency_ms": member.latency_ms,
            "latency_low_ms": low,
            "latency_high_ms": high,
            "is_stable": member.latency.is_stable if member.latency is not None else None,
            **named,
            **member.measurements,
            **{f"gene.{name}": value for name, value in member.architecture.genes.items()},
        }

    def _repr_html_(self) -> str:
        """Return a small table for notebooks; text from outside is escaped."""
        heads = ["id", self.metric or "metric", f"{self.objective} ({self.unit})", "latency, ms"]
        rows = [
            [
                member.id,
                f"{member.quality.value:.4f}",
                _number(member.objective),
                _number(member.latency_ms),
            ]
            for member in self.members
        ]
        return html_table(f"Pareto front after {self.stage}: {counted(len(self), 'network')}", heads, rows)

    def __repr__(self) -> str:
        """Return the figures that matter most, in a line."""
        return one_line(
            self,
            f"{counted(len(self), 'network')} after {self.stage}",
            _span(self.metric, [member.quality.value for member in self], "{:.4f}".format, ""),
            _span(self.objective, [each.objective for each in self], figure, self.unit),
        )


def _span(name: str, values: Sequence[float | None], shown: Callable[[float], str], unit: str) -> str:
    known = [value for value in values if value is not None]
    return f"{name} {shown(min(known))} to {shown(max(known))} {unit}".strip() if known else ""


def _number(value: float | None) -> str:
    return "" if value is None else figure(value)


def front_of_search(run: RunDirectory) -> Front:
    """Return the front of a search as `front.json` holds it; it may be empty while the search is young.

    Raises:
        StudyError: if it is missing or damaged.
    """
    content = run.read_front()
    members = [_searched_member(entry, run) for entry in content["members"]]
    first, second = content["reference_point"]
    return Front(
        members=tuple(sorted(members, key=lambda member: member.error)),
        stage=SEARCH,
        objective=str(content["objectives"][1]),
        unit=str(content["unit"]),
        constraints=tuple(str(each) for each in content["constraints"]),
        hypervolume=float(content["hypervolume"]),
        reference_point=(float(first), float(second)),
    )


def trained_networks(run: RunDirectory, *, only_front: bool) -> Front:
    """Return the networks at full budget as `trained.json` holds them.

    Args:
        run: the run.
        only_front: leave out those that others beat, or that break a constraint.

    Raises:
        StudyError: if nothing was trained in full, or a file of the run is damaged.
    """
    searched = run.read_front()
    trials = {_id_of(entry): int(entry["number"]) for entry in searched["trials"] if entry["architecture"]}
    trained = [member for member in trained_members(run) if member.on_front or not only_front]
    members = (_full_member(member, trials.get(member.architecture.id)) for member in trained)
    return Front(
        members=tuple(sorted(members, key=lambda member: member.error)),
        stage=FULL_TRAINING,
        objective=str(searched["objectives"][1]),
        unit=str(searched["unit"]),
        constraints=tuple(str(each) for each in searched["constraints"]),
    )


def trained_members(run: RunDirectory) -> list[TrainedMember]:
    """Return the networks at full budget as `trained.json` lists them: the one reader of its members.

    Raises:
        StudyError: if nothing was trained in full, or the file is damaged.
    """
    return [TrainedMember.from_json(entry, run.path) for entry in run.read_trained()["members"]]


def _full_member(member: TrainedMember, trial: int | None) -> FrontMember:
    builds = member.builds
    return FrontMember(
        architecture=member.architecture,
        quality=member.quality,
        latency=member.latency,
        objective=member.cost,
        measurements=member.measurements,
        trial=trial,
        weights=member.weights,
        exceeds=member.exceeds,
        builds=EngineBuilds(len(builds["made"]), float(builds["spread"])) if builds else None,
    )


def _id_of(entry: TrialRow) -> str:
    return Architecture.from_json(entry["architecture"] or {}).id


def _searched_member(entry: FrontMemberRow, run: RunDirectory) -> FrontMember:
    try:
        latency = entry["latency"]
        return FrontMember(
            architecture=Architecture.from_json(entry["architecture"]),
            quality=Quality.from_json(entry["quality"]),
            latency=LatencyMeasurement.from_json(latency) if latency else None,
            objective=entry["cost"],
            measurements={str(name): float(value) for name, value in entry["measurements"].items()},
            trial=int(entry["trial"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise StudyError(
            f"A network of {run.path} cannot be read ({error!r}); another version of hwnas may have written "
            "it. Go on with `hwnas search RUN --resume`, which writes the front anew."
        ) from error
