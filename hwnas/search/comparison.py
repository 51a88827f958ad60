"""What a comparison of a run's networks with hand-crafted ones found, as `comparison.json`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from html import escape
from statistics import fmean
from typing import TYPE_CHECKING, Any

from hwnas.architecture import Architecture
from hwnas.data_frame import data_frame
from hwnas.errors import StudyError
from hwnas.front_comparison import Point, Reduction, cost_reduction, error_reduction
from hwnas.latency.measurement import LatencyMeasurement
from hwnas.search.run_directory import SCHEMA_VERSION
from hwnas.tasks.base import Quality
from hwnas.tasks.constant_answers import has_learned_nothing
from hwnas.text import figure

if TYPE_CHECKING:
    import pandas as pd

_LEAST_ERROR = 1e-6
"""A network without an error counts as if it made one in a million, since ratios need one."""
_WHOLE = 0.995
_Reducing = Callable[[Sequence[Point], Sequence[Point]], Reduction]


@dataclass(frozen=True)
class ComparedNetwork:
    """One network of a comparison.

    Attributes:
        name: name of a hand-crafted network, such as `salsanext x 0.5, 64 x 512`; the id of one that was
            searched.
        architecture: description of the network, from which its search space builds it.
        is_searched: whether the run's search found it.
        qualities: quality on the validation split, one for each seed of training.
        latency: latency of the network alone, in the session in which all were measured.
        objective: second objective of the run, in the unit that the comparison states.
        measurements: everything that was measured, by name; units are in the names.
    """

    name: str
    architecture: Architecture
    is_searched: bool
    qualities: tuple[Quality, ...]
    latency: LatencyMeasurement
    objective: float
    measurements: Mapping[str, float]

    @property
    def error(self) -> float:
        """1 - the task's metric, averaged over the seeds."""
        return fmean(quality.error for quality in self.qualities)

    @property
    def value(self) -> float:
        """The task's metric, averaged over the seeds."""
        return 1.0 - self.error

    @property
    def shown_value(self) -> str:
        """The metric for people, with a remark on networks that have learned nothing."""
        return f"{self.value:.4f}{' (untrained)' if self.is_untrained else ''}"

    @property
    def is_untrained(self) -> bool:
        """Whether one of its trainings left it no better than a constant answer."""
        return any(has_learned_nothing(quality) for quality in self.qualities)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "name": self.name,
            "architecture": self.architecture.to_json(),
            "is_searched": self.is_searched,
            "is_untrained": self.is_untrained,
            "qualities": [quality.to_json() for quality in self.qualities],
            "latency": self.latency.to_json(),
            "objective": self.objective,
            "measurements": dict(self.measurements),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> ComparedNetwork:
        """Rebuild from `to_json`."""
        return cls(
            name=str(value["name"]),
            architecture=Architecture.from_json(value["architecture"]),
            is_searched=bool(value["is_searched"]),
            qualities=tuple(Quality.from_json(quality) for quality in value["qualities"]),
            latency=LatencyMeasurement.from_json(value["latency"]),
            objective=float(value["objective"]),
            measurements={str(name): float(number) for name, number in value["measurements"].items()},
        )


