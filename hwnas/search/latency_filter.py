"""What a search knows of a network's latency before it measures it: predictions of a latency table.

Decision of the design: a network is rejected unmeasured only when even the lower end of its predicted
interval is over the limit. Every network that is measured corrects the predictor.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from hwnas.architecture import Architecture
from hwnas.config import AUTO, RunConfig
from hwnas.errors import LatencyTableError
from hwnas.latency.measurement import LatencyMeter
from hwnas.latency.predict.predictor import LatencyPredictor
from hwnas.latency.predict.table import LatencyTable, load_table
from hwnas.models.cost import count_macs, count_parameters
from hwnas.objectives import LATENCY, SIZES, Metric, Objectives
from hwnas.onnx_graphs.precision.kinds import FP32
from hwnas.search.strategies import LatencyPrediction
from hwnas.search.trial_summary import TrialSummary
from hwnas.search_spaces.base import SearchSpace

DIRECTORY = "latency_tables"
"""Where tables are looked for, below the working directory and beside the package."""
_PACKAGE = Path(__file__).parents[1]
_SHIPPED = (_PACKAGE / DIRECTORY, _PACKAGE.parent / DIRECTORY)
"""Where tables come with an installed wheel, and with a checkout."""


class LatencyFilter:
    """Predicts, rejects, and learns; without a table it does nothing of that."""

    def __init__(self, table: LatencyTable | None, space: SearchSpace, objectives: Objectives) -> None:
        """Prepare for a search.

        Args:
            table: that fits the target.
            space: searched.
            objectives: limits; a network is rejected only where the latency alone is limited, since nothing
                is known of other metrics.
        """
        self._table = table
        self._predictor: LatencyPredictor | None = table.predictor(space) if table is not None else None
        metrics = [constraint.metric for constraint in objectives.constraints]
        self._upper_ms = objectives.upper(Metric(LATENCY)) if metrics == [Metric(LATENCY)] else None

    @property
    def is_available(self) -> bool:
        """Whether there is a table."""
        return self._predictor is not None

    def predict(self, architecture: Architecture) -> LatencyPrediction | None:
        """Return the latency of a network; None where the table does not cover it."""
        return self.predict_many([architecture])[0]

    def predict_many(self, architectures: Sequence[Architecture]) -> list[LatencyPrediction | None]:
        """Return the latencies of networks, in their order; None where the table does not cover one."""
        predictions: list[LatencyPrediction | None] = [None] * len(architectures)
        if self._predictor is None or self._table is None:
            return predictions
        covered = [index for index, one in enumerate(architectures) if self._table.covers(one)]
        found = self._predictor.predict([architectures[index] for index in covered])
        for place, index in enumerate(covered):
            interval = float(found.low_ms[place]), float(found.high_ms[place])
            predictions[index] = LatencyPrediction(float(found.latency_ms[place]), interval)
        return predictions

    def rejects(self, prediction: LatencyPrediction | None) -> bool:
        """Return whether a network is over the limit even if it is as fast as can be."""
        return (
            prediction is not None
            and self._upper_ms is not None
            and prediction.interval_ms[0] > self._upper_ms
        )

    def learn(self, architecture: Architecture, measured_ms: float) -> None:
        """Correct the predictor by a network that was measured."""
        if self._predictor is not None and self._table is not None and self._table.covers(architecture):
            self._predictor.correct(architecture, measured_ms)

    def learn_from(self, trials: Iterable[TrialSummary]) -> None:
        """Correct the predictor by what earlier sessions measured."""
        for trial in trials:
            if trial.architecture is not None and trial.latency_ms is not None and trial.duplicate_of is None:
                self.learn(trial.architecture, trial.latency_ms)


def table_of_run(
    config: RunConfig, space: SearchSpace, meter: LatencyMeter
) -> tuple[Path, LatencyTable] | None:
    """Return the latency table that a run uses, and its file; None if there is none.

    Raises:
        LatencyTableError: if the run names a table that is damaged, or of another target or space.
    """
    wanted = config.measuring.table
    if wanted is None:
        return None
    if wanted != AUTO:
        path = Path(wanted)
        table = load_table(path)
        table.check_fingerprint(meter.fingerprint())
        if (table.space, table.precision) != (space.name, FP32):
            raise LatencyTableError(
                f"{path} is of the space {table.space!r} in {table.precision}, but the run searches "
                f"{space.name!r} in {FP32}. Make one with `hwnas profile --run`."
            )
        return path, table
    for directory in (Path.cwd() / DIRECTORY, *_SHIPPED):
        for path in sorted(directory.glob("*.json")):
            found = _fitting(path, space, meter)
            if found is not None:
                return path, found
    return None


def _fitting(path: Path, space: SearchSpace, meter: LatencyMeter) -> LatencyTable | None:
    """Return the table in a file if it is one for this target and space."""
    try:
        table = load_table(path)
        table.check_fingerprint(meter.fingerprint())
    except LatencyTableError:
        return None
    return table if (table.space, table.precision) == (space.name, FP32) else None


def may_fit(
    architecture: Architecture, space: SearchSpace, latency_filter: LatencyFilter, objectives: Objectives
) -> bool:
    """Return whether a network may be within the hard limits, as far as can be told without measuring it.

    Latencies are those of the table, if there is one; sizes are counted, see `sizes_fit`.
    """
    return not latency_filter.rejects(latency_filter.predict(architecture)) and sizes_fit(
        architecture, space, objectives
    )


def sizes_fit(architecture: Architecture, space: SearchSpace, objectives: Objectives) -> bool:
    """Return whether a network is within the limits on parameters and operations, which need no clock.

    They are counted before batch normalisation is folded, which makes the exported network a little smaller.
    """
    sizes = [constraint for constraint in objectives.constraints if constraint.metric.name in SIZES]
    if not sizes:
        return True
    module = space.build(architecture)
    found = {
        "parameters_m": count_parameters(module) / 1e6,
        "gmacs": count_macs(module, architecture.input_shape) / 1e9,
    }
    return all(found[constraint.metric.name] <= constraint.upper for constraint in sizes)
