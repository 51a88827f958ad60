"""Latency measurements as tables on a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from hwnas.cli.console import out_console
from hwnas.text import figure, visible, with_interval

if TYPE_CHECKING:
    from hwnas.latency.measure.comparison import LatencyComparison
    from hwnas.latency.measurement import LatencyMeasurement
    from hwnas.run.front import Front
    from hwnas.tasks.base import Quality

_DIGITS = 4
_FINGERPRINT = (
    ("cpu_model", "processor"),
    ("board", "board"),
    ("gpus", "GPU"),
    ("l4t", "L4T"),
    ("power_mode", "power mode"),
    ("governor", "governor"),
    ("backend_versions", "backend"),
    ("backend_options", "options"),
    ("threads", "threads"),
    ("pinned_cores", "on processors"),
)


def measurement_table(path: Path, found: LatencyMeasurement) -> Table:
    """Return one measurement, a line a fact."""
    table = _table(visible(f"Latency of {path} on {found.target}", keep=""))
    for name, text in _facts(found).items():
        table.add_row(name, text)
    return table


def comparison_table(first: Path, second: Path, found: LatencyComparison) -> Table:
    """Return two measurements side by side, and their ratio."""
    table = _table(
        f"Latency on {found.first.target}", (visible(str(first), keep=""), visible(str(second), keep=""))
    )
    one, two = _facts(found.first), _facts(found.second)
    for name in one:
        same = name in {"target", "device", "samples of"}
        table.add_row(name, one[name], "" if same else two[name])
    finding = "they differ" if found.differs else "no difference shown"
    table.add_section()
    table.add_row(
        "second / first", "", f"{_interval(found.ratio, found.ratio_interval, found.confidence)}: {finding}"
    )
    return table


def latency_cells(latency: LatencyMeasurement | None) -> tuple[str, str]:
    """Return median and interval as cells; a median that may not be relied on carries a mark."""
    if latency is None:
        return "n/a", ""
    median, low, high = with_interval(latency.latency_ms, latency.interval_ms)
    mark = "" if latency.is_stable else " (!)"
    return f"{median}{mark}", f"{low} to {high}"


def print_remarks(latencies: Mapping[str, LatencyMeasurement | None]) -> None:
    """Print below a table why the latencies that carry a mark may not be relied on, by name."""
    for name, latency in latencies.items():
        if latency is not None and not latency.is_stable:
            out_console.say(f"(!) {name}: {latency.remark}")


def print_scope(qualities: Iterable[Quality]) -> None:
    """Print below a table which classes its metric says nothing of, since the ground truth has none."""
    said = {
        f"{quality.metric} is {quality.scope}: the ground truth holds no {', '.join(quality.absent_classes)}."
        for quality in qualities
        if quality.absent_classes
    }
    for text in sorted(said):
        out_console.say(text)


def objective_heading(front: Front) -> list[str]:
    """Return the heading of the objective's column; nothing where the latency's own column shows it."""
    return [] if front.objective == "latency_ms" else [f"{front.objective} ({front.unit})"]


def _table(title: str, columns: tuple[str, ...] = ("",)) -> Table:
    table = Table(title=title, title_justify="left", show_header=len(columns) > 1)
    table.add_column("")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _facts(found: LatencyMeasurement) -> dict[str, str]:
    facts = {"median": f"{_interval(found.latency_ms, found.interval_ms, found.confidence)} ms"}
    if found.ratio is not None and found.ratio_interval is not None:
        facts["ratio to the reference"] = _interval(found.ratio, found.ratio_interval, found.confidence)
    if found.reference is not None:
        facts["reference network"] = f"{figure(found.reference.latency_ms, _DIGITS)} ms"
    for name, value in found.percentiles_ms.items():
        facts[name] = "n/a, too few samples" if value is None else f"{figure(value, _DIGITS)} ms"
    count = sum(len(process) for process in found.samples_ms)
    facts["samples"] = f"{count} in {len(found.samples_ms)} processes; ended: {found.ended or 'n/a'}"
    facts["warm-up"] = ", ".join(f"{seconds:.1f}" for seconds in found.warmup_s) + " s"
    facts["attempts"] = str(found.attempts)
    facts["stable"] = "yes" if found.is_stable else f"no: {found.remark}"
    device = (
        f"{word} {_plain(found.fingerprint[key])}" for key, word in _FINGERPRINT if found.fingerprint.get(key)
    )
    facts["device"] = "; ".join(device)
    facts["sha256"] = found.model_sha256[:16]
    return facts


def _interval(value: float, interval: tuple[float, float], confidence: float) -> str:
    shown, low, high = with_interval(value, interval, _DIGITS)
    return f"{shown}, {confidence:.0%} interval {low} to {high}"


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return " ".join(f"{name} {item}" for name, item in value.items())
    if isinstance(value, (list, tuple)):
        return ",".join(_plain(item) for item in value)
    return str(value)