@dataclass(frozen=True)
class BaselineComparison:
    """A run's networks beside hand-crafted ones, trained by one recipe and measured in one session.

    Attributes:
        networks: all of them, by ascending objective.
        objective: what was minimised beside the error, such as `latency_ms`.
        unit: unit of the objective.
        steps: number of steps of each training.
        seeds: seeds of the trainings.
    """

    networks: tuple[ComparedNetwork, ...]
    objective: str
    unit: str
    steps: int
    seeds: tuple[int, ...]

    @property
    def metric(self) -> str:
        """Name of the task's metric."""
        return self.networks[0].qualities[0].metric

    @property
    def searched(self) -> tuple[ComparedNetwork, ...]:
        """Those that the search found."""
        return tuple(network for network in self.networks if network.is_searched)

    @property
    def hand_crafted(self) -> tuple[ComparedNetwork, ...]:
        """Those that they are compared with."""
        return tuple(network for network in self.networks if not network.is_searched)

    @property
    def untrained(self) -> tuple[ComparedNetwork, ...]:
        """Those that are no better than a constant answer; reductions leave them out."""
        return tuple(network for network in self.networks if network.is_untrained)

    @property
    def error_reduction(self) -> Reduction | None:
        """How much less error the searched networks make at an equal objective, seeds averaged.

        None if all networks of one kind are untrained.
        """
        return self._reduction(error_reduction)

    @property
    def objective_reduction(self) -> Reduction | None:
        """How much less of the objective, such as latency, they need at equal error, seeds averaged.

        None if all networks of one kind are untrained.
        """
        return self._reduction(cost_reduction)

    @property
    def error_reductions_by_seed(self) -> tuple[Reduction, ...]:
        """The error reduction that each seed alone would have shown: how far chance moves it."""
        return self._reductions_by_seed(error_reduction)

    @property
    def objective_reductions_by_seed(self) -> tuple[Reduction, ...]:
        """The reduction of the objective that each seed alone would have shown."""
        return self._reductions_by_seed(cost_reduction)

    def _reduction(self, reduction: _Reducing, seed: int | None = None) -> Reduction | None:
        ours, theirs = (
            [network for network in networks if not network.is_untrained]
            for networks in (self.searched, self.hand_crafted)
        )
        return reduction(_points(ours, seed), _points(theirs, seed)) if ours and theirs else None

    def _reductions_by_seed(self, reduction: _Reducing) -> tuple[Reduction, ...]:
        found = (self._reduction(reduction, place) for place in range(len(self.seeds)))
        return tuple(each for each in found if each is not None)

    @property
    def warnings(self) -> tuple[str, ...]:
        """Which networks have learned nothing, in words, and what that means."""
        if not self.untrained:
            return ()
        names = ", ".join(f"{each.name} ({self.metric} {each.value:.4f})" for each in self.untrained)
        said = f"No better than a constant answer after {self.steps} steps, and so untrained: {names}."
        if self.error_reduction is not None:
            return (f"{said} The comparison leaves them out; train longer to compare with them.",)
        whose = "hand-crafted" if all(each.is_untrained for each in self.hand_crafted) else "searched"
        return (f"{said} No {whose} network is left to compare with: train all of them longer.",)

    @property
    def sentences(self) -> tuple[str, ...]:
        """Both reductions in words; none where nothing can be compared, see `warnings`."""
        error, objective = self.error_reduction, self.objective_reduction
        if error is None or objective is None:
            return ()
        by_seed = self.error_reductions_by_seed, self.objective_reductions_by_seed
        return (
            _sentence("error", self.objective, f" {self.unit}", error, by_seed[0]),
            _sentence(self.objective, "error", "", objective, by_seed[1]),
        )

    def to_dataframe(self) -> pd.DataFrame:
        """Return one row for each network: name, quality of each seed, everything measured.

        Raises:
            PluginError: if pandas is not installed.
        """
        return data_frame(
            {
                "name": network.name,
                "id": network.architecture.id,
                "is_searched": network.is_searched,
                "is_untrained": network.is_untrained,
                self.metric: network.value,
                **{
                    f"{self.metric}.seed{seed}": quality.value
                    for seed, quality in zip(self.seeds, network.qualities, strict=True)
                },
                **network.measurements,
            }
            for network in self.networks
        )

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values; reductions are shares, of which 0.1 means a tenth less.

        They are None, like in Python, where all networks of one kind are untrained.
        """
        return {
            "schema_version": SCHEMA_VERSION,
            "objective": self.objective,
            "unit": self.unit,
            "metric": self.metric,
            "steps": self.steps,
            "seeds": list(self.seeds),
            "error_reduction_at_equal_objective": _json(self.error_reduction),
            "objective_reduction_at_equal_error": _json(self.objective_reduction),
            "error_reductions_by_seed": [asdict(each) for each in self.error_reductions_by_seed],
            "objective_reductions_by_seed": [asdict(each) for each in self.objective_reductions_by_seed],
            "warnings": list(self.warnings),
            "networks": [network.to_json() for network in self.networks],
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> BaselineComparison:
        """Rebuild from `to_json`; reductions are computed anew.

        Raises:
            StudyError: if a key is missing or a value is of another kind.
        """
        try:
            return cls(
                networks=tuple(ComparedNetwork.from_json(network) for network in value["networks"]),
                objective=str(value["objective"]),
                unit=str(value["unit"]),
                steps=int(value["steps"]),
                seeds=tuple(int(seed) for seed in value["seeds"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise StudyError(
                f"A comparison cannot be read ({error!r}); another version of hwnas may have written it. "
                "Compare again."
            ) from error

    def __repr__(self) -> str:
        """Return the figures that one looks for."""
        error, objective = self.error_reduction, self.objective_reduction
        networks = f"{len(self.searched)} searched and {len(self.hand_crafted)} hand-crafted networks"
        if self.untrained:
            networks += f", {len(self.untrained)} of them untrained"
        if error is None or objective is None:
            return f"BaselineComparison({networks}: nothing to compare)"
        return (
            f"BaselineComparison({networks}, error {-error.share:+.1%} at equal {self.objective}, "
            f"{self.objective} {-objective.share:+.1%} at equal error)"
        )

    def _repr_html_(self) -> str:
        """Return a small table for notebooks; text from outside is escaped."""
        heads = ("network", self.metric, f"{self.objective} ({self.unit})", "latency, ms")
        rows = [
            (each.name, each.shown_value, figure(each.objective), figure(each.latency.latency_ms))
            for each in self.networks
        ]
        head = "".join(f"<th>{escape(name)}</th>" for name in heads)
        body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
        said = "".join(f"<p>{escape(text)}</p>" for text in (*self.warnings, *self.sentences))
        return f"{said}<table><tr>{head}</tr>{body}</table>"


def _json(reduction: Reduction | None) -> dict[str, float] | None:
    return None if reduction is None else asdict(reduction)


def _points(networks: Sequence[ComparedNetwork], seed: int | None = None) -> list[Point]:
    """Return objective and error of networks, averaged over the seeds or of one, by its place."""
    errors = (network.error if seed is None else network.qualities[seed].error for network in networks)
    return [
        (network.objective, max(error, _LEAST_ERROR)) for network, error in zip(networks, errors, strict=True)
    ]


def _sentence(quantity: str, other: str, unit: str, found: Reduction, by_seed: Sequence[Reduction]) -> str:
    shares = sorted(each.share for each in by_seed)
    chance = f" ({_change(shares[0])} to {_change(shares[-1])}, by seed)" if len(shares) > 1 else ""
    start = ""
    if found.coverage <= _WHOLE:
        start = f" from {figure(found.lower)}{unit} on, where the searched ones begin"
    return f"At equal {other}, the searched networks have {_change(found.share)} {quantity}{chance}{start}."


def _change(reduction: float) -> str:
    return f"{abs(reduction):.1%} {'less' if reduction >= 0 else 'more'}"
