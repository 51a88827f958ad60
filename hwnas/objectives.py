"""What a search optimises: metrics by name, and constraints on them such as `p99_ms@10hz <= 40`.

Metrics of different clocks have different names and never stand in for one another:

* `latency_ms`: the network alone, one inference after the other, input resident;
* `e2e_ms`: projection, transfers, network and labels of points, one scan after the other;
* `median_ms@10hz`, `p90_ms@10hz`, `p95_ms@10hz`, `p99_ms@10hz`: the network alone at the rate of a sensor,
  idle between frames;
* `parameters_m` and `gmacs`: of the exported network, batch normalisation folded; they need no clock.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches

from hwnas.errors import ConfigError

LATENCY = "latency_ms"
END_TO_END = "e2e_ms"
FIXED_RATE = ("median_ms", "p90_ms", "p95_ms", "p99_ms")
RESOURCES = (
    "peak_memory_mb",
    "gpu_memory_mb",
    "model_size_mb",
    "engine_size_mb",
    "energy_mj",
    "load_ms",
    "load_warm_ms",
)
SIZES = ("parameters_m", "gmacs")
_UNITS = {"ms": "ms", "mb": "MiB", "mj": "mJ", "m": "million", "gmacs": "GMAC"}
_METRIC = re.compile(r"([a-z0-9_]+)\s*(?:@\s*([0-9.]+)\s*hz)?", re.IGNORECASE)
_EXAMPLE = "p99_ms@10hz <= 40"


@dataclass(frozen=True)
class Metric:
    """One metric of a network on a target; less is better.

    Attributes:
        name: such as `latency_ms` or `p99_ms`.
        rate_hz: of the frames, for metrics at a fixed rate; None for all others.
    """

    name: str
    rate_hz: float | None = None

    @classmethod
    def parse(cls, text: str) -> Metric:
        """Read such as `e2e_ms` or `p99_ms@10hz`.

        Raises:
            ConfigError: if there is no such metric, or a rate is missing, out of place or out of range.
        """
        match = _METRIC.fullmatch(text.strip())
        known = (LATENCY, END_TO_END, *FIXED_RATE, *RESOURCES, *SIZES)
        if match is None or match[1].lower() not in known:
            near = get_close_matches(match[1].lower() if match else text, known, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise ConfigError(f"There is no metric {text.strip()!r}; known are {', '.join(known)}.{hint}")
        name, rate = match[1].lower(), match[2]
        if (name in FIXED_RATE) != (rate is not None):
            wanted = f"needs a rate, such as {name}@10hz" if rate is None else f"has no rate; write {name}"
            raise ConfigError(f"The metric {text!r} {wanted}.")
        return cls(name) if rate is None else cls(name, _rate(rate, text))

    def __str__(self) -> str:
        """Return the canonical form, which `parse` reads."""
        return self.name if self.rate_hz is None else f"{self.name}@{self.rate_hz:g}hz"

    @property
    def unit(self) -> str:
        """Unit of the metric, for people, such as `ms` or `MiB`."""
        return _UNITS[self.name.rpartition("_")[2]]


@dataclass(frozen=True)
class Constraint:
    """The upper bound of a metric."""

    metric: Metric
    upper: float

    @classmethod
    def parse(cls, text: str) -> Constraint:
        """Read such as `p99_ms@10hz <= 40`.

        Raises:
            ConfigError: if it is not a metric, `<=` and a positive number.
        """
        metric, sign, number = text.partition("<=")
        if not sign:
            raise ConfigError(f"A limit is written like {_EXAMPLE!r}, but got {text!r}.")
        try:
            upper = float(number)
        except ValueError as error:
            raise ConfigError(
                f"A limit ends with a number, like {_EXAMPLE!r}, but {text!r} does not."
            ) from error
        if not 0 < upper < float("inf"):
            raise ConfigError(f"A limit must be positive and finite, but {text!r} is not.")
        return cls(Metric.parse(metric), upper)

    def __str__(self) -> str:
        """Return the canonical form, which `parse` reads."""
        return f"{self.metric} <= {self.upper:.12g}"


@dataclass(frozen=True)
class Objectives:
    """What a search minimises beside the error, and the constraints that no candidate may break.

    Attributes:
        objective: the second objective.
        constraints: at most one on each metric.
    """

    objective: Metric = Metric(LATENCY)
    constraints: tuple[Constraint, ...] = ()

    def __post_init__(self) -> None:
        """Refuse two limits on one metric.

        Raises:
            ConfigError: naming the metric.
        """
        names = [str(constraint.metric) for constraint in self.constraints]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ConfigError(f"A metric has one limit, but {', '.join(twice)} has more; keep one.")

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """All metrics to be measured: `latency_ms` always, each once."""
        found = [Metric(LATENCY), self.objective, *(constraint.metric for constraint in self.constraints)]
        return tuple(dict.fromkeys(found))

    def upper(self, metric: Metric) -> float | None:
        """Return the limit on a metric, None if there is none."""
        return next(
            (constraint.upper for constraint in self.constraints if constraint.metric == metric), None
        )

    def excess(self, measurements: Mapping[str, float]) -> dict[str, float]:
        """Return for every constraint by how much it is exceeded; feasible at zero or less."""
        return {
            str(constraint.metric): measurements[str(constraint.metric)] - constraint.upper
            for constraint in self.constraints
        }

    def worst_factor(self, measurements: Mapping[str, float]) -> float:
        """Return by which factor the worst constraint is over its limit; 0 without constraints."""
        factors = (measurements[str(each.metric)] / each.upper for each in self.constraints)
        return max(factors, default=0.0)

    def exceeded(self, measurements: Mapping[str, float]) -> list[Constraint]:
        """Return the constraints that measurements break."""
        excess = self.excess(measurements)
        return [constraint for constraint in self.constraints if excess[str(constraint.metric)] > 0]


def _rate(rate: str, text: str) -> float:
    try:
        value = float(rate)
    except ValueError as error:
        raise ConfigError(f"The rate in {text!r} must be a number of Hz, such as 10hz.") from error
    if not 0 < value <= 1000:
        raise ConfigError(f"The rate in {text!r} must lie above 0 and up to 1000 Hz.")
    return value
