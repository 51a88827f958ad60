"""The interactive figures, as plotly figures; in a page they share one copy of plotly.js."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from textwrap import wrap
from typing import Any

import plotly.graph_objects as go
import plotly.io
from plotly.offline import get_plotlyjs

from hwnas.architecture import Architecture
from hwnas.objectives import LATENCY
from hwnas.report.content import Member, RunContent
from hwnas.report.words import amount, escape, gene_lines, percent

SEARCHED, FRONT, FULL, REFUSED, BUDGET = "#8fa3bf", "#3b7dd8", "#e08a1e", "#d1495b", "#d1495b"
_GREY = "rgba(128,140,155,0.25)"
_FEW = 10
_LOG_FROM = 15.0
_HOVER_WIDTH = 60
"""Latencies that span more than this factor are drawn on a logarithmic axis."""

_CONFIG = {
    "displaylogo": False,
    "responsive": True,
    "modeBarButtonsToRemove": ["lasso2d", "select2d"],
    # A report may hold what must not leave the house: no button that uploads it to plotly's service.
    "showSendToCloud": False,
    "plotlyServerURL": "",
}


def plotly_script() -> str:
    """Return plotly.js as one inline script element; fragments of `as_html` need it."""
    # A closing tag inside the library would end the element early.
    library: str = get_plotlyjs().replace("</script", "<\\/script")
    return f'<script type="text/javascript">{library}</script>'


def front_figure(content: RunContent) -> go.Figure:
    """Return error over latency: all trials, the front of the search, members at full budget."""
    trials = content.front["trials"]
    trained = [trial for trial in trials if trial["state"] == "COMPLETE"]
    refused = [trial for trial in trials if trial["state"] == "PRUNED" and trial["cost"] is not None]
    points = [(float(trial["cost"]), float(trial["error"])) for trial in trained]
    full = [member for member in content.trained if member.cost is not None]
    is_clocked = content.objective == LATENCY  # the only figure with an interval
    unit = content.unit
    errors = [error for _, error in points] + [_error(member) for member in full]
    figure = go.Figure()
    metric = content.metric
    front_trials = {member["trial"] for member in content.front["members"]}
    dominated = [trial for trial in trained if trial["number"] not in front_trials]
    figure.add_trace(_trial_points(dominated, metric, unit))
    ceiling = _ceiling(errors)
    if refused:
        figure.add_trace(_refused_points(refused, ceiling, unit))
    figure.add_trace(_front_line(content, is_clocked=is_clocked))
    if full:
        figure.add_trace(_moves(full))
        figure.add_trace(_full_points(full, metric, unit, is_clocked=is_clocked))
    costs = [float(trial["cost"]) for trial in [*trained, *refused]]
    costs += [_cost(member) for member in full]
    limit = content.front["limit"]
    axis = latency_axis([*costs, limit] if limit is not None else costs, content.unit)
    if limit is not None:
        _mark_budget(figure, limit, content.unit, is_log=axis.get("type") == "log")
    figure.update_xaxes(title=escape(content.objective), **axis)
    figure.update_yaxes(title=f"error (1 − {escape(metric)})", tickformat=".3~f")
    return styled(figure, height=560)


def hypervolume_figure(front: Mapping[str, Any]) -> go.Figure:
    """Return hypervolume over trained trials, in the order in which they finished."""
    history = front["hypervolume_history"]
    figure = go.Figure(
        go.Scatter(
            x=list(range(1, len(history) + 1)),
            y=[entry[2] for entry in history],
            customdata=[[entry[0], entry[1] / 60] for entry in history],
            mode="lines+markers",
            line={"shape": "hv", "color": FRONT, "width": 2},
            marker={"size": 5},
            hovertemplate="after %{x} trained (trial %{customdata[0]})<br>hypervolume %{y:.4g}"
            "<br>%{customdata[1]:.1f} min of search<extra></extra>",
        )
    )
    figure.update_xaxes(title="trained candidates", rangemode="tozero", tickformat="d", nticks=12)
    if len(history) < _FEW:
        figure.update_xaxes(dtick=1)
    figure.update_yaxes(title=f"hypervolume, {escape(front['unit'])}", rangemode="tozero")
    return styled(figure, height=340)


def losses_figure(members: Sequence[Member]) -> go.Figure:
    """Return the training loss of members over steps, a line for each of which it was recorded."""
    figure = go.Figure()
    for member in members:
        losses = (member.trained or {}).get("losses")
        if losses:
            figure.add_trace(
                go.Scatter(
                    name=member.architecture.id[:8],
                    x=[step for step, _ in losses],
                    y=[loss for _, loss in losses],
                    mode="lines",
                    line={"width": 1.5},
                    hovertemplate="step %{x}<br>loss %{y:.3f}<extra>%{fullData.name}</extra>",
                )
            )
    figure.update_xaxes(title="training step", rangemode="tozero", tickformat="d")
    figure.update_yaxes(title="training loss")
    return styled(figure, height=340)


def genes_as_hover(architecture: Architecture) -> str:
    """Return the genes as escaped lines for a hover label."""
    return "<br>".join(escape(line) for line in gene_lines(architecture))


def _trial_points(trials: Sequence[Mapping[str, Any]], metric: str, unit: str) -> go.Scatter:
    return go.Scatter(
        name="trained candidate",
        x=[trial["cost"] for trial in trials],
        y=[trial["error"] for trial in trials],
        mode="markers",
        marker={"color": SEARCHED, "size": 8, "opacity": 0.75},
        text=[_hover(trial, metric, unit) for trial in trials],
        hovertemplate="%{text}<extra></extra>",
    )


def _refused_points(trials: Sequence[Mapping[str, Any]], ceiling: float, unit: str) -> go.Scatter:
    return go.Scatter(
        name="over the budget, not trained",
        x=[trial["cost"] for trial in trials],
        y=[ceiling] * len(trials),
        mode="markers",
        marker={"symbol": "x-thin", "size": 9, "line": {"color": REFUSED, "width": 1.8}},
        text=[_hover(trial, "", unit) for trial in trials],
        hovertemplate="%{text}<extra></extra>",
    )


def _front_line(content: RunContent, *, is_clocked: bool) -> go.Scatter:
    metric, unit, steps = content.metric, content.unit, content.config.training.proxy.steps
    ordered = sorted(content.front["members"], key=lambda member: float(member["cost"]))
    trials = [{**member, "number": member["trial"], "duplicate_of": None} for member in ordered]
    return go.Scatter(
        name=f"front of the search ({steps} steps)",
        x=[member["cost"] for member in ordered],
        y=[member["error"] for member in ordered],
        mode="lines+markers",
        line={"shape": "hv", "color": FRONT, "width": 2},
        marker={"size": 10, "color": FRONT},
        error_x=_interval_bars([member["latency"] for member in ordered], FRONT) if is_clocked else None,
        text=[_hover(trial, metric, unit) for trial in trials],
        hovertemplate="%{text}<extra>front</extra>",
    )


def _full_points(members: Sequence[Member], metric: str, unit: str, *, is_clocked: bool) -> go.Scatter:
    steps = {member.trained["recipe"]["steps"] for member in members if member.trained}
    name = "trained at full budget" + (f" ({steps.pop()} steps)" if len(steps) == 1 else "")
    return go.Scatter(
        name=name,
        x=[_cost(member) for member in members],
        y=[_error(member) for member in members],
        mode="markers",
        marker={"symbol": "diamond", "size": 13, "color": FULL, "line": {"color": "white", "width": 1}},
        error_x=_interval_bars([member.latency for member in members], FULL) if is_clocked else None,
        text=[
            _hover(
                {
                    "number": member.trial,
                    "architecture": member.architecture.to_json(),
                    "error": _error(member),
                    "cost": _cost(member),
                    "duplicate_of": None,
                    "latency_remark": member.latency["remark"] if member.latency else "",
                },
                metric,
                unit,
            )
            for member in members
        ],
        hovertemplate="%{text}<extra>full budget</extra>",
    )


def _moves(members: Sequence[Member]) -> go.Scatter:
    """Return thin lines from what the search said of a member to what full training made of it."""
    x: list[float | None] = []
    y: list[float | None] = []
    for member in members:
        if member.search_cost is not None and member.search_quality:
            x += [member.search_cost, _cost(member), None]
            y += [1.0 - float(member.search_quality["value"]), _error(member), None]
    return go.Scatter(
        x=x,
        y=y,
        mode="lines",
        line={"color": FULL, "width": 1, "dash": "dot"},
        hoverinfo="skip",
        showlegend=False,
    )


def _interval_bars(measurements: Sequence[Mapping[str, Any] | None], colour: str) -> dict[str, Any]:
    ends = [
        (each["interval_ms"][1] - each["latency_ms"], each["latency_ms"] - each["interval_ms"][0])
        for each in measurements
        if each
    ]
    return {
        "type": "data",
        "symmetric": False,
        "array": [above for above, _ in ends],
        "arrayminus": [below for _, below in ends],
        "color": colour,
        "thickness": 1.2,
        "width": 4,
    }


def _hover(trial: Mapping[str, Any], metric: str, unit: str) -> str:
    number = trial["number"]
    lines = [f"<b>trial {escape(number)}</b>" if number is not None else "<b>not in the search any more</b>"]
    if trial.get("error") is not None:
        said = f"{escape(metric)} {percent(1.0 - float(trial['error']))}"
        lines.append(f"{said} · {escape(amount(float(trial['cost']), unit))}")
    else:
        lines.append(f"{escape(amount(float(trial['cost']), unit))}, over the budget: not trained")
    if trial.get("duplicate_of") is not None:
        lines.append(f"same network as trial {escape(trial['duplicate_of'])}")
    if trial.get("latency_remark"):
        remark = wrap(str(trial["latency_remark"]), _HOVER_WIDTH)
        lines.append("latency (!): " + "<br>".join(escape(line) for line in remark))
    if trial["architecture"]:
        architecture = Architecture.from_json(trial["architecture"])
        lines += [f"id {architecture.id}", "", genes_as_hover(architecture)]
    return "<br>".join(lines)


def _error(member: Member) -> float:
    return 1.0 - float(member.quality["value"]) if member.quality else math.nan


def _cost(member: Member) -> float:
    return member.cost if member.cost is not None else math.nan


def _ceiling(errors: Sequence[float]) -> float:
    """Return where to draw candidates without an error: a little above all others."""
    if not errors:
        return 1.0
    return max(errors) + max(0.02, 0.08 * (max(errors) - min(errors)))


def latency_axis(latencies: Sequence[float], unit: str) -> dict[str, Any]:
    """Return the settings of an axis of costs: logarithmic where they span much, else from zero."""
    if latencies and max(latencies) > _LOG_FROM * min(latencies):
        ends = math.log10(min(latencies)) - 0.1, math.log10(max(latencies)) + 0.1
        decades = range(math.floor(ends[0]), math.ceil(ends[1]) + 1)
        ticks = [digit * 10.0**decade for decade in decades for digit in (1, 2, 5)]
        return {
            "type": "log",
            "range": ends,
            "tickvals": ticks,
            "ticktext": [f"{tick:.10g} {escape(unit)}" for tick in ticks],
        }
    return {"rangemode": "tozero", "ticksuffix": f" {escape(unit)}"}


def _mark_budget(figure: go.Figure, limit: float, unit: str, *, is_log: bool) -> None:
    line = {"dash": "dash", "color": BUDGET, "width": 1.5}
    figure.add_shape(type="line", x0=limit, x1=limit, y0=0, y1=1, yref="paper", line=line)
    figure.add_annotation(
        # On a logarithmic axis plotly wants logarithms for annotations, but not for shapes.
        x=math.log10(limit) if is_log else limit,
        y=1,
        yref="paper",
        yanchor="top",
        xanchor="right",
        text=f"budget {amount(limit, unit)} ",
        showarrow=False,
    )


def styled(figure: go.Figure, *, height: int) -> go.Figure:
    """Give a figure the look of the report, and return it."""
    figure.update_layout(
        template="none",
        height=height,
        margin={"l": 70, "r": 24, "t": 16, "b": 56},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": "system-ui, -apple-system, Segoe UI, Roboto, sans-serif", "color": "#5b6675"},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        hoverlabel={"align": "left", "font": {"size": 12}},
        modebar={"bgcolor": "rgba(0,0,0,0)", "color": "#9aa7b8", "activecolor": FRONT},
    )
    figure.update_xaxes(gridcolor=_GREY, zerolinecolor=_GREY, linecolor=_GREY)
    figure.update_yaxes(gridcolor=_GREY, zerolinecolor=_GREY, linecolor=_GREY)
    return figure


def as_html(figure: go.Figure, name: str) -> str:
    """Return a figure as an HTML fragment that needs `plotly_script`; `name` is the id of its element."""
    html: str = plotly.io.to_html(
        figure,
        include_plotlyjs=False,
        full_html=False,
        div_id=name,
        config=_CONFIG,
    )
    return html
