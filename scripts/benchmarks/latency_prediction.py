#!/usr/bin/env python3
"""How well a latency table predicts networks that it has never seen.

    python scripts/benchmarks/latency_prediction.py --target 'local?threads=1' --out DIR [--json]

Makes a table (`hwnas profile`) unless `--table` names one, then measures other networks, drawn uniformly
from the same space, and some of them once more from the start: how well the second measurement predicts the
first is the best that any prediction can do. Everything that was measured stays in DIR, and the same command
goes on with it. Prints Markdown, draws DIR/prediction.svg, and with `--json` ends in one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

from hwnas.architecture import Architecture
from hwnas.errors import MeasurementError
from hwnas.files import write_bytes_atomically, write_json_atomically
from hwnas.io_spec import NetworkContract, dense_logits
from hwnas.latency.measure.meter import open_meter
from hwnas.latency.measure.survey import SurveyedNetwork, open_survey
from hwnas.latency.predict.decomposition import kernels_of_space
from hwnas.latency.predict.experiment_design import affordable
from hwnas.latency.predict.exporting import Exporter, idle_cores, io_spec_of
from hwnas.latency.predict.fitting import errors_of
from hwnas.latency.predict.machine_speed import MachineSpeed
from hwnas.latency.predict.predictor import LatencyPredictor
from hwnas.latency.predict.profiling import ProfileProgress, ProfileSettings
from hwnas.latency.predict.table import LatencyTable, load_table
from hwnas.latency.predict.table_making import make_table
from hwnas.onnx_graphs.precision.kinds import FP16, FP32
from hwnas.search_spaces.base import SearchSpace, make_search_space, sample_choices

Visits = list[SurveyedNetwork]
"""A network clocked at different times."""
TIMED = 10_000
_MODELS = "models"
CONFIDENCE = 0.95


def main() -> None:
    """Measure what is missing, predict, print."""
    arguments = _arguments()
    arguments.out.mkdir(parents=True, exist_ok=True)
    contract = NetworkContract(5, 64, (arguments.width,), dense_logits(19), cyclic_width=True)
    space = make_search_space(arguments.space, contract)
    table = _table(arguments, space, contract)
    unseen = _unseen(space, table, arguments)
    budget_s = arguments.test_budget_s and arguments.test_budget_s / arguments.visits
    first = _visited(arguments, space, contract, unseen, "first", budget_s)
    repeated = list(first)[: arguments.repeats]
    again = _visited(arguments, space, contract, repeated, "again", budget_s and budget_s / 2)
    shutil.rmtree(arguments.out / _MODELS, ignore_errors=True)
    print(f"command: {' '.join(['scripts/benchmarks/latency_prediction.py', *sys.argv[1:]])}")
    print(f"machine: {_machine()}, {os.cpu_count()} processors; target: {table.target}\n")
    assessment = Assessment(table, space, first, again)
    assessment.show()
    _draw(arguments.out / "prediction.svg", table, space, first)
    if arguments.json:
        print(json.dumps(assessment.to_json()))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--target", default="local?backend=onnxruntime-cpu&threads=1")
    parser.add_argument("--space", default="range-unet")
    parser.add_argument("--precision", choices=(FP32, FP16), default=FP32, help="of the networks")
    parser.add_argument("--width", type=int, default=512, help="input width")
    parser.add_argument("--table", type=Path, help="an existing table; one is made in --out if absent")
    parser.add_argument("--budget-s", type=float, default=540.0, help="of making a table")
    parser.add_argument("--networks", type=int, default=300, help="to measure that the table has not seen")
    parser.add_argument("--visits", type=int, default=3, help="times that each network is clocked")
    parser.add_argument(
        "--test-budget-s", type=float, help="measure no more of them after so long; half of it for repeats"
    )
    parser.add_argument("--repeats", type=int, default=100, help="of these to measure once more")
    parser.add_argument("--seed", type=int, default=12345, help="of the networks not seen")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def _machine() -> str:
    for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines() if sys.platform == "linux" else ():
        if line.startswith("model name"):
            return f"{line.partition(':')[2].strip()}, {platform.machine()}"
    return platform.machine()


def _table(arguments: argparse.Namespace, space: SearchSpace, contract: NetworkContract) -> LatencyTable:
    """Return the table that is asked for, made if there is none."""
    path = arguments.table or arguments.out / "table.json"
    if not path.exists() and not arguments.table:
        settings = ProfileSettings(budget_s=arguments.budget_s, precision=arguments.precision)
        started = time.monotonic()
        made = make_table(
            arguments.target, space, contract, arguments.out / "profile", settings, _say_progress
        )
        made.save(path)
        _say(f"table of {len(made.networks)} networks made in {time.monotonic() - started:.0f} s")
    table = load_table(path)
    if table.precision != arguments.precision:
        raise SystemExit(
            f"{path} is of {table.precision} networks, but --precision is {arguments.precision}."
        )
    return table


def _say_progress(state: ProfileProgress) -> None:
    _say(f"[{state.measured} networks, {state.spent_s:.0f} of {state.budget_s:.0f} s] {state.message}")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _unseen(space: SearchSpace, table: LatencyTable, arguments: argparse.Namespace) -> list[Architecture]:
    """Return networks drawn uniformly that are not in the table.

    As in a profile of the same budget, networks that take longer than a share of it are left out.
    """
    seen = {entry.architecture for entry in table.networks}
    decompose = kernels_of_space(space, table.block)
    most = ProfileSettings(budget_s=arguments.budget_s).most_operations
    rng = np.random.default_rng(arguments.seed)
    chosen: dict[Architecture, None] = {}
    while len(chosen) < arguments.networks:
        drawn = space.decode(sample_choices(space, rng))
        if drawn not in seen and affordable([drawn], decompose, most):
            chosen[drawn] = None
    return list(chosen)


def _visited(
    arguments: argparse.Namespace,
    space: SearchSpace,
    contract: NetworkContract,
    networks: Sequence[Architecture],
    name: str,
    budget_s: float | None,
) -> dict[Architecture, Visits]:
    """Return the measurements of networks, all of them once, then all of them anew, and so on.

    What slows a shared machine down lasts for minutes; it is gone when a network is visited again.
    """
    visits: dict[Architecture, Visits] = {}
    for number in range(1, arguments.visits + 1):
        wanted = networks if number == 1 else list(visits)
        found = _measured(arguments, space, contract, wanted, f"{name}-{number}", budget_s)
        for architecture, measured in found.items():
            visits.setdefault(architecture, []).append(measured)
    return visits


def _models(
    store: Path, networks: Sequence[Architecture], exporter: Exporter
) -> Iterator[tuple[Architecture, Path]]:
    """Yield networks with their ONNX files, those first that an earlier visit exported."""
    store.mkdir(exist_ok=True)
    files = {architecture: store / f"{architecture.id}.onnx" for architecture in networks}
    kept = [architecture for architecture, path in files.items() if path.is_file()]
    for architecture in kept:
        yield architecture, files[architecture]
    for architecture, model in exporter.exported(each for each in networks if each not in kept):
        write_bytes_atomically(files[architecture], model.read_bytes())
        yield architecture, files[architecture]


def _measured(
    arguments: argparse.Namespace,
    space: SearchSpace,
    contract: NetworkContract,
    networks: Sequence[Architecture],
    name: str,
    budget_s: float | None,
) -> dict[Architecture, SurveyedNetwork]:
    """Return the measurements of networks; those that `out/name` holds are not made again."""
    directory = arguments.out / name
    directory.mkdir(exist_ok=True)
    files = {architecture: directory / f"{architecture.id}.json" for architecture in networks}
    missing = [architecture for architecture, path in files.items() if not path.exists()]
    if missing:
        meter = open_meter(arguments.target)
        with ExitStack() as stack:
            stack.enter_context(meter)
            survey, _ = stack.enter_context(open_survey(meter))
            exporter = stack.enter_context(
                Exporter(space.name, contract, idle_cores(meter), arguments.precision)
            )
            started = time.monotonic()
            models = _models(arguments.out / _MODELS, missing, exporter)
            for number, (architecture, model) in enumerate(models, start=1):
                if budget_s is not None and time.monotonic() - started > budget_s:
                    _say(f"{name}: {budget_s:.0f} s are over")
                    break
                try:
                    found = survey.measure(model, io_spec_of(architecture), with_kernels=False)
                except MeasurementError as error:
                    _say(f"{name}: {architecture.id} could not be measured: {error}")
                    continue
                write_json_atomically(files[architecture], found.to_json())
                _say(f"{name} [{number} of {len(missing)}] {architecture.id}: {found.latency_ms:.2f} ms")
    return {
        architecture: SurveyedNetwork.from_json(json.loads(path.read_text("utf-8")))
        for architecture, path in files.items()
        if path.exists()
    }


class Assessment:
    """How far predictions and second measurements lie from first measurements."""

    def __init__(
        self,
        table: LatencyTable,
        space: SearchSpace,
        first: dict[Architecture, Visits],
        again: dict[Architecture, Visits],
    ) -> None:
        self._table, self._first = table, first
        predictor = table.predictor(space)
        self._found = found = predictor.predict(list(first))
        self._measured = measured = _at_speed(table, first.values())
        self._errors = errors_of(found.latency_ms, measured)
        self._as_clocked = errors_of(found.latency_ms, _clocked(first.values()))
        self._covered = (measured >= found.low_ms) & (measured <= found.high_ms)
        self._twice = twice = [network for network in again if network in first]
        self._floor: dict[str, float] = {}
        self._floor_as_clocked: dict[str, float] = {}
        self._later: dict[str, float] = {}
        if twice:
            once, anew = ([runs[network] for network in twice] for runs in (first, again))
            self._floor = errors_of(_at_speed(table, anew), _at_speed(table, once))
            self._floor_as_clocked = errors_of(_clocked(anew), _clocked(once))
            self._later = errors_of(predictor.predict(twice).latency_ms, _at_speed(table, anew))
        self._seconds = _seconds_of_many(predictor, space)

    def show(self) -> None:
        """Print it as Markdown."""
        self._show_errors()
        if self._table.speed is not None:
            self._show_speed(self._table.speed)
        self._show_intervals()

    def to_json(self) -> dict[str, Any]:
        """Return the figures as plain JSON values."""
        return {
            "within_10": self._errors["within_10"],
            "within_5": self._errors["within_5"],
            "spearman": self._errors["spearman"],
            "mape": self._errors["mape"],
            "coverage": round(float(self._covered.mean()), 4),
            "noise_floor_within_5": self._floor.get("within_5"),
            "noise_floor_within_10": self._floor.get("within_10"),
            "within_5_as_clocked": self._as_clocked["within_5"],
            "within_10_as_clocked": self._as_clocked["within_10"],
            "noise_floor_within_5_as_clocked": self._floor_as_clocked.get("within_5"),
            "noise_floor_within_10_as_clocked": self._floor_as_clocked.get("within_10"),
            "elasticity": None if self._table.speed is None else self._table.speed.elasticity,
            "num_architectures": len(self._measured),
            "seconds_per_10000": round(self._seconds, 3),
        }

    def _show_errors(self) -> None:
        calmest = errors_of(self._found.latency_ms, _at_best(self._table, self._first.values()))
        print("| | networks | within 5 % | within 10 % | mean error | Spearman |")
        print("|---|---|---|---|---|---|")
        print(f"| predicted | {_row(self._errors)}")
        if self._twice:
            print(f"| measured again | {_row(self._floor)}")
            print(f"| predicted, later visits | {_row(self._later)}")
        print(f"| predicted, calmest visit | {_row(calmest)}")
        print(f"| predicted, as clocked | {_row(self._as_clocked)}")
        if self._twice:
            print(f"| measured again, as clocked | {_row(self._floor_as_clocked)}")

    def _show_speed(self, speed: MachineSpeed) -> None:
        references = [min(visit.reference_ms) for visits in self._first.values() for visit in visits]
        visits = len(next(iter(self._first.values())))
        offsets = _offsets(self._table, list(self._first.values()), self._found.latency_ms)
        print(
            f"\nEach network was clocked {visits} time{'s' * (visits > 1)}; the calmest block of each "
            f"counts, "
            "and of several the median.\n"
            f"At its calmest, the reference network took {min(references):.2f} to {max(references):.2f} ms "
            f"beside the networks, and usually {speed.reference_ms:.2f} ms beside those of the table. "
            "Lines without “as clocked” compare calmest blocks at the speed of the table: a network clocked "
            "while the reference took 1 % longer is taken to have been slowed by "
            f"{speed.elasticity:.2f} %, as the table's own networks were. The others compare "
            "medians of all samples as they are."
        )
        print(
            f"Predictions lie above the single visits by {', '.join(f'{one:+.1%}' for one in offsets)}, as "
            "medians over all networks."
        )

    def _show_intervals(self) -> None:
        table, measured, covered = self._table, self._measured, self._covered
        bounds = _binomial(int(covered.sum()), len(covered))
        print(
            f"\nIntervals of {table.confidence:.0%} held {covered.mean():.1%} {bounds} of the networks. "
            f"Square brackets are {CONFIDENCE:.0%} binomial intervals (Clopper and Pearson).\n"
            f"The table: {len(table.networks)} networks, {len(table.kernels)} different kernels, measured in "
            f"{table.provenance.get('measuring_s', float('nan'))} s. {TIMED} predictions took "
            f"{self._seconds:.2f} s. "
            f"The networks take {measured.min():.1f} to {measured.max():.0f} ms, half of them less than "
            f"{np.median(measured):.0f} ms."
        )


def _seconds_of_many(predictor: LatencyPredictor, space: SearchSpace) -> float:
    """Return how long it takes to predict `TIMED` networks."""
    rng = np.random.default_rng(0)
    many = [space.decode(sample_choices(space, rng)) for _ in range(TIMED)]
    started = time.perf_counter()
    predictor.predict(many)
    return time.perf_counter() - started


def _at_speed(table: LatencyTable, networks: Iterable[Visits]) -> npt.NDArray[np.float64]:
    """Return what networks take at the speed of the table, in ms: the median of their visits.

    A visit is what the table's own networks were clocked in. The calmest of several would be faster than
    those.
    """
    return np.array([np.median(table.at_its_speed(visits)) for visits in networks])


def _at_best(table: LatencyTable, networks: Iterable[Visits]) -> npt.NDArray[np.float64]:
    """Return what networks take at the speed of the table in the calmest of their visits, in ms."""
    return np.array([table.at_its_speed(visits).min() for visits in networks])


def _offsets(
    table: LatencyTable, networks: Sequence[Visits], predicted: npt.NDArray[np.float64]
) -> list[float]:
    """Return for each visit of all networks how far predictions lie above it, as a median."""
    columns = zip(*(table.at_its_speed(visits) for visits in networks), strict=True)
    return [float(np.median(predicted / np.array(column))) - 1 for column in columns]


def _clocked(networks: Iterable[Visits]) -> npt.NDArray[np.float64]:
    """Return medians of all samples, in ms."""
    blocks = [[block for visit in visits for block in visit.samples_ms] for visits in networks]
    return np.array([np.median([sample for block in own for sample in block]) for own in blocks])


def _row(errors: dict[str, float]) -> str:
    networks = int(errors["networks"])
    shares = " | ".join(
        f"{errors[name]:.1%} {_binomial(round(errors[name] * networks), networks)}"
        for name in ("within_5", "within_10")
    )
    return f"{networks} | {shares} | {errors['mape']:.2%} | {errors['spearman']:.4f} |"


def _binomial(successes: int, trials: int) -> str:
    interval = stats.binomtest(successes, trials).proportion_ci(CONFIDENCE, method="exact")
    return f"[{interval.low:.1%}, {interval.high:.1%}]"


def _draw(path: Path, table: LatencyTable, space: SearchSpace, first: dict[Architecture, Visits]) -> None:
    """Draw predicted against measured, and the error over the latency."""
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError:
        _say("No picture: it needs matplotlib. Install it with: pip install 'hwnas[benchmarks]'")
        return
    measured = _at_speed(table, first.values())
    predicted = table.predictor(space).predict(list(first)).latency_ms
    figure = Figure(figsize=(9, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    ends = measured.min() * 0.8, measured.max() * 1.25
    left.plot(ends, ends, color="0.7", linewidth=1)
    left.scatter(measured, predicted, s=9, alpha=0.7)
    left.set(xscale="log", yscale="log", xlim=ends, ylim=ends, xlabel="measured ms", ylabel="predicted ms")
    for limit, style in ((5, ":"), (10, "--")):
        for sign in (-1, 1):
            right.axhline(sign * limit, color="0.6", linewidth=1, linestyle=style)
    right.scatter(measured, 100 * (predicted / measured - 1), s=9, alpha=0.7)
    right.set(xscale="log", xlabel="measured ms", ylabel="error of the prediction in %")
    figure.suptitle(f"{len(first)} networks of {table.space} that the table has not seen")
    figure.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    main()
