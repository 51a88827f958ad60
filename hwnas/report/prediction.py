"""How well a latency table predicted what a search measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from hwnas.report.figures import FRONT, styled

Trial = Mapping[str, Any]
_LINE = "rgba(128,140,155,0.6)"


def both_latencies(front: Mapping[str, Any]) -> list[Trial]:
    """Return the trials whose latency was predicted and measured."""
    return [
        trial
        for trial in front["trials"]
        if trial.get("predicted") and trial["latency_ms"] is not None and trial["duplicate_of"] is None
    ]


def prediction_in_words(front: Mapping[str, Any]) -> str:
    """Return how far predictions were off, and how many networks they spared from being measured."""
    trials = both_latencies(front)
    errors = [abs(trial["predicted"]["latency_ms"] / trial["latency_ms"] - 1.0) for trial in trials]
    inside = sum(_is_inside(trial) for trial in trials)
    spared = sum(bool(trial.get("predicted")) and trial["latency_ms"] is None for trial in front["trials"])
    near = sum(error <= 0.05 for error in errors)
    return (
        f"Each point is a network, predicted before it was measured: {near} of {len(trials)} within 5 %, "
        f"{inside} inside their predicted interval. {spared} networks were not measured, because even the "
        "lower end of their interval was over the limit."
    )


def prediction_figure(trials: Sequence[Trial]) -> go.Figure:
    """Return predicted over measured latency, on logarithmic axes, with predicted intervals.

    Without a point where no trial was both predicted and measured.
    """
    if not trials:
        return styled(go.Figure(), height=460)
    predicted = [float(trial["predicted"]["latency_ms"]) for trial in trials]
    measured = [float(trial["latency_ms"]) for trial in trials]
    lows = [
        p - float(trial["predicted"]["interval_ms"][0]) for p, trial in zip(predicted, trials, strict=True)
    ]
    highs = [
        float(trial["predicted"]["interval_ms"][1]) - p for p, trial in zip(predicted, trials, strict=True)
    ]
    ends = [0.9 * min(predicted + measured), 1.1 * max(predicted + measured)]
    figure = go.Figure()
    figure.add_trace(
        go.Scatter(
            name="equal",
            x=ends,
            y=ends,
            mode="lines",
            line={"color": _LINE, "dash": "dot"},
            hoverinfo="skip",
        )
    )
    figure.add_trace(
        go.Scatter(
            name="network",
            x=measured,
            y=predicted,
            mode="markers",
            marker={"color": FRONT, "size": 7},
            error_y={"array": highs, "arrayminus": lows, "thickness": 1, "width": 2, "color": FRONT},
            customdata=[trial["number"] for trial in trials],
            hovertemplate="trial %{customdata}<br>measured %{x:.3~r} ms<br>predicted %{y:.3~r} ms"
            "<extra></extra>",
        )
    )
    figure.update_xaxes(title="measured latency, ms", type="log", ticksuffix=" ms")
    figure.update_yaxes(title="predicted latency, ms", type="log", ticksuffix=" ms")
    return styled(figure, height=460)


def _is_inside(trial: Trial) -> bool:
    low, high = trial["predicted"]["interval_ms"]
    return bool(low <= trial["latency_ms"] <= high)
