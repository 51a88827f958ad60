"""Numbers and genes in words that people read."""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import Any

from hwnas.architecture import Architecture
from hwnas.text import figure, visible, with_interval

ABSENT = "–"
_GENES_PER_LINE = 3
_SMALLEST_GROUP = 3


def escape(text: object) -> str:
    """Return anything as text for HTML, for attributes in quotes, and for labels of plotly, which read HTML.

    What would reorder or hide parts of the page is shown as an escape, and so is what UTF-8 cannot hold.
    """
    return html.escape(visible(str(text)), quote=True)


def percent(value: float | None) -> str:
    """Return a share as a percentage with one decimal, or a dash."""
    return ABSENT if value is None else f"{100 * value:.1f} %"


def milliseconds(value: float | None) -> str:
    """Return a latency with three significant digits, or a dash."""
    return amount(value, "ms")


def amount(value: float | None, unit: str) -> str:
    """Return a figure with three significant digits and its unit, or a dash."""
    return ABSENT if value is None else f"{figure(value)} {unit}"


def interval(measurement: Mapping[str, Any] | None) -> str:
    """Return the confidence interval of a measurement, with the decimals of its median, or a dash."""
    if not measurement:
        return ABSENT
    _, low, high = with_interval(measurement["latency_ms"], measurement["interval_ms"])
    return f"{low} … {high}"


def duration(seconds: float) -> str:
    """Return a time span in its two largest units."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min"


def count(value: int | None) -> str:
    """Return a number with thin spaces between thousands, or a dash."""
    return ABSENT if value is None else f"{value:,}".replace(",", "\u202f")


def gene_lines(architecture: Architecture) -> list[str]:
    """Return the genes as lines of text; genes that share a first word share a line.

    `stage1_block`, `stage1_depth`, … become `stage1: block convnext · depth 2 · …`.
    """
    groups: dict[str, list[tuple[str, str]]] = {}
    for name, value in architecture.genes.items():
        prefix, _, rest = name.partition("_")
        groups.setdefault(prefix, []).append((rest or prefix, _value(value)))
    lines, single = [], []
    for prefix, genes in groups.items():
        if len(genes) >= _SMALLEST_GROUP:
            lines.append(f"{prefix}: " + " · ".join(f"{name} {value}" for name, value in genes))
        else:
            single += [f"{prefix if name == prefix else f'{prefix} {name}'} {value}" for name, value in genes]
    joined = [
        " · ".join(single[start : start + _GENES_PER_LINE])
        for start in range(0, len(single), _GENES_PER_LINE)
    ]
    return [line.replace("_", " ") for line in [*joined, *lines]]


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
