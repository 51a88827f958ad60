"""The modes of `hwnas bench` beside the tight loop: fixed rate, background load, end to end, resources."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from hwnas.cli.arguments import seconds_of
from hwnas.errors import ConfigError
from hwnas.text import figure, with_interval

if TYPE_CHECKING:
    from hwnas.latency.measure.end_to_end import EndToEndMeasurement
    from hwnas.latency.measure.fixed_rate import FixedRateMeasurement
    from hwnas.latency.measure.resources import ResourceUse

_SHOWN_LINES = 5
_DIGITS = 4


@dataclass(frozen=True)
class Modes:
    """Options of `hwnas bench` that choose another clock than the tight loop; at most one clock at a time.

    Attributes:
        rate_hz: of the run at a fixed rate; 10 where only `duration` or `background` is given.
        duration: of that run, such as `20m`; throttling is then reported instead of refused.
        background: what runs beside it, such as `detector.onnx@20`.
        e2e: scan file; clocked from its points to their labels.
        resources: memory, load time, sizes and energy.
        compare: another model, clocked by turns.
    """

    rate_hz: float | None = None
    duration: str | None = None
    background: str | None = None
    e2e: Path | None = None
    resources: bool = False
    compare: Path | None = None

    @property
    def is_fixed_rate(self) -> bool:
        """Whether frames come at a rate."""
        return any(option is not None for option in (self.rate_hz, self.duration, self.background))

    def check(self) -> None:
        """Refuse what does not go together.

        Raises:
            ConfigError: if more than one clock is asked for, or two models are to be compared by another.
        """
        chosen = [self.is_fixed_rate, self.e2e is not None, self.resources, self.compare is not None]
        if sum(chosen) > 1:
            raise ConfigError(
                "Of --rate-hz (with --duration and --background), --e2e, --resources and --compare only one "
                "can be measured at a time: their measurements do not compare."
            )

    def measure(
        self, model: Path, target: str, inputs: Sequence[str], *, quick: bool
    ) -> tuple[Any, Callable[[Any], Table]]:
        """Measure by the clock that the options choose; return the result and what draws it.

        Raises:
            ConfigError: if an option cannot be read.
            HwnasError: if it cannot be measured.
        """
        from hwnas.cli.measurement_tables import comparison_table, measurement_table
        from hwnas.latency import bench

        other = self.compare
        if self.e2e is not None and inputs:
            raise ConfigError("--e2e takes its input from the scan: leave --input out.")
        if self.resources:
            return bench.bench_resources(model, target, inputs=inputs, quick=quick), resources_table
        if self.e2e is not None:
            return bench.bench_end_to_end(model, self.e2e, target, quick=quick), end_to_end_table
        if other is not None:
            pair = bench.bench_pair(model, other, target, inputs=inputs, quick=quick)
            return pair, lambda found: comparison_table(model, other, found)
        if not self.is_fixed_rate:
            alone = bench.bench(model, target, inputs=inputs, quick=quick)
            return alone, lambda found: measurement_table(model, found)
        at_rate = bench.bench_at_fixed_rate(
            model,
            target,
            rate_hz=bench.DEFAULT_RATE_HZ if self.rate_hz is None else self.rate_hz,
            duration_s=None if self.duration is None else seconds_of(self.duration, "--duration"),
            background=None if self.background is None else background_of(self.background),
            inputs=inputs,
            quick=quick,
        )
        return at_rate, fixed_rate_table


def background_of(text: str) -> tuple[Path, float]:
    """Return the model and the rate in hertz of such as `detector.onnx@20`, the unit `hz` being optional.

    Raises:
        ConfigError: if it is not a file, `@` and a positive number.
    """
    path, sign, rate = text.rpartition("@")
    rate = rate.strip().lower().removesuffix("hz").strip()
    if not sign or not path or not _is_positive(rate):
        raise ConfigError(f"--background is written like detector.onnx@20, but got {text!r}.")
    return Path(path), float(rate)


def fixed_rate_table(found: FixedRateMeasurement) -> Table:
    """Return a run at a fixed rate for people."""
    table = Table(
        title=f"At a fixed rate of {found.rate_hz:g} Hz for {found.duration_s:g} s", title_justify="left"
    )
    table.add_column("metric")
    table.add_column("value", justify="right")
    for name, value in _fixed_rate_rows(found):
        table.add_row(name, value)
    return table


def end_to_end_table(found: EndToEndMeasurement) -> Table:
    """Return an end-to-end measurement for people."""
    table = Table(title=f"From {found.num_points} points to their labels", title_justify="left")
    table.add_column("metric")
    table.add_column("value", justify="right")
    median, low, high = with_interval(found.e2e_ms, found.interval_ms, _DIGITS)
    table.add_row("e2e_ms, median", f"{median} ({low} to {high})")
    for stage, value in found.stages_ms.items():
        table.add_row(f"  of it {stage}", figure(value, _DIGITS))
    for name, tail in found.percentiles_ms.items():
        table.add_row(f"e2e_ms, {name}", _or_not_available(tail))
    return table


def resources_table(use: ResourceUse) -> Table:
    """Return what a network costs besides time for people."""
    table = Table(title="Resources", title_justify="left")
    table.add_column("metric")
    table.add_column("value", justify="right")
    for name, value in (
        ("load_ms, cold", use.load_cold_s * 1000),
        ("load_warm_ms", use.load_warm_s * 1000),
        ("first inference, ms", use.first_inference_ms),
        ("peak_memory_mb of the process", use.peak_memory_mb),
        ("  of it by this network", use.memory_increase_mb),
        ("gpu_memory_mb", use.gpu_memory_mb),
        ("model_size_mb", use.model_size_mb),
        ("engine_size_mb", use.engine_size_mb),
        ("energy_mj of an inference", use.energy_mj),
    ):
        table.add_row(name, _or_not_available(value))
    if use.energy is not None:
        table.add_row("  by rails", f"{' + '.join(use.energy.rails)} ({use.energy.source})")
    return table


def _fixed_rate_rows(found: FixedRateMeasurement) -> list[tuple[str, str]]:
    rate = f"@{found.rate_hz:g}hz"
    rows = [(f"median_ms{rate}", figure(found.latency_ms, _DIGITS))]
    rows += [(f"{name}_ms{rate}", _or_not_available(tail)) for name, tail in found.percentiles_ms.items()]
    rows += [
        ("slowest, ms", figure(found.worst_ms, _DIGITS)),
        ("ended after the next frame came", f"{found.missed} of {len(found.samples_ms)}"),
        ("frames dropped", str(found.dropped)),
        ("drift, last tenth against first", f"{found.drift:+.1%}"),
    ]
    rows += [("throttled", alarm) for alarm in found.throttling[:_SHOWN_LINES]] or [("throttled", "no")]
    if found.background is not None:
        ran = found.background
        rows.append(("background", f"{ran.achieved_hz:.1f} of {ran.rate_hz:g} Hz"))
    return rows


def _or_not_available(value: float | None) -> str:
    return "n/a" if value is None else figure(value, _DIGITS)


def _is_positive(text: str) -> bool:
    try:
        return 0 < float(text) < float("inf")
    except ValueError:
        return False
