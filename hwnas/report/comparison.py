"""The section about hand-crafted networks: figure and table."""

from __future__ import annotations

from collections.abc import Sequence, Set

import plotly.graph_objects as go

from hwnas.pareto import front_indices
from hwnas.report.figures import FRONT, SEARCHED, latency_axis, styled
from hwnas.report.tables import table
from hwnas.report.words import amount, escape, percent
from hwnas.search.comparison import BaselineComparison, ComparedNetwork


def comparison_figure(found: BaselineComparison) -> go.Figure:
    """Return error over the objective, with the front of each of both sets as a step line."""
    figure = go.Figure()
    for name, networks, colour, symbol in (
        ("hand-crafted", found.hand_crafted, SEARCHED, "square"),
        ("searched", found.searched, FRONT, "diamond"),
    ):
        figure.add_trace(_front_line(networks, colour))
        figure.add_trace(_points(name, networks, found, colour, symbol))
    axis = latency_axis([network.objective for network in found.networks], found.unit)
    figure.update_xaxes(title=escape(found.objective), **axis)
    figure.update_yaxes(title=f"error (1 − {escape(found.metric)})", tickformat=".3~f")
    return styled(figure, height=460)


def _front_line(networks: Sequence[ComparedNetwork], colour: str) -> go.Scatter:
    points = [(network.objective, network.error) for network in networks]
    ordered = [points[index] for index in front_indices(points)]
    return go.Scatter(
        x=[objective for objective, _ in ordered],
        y=[error for _, error in ordered],
        mode="lines",
        line={"shape": "hv", "color": colour, "width": 2},
        hoverinfo="skip",
        showlegend=False,
    )


def _points(
    name: str, networks: Sequence[ComparedNetwork], found: BaselineComparison, colour: str, symbol: str
) -> go.Scatter:
    errors = [[quality.error for quality in network.qualities] for network in networks]
    return go.Scatter(
        name=name,
        x=[network.objective for network in networks],
        y=[network.error for network in networks],
        mode="markers",
        marker={"symbol": symbol, "size": 11, "color": colour},
        error_y={
            "type": "data",
            "symmetric": False,
            "array": [max(each) - network.error for each, network in zip(errors, networks, strict=True)],
            "arrayminus": [network.error - min(each) for each, network in zip(errors, networks, strict=True)],
            "color": colour,
            "thickness": 1.2,
            "visible": len(found.seeds) > 1,
        },
        text=[
            f"<b>{escape(network.name)}</b><br>{escape(found.metric)} {percent(network.value)} · "
            f"{escape(amount(network.objective, found.unit))}"
            for network in networks
        ],
        hovertemplate="%{text}<extra></extra>",
    )


def comparison_table(found: BaselineComparison) -> str:
    """Return the networks of a comparison as an HTML table."""
    rows = [
        f"<tr><td>{_named(network)}</td><td>{percent(network.value)}"
        f"{' (untrained)' if network.is_untrained else ''}</td>"
        f"<td>{_spread(network)}</td><td>{escape(amount(network.objective, found.unit))}</td></tr>"
        for network in found.networks
    ]
    metric, objective = escape(found.metric), escape(found.objective)
    return table(f"<th>network</th><th>{metric}</th><th>by seed</th><th>{objective}</th>", rows)


def comparison_hint(found: BaselineComparison, front: Set[str]) -> str:
    """Return what the figure shows and what it says, as HTML.

    Args:
        found: what is shown.
        front: ids of the trained networks of the front as it is now.
    """
    is_of_front = {network.architecture.id for network in found.searched} == front
    older = "" if is_of_front else " <b>The front has changed since: compare again.</b>"
    seeds = len(found.seeds)
    chance = (
        f"Each was trained {seeds} times; bars span the seeds."
        if seeds > 1
        else "Each was trained once; how far chance moves that, <code>hwnas compare --seeds 3</code> shows."
    )
    said = "</b> <b>".join(escape(text) for text in (*found.warnings, *found.sentences))
    return (
        f"<b>{said}</b> All were trained with {found.steps} steps of one recipe and measured in one session. "
        f"{chance} The search chose its networks by the data that evaluates them here, which flatters them."
        f"{older}"
    )


def _named(network: ComparedNetwork) -> str:
    return f"<code>{escape(network.name)}</code>" if network.is_searched else escape(network.name)


def _spread(network: ComparedNetwork) -> str:
    return " · ".join(percent(quality.value) for quality in network.qualities)
