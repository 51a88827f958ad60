"""What is known of TensorRT on NVIDIA's boards; the table beside this module names its sources."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

_TABLE = "tensorrt_support.json"


def load_table() -> dict[str, Any]:
    """Return the table: `releases`, `compute_capabilities`, `dla`."""
    table: dict[str, Any] = json.loads(
        files("hwnas.latency.doctor").joinpath(_TABLE).read_text(encoding="utf-8")
    )
    return table


def release_of(l4t: str) -> Mapping[str, Any] | None:
    """Return the row of a Jetson Linux release such as 36.4.3, None if it is not known."""
    rows = [row for row in load_table()["releases"] if is_of(l4t, row["l4t"])]
    return max(rows, key=lambda row: len(row["l4t"]), default=None)


def lacks_capability(product: str, version: str, capability: str) -> Mapping[str, Any] | None:
    """Return the row that says that a version has no code for a compute capability, None if none does."""
    for row in load_table()["compute_capabilities"]:
        if row["product"] != product or not is_of(version, row["version"]):
            continue
        if capability in row.get("missing", []) or ("has" in row and capability not in row["has"]):
            found: Mapping[str, Any] = row
            return found
    return None


def may_have_dla(version: str, board: str) -> bool:
    """Tell whether TensorRT of that version can use a DLA on a board, by the board's own name."""
    return any(
        numbers(row["from"]) <= numbers(version)[: len(numbers(row["from"]))]
        and numbers(version)[: len(numbers(row["to"]))] <= numbers(row["to"])
        and any(name in board for name in row["boards"])
        for row in load_table()["dla"]
    )


def is_of(version: str, prefix: str) -> bool:
    """Tell whether a dotted version begins with another one, number by number."""
    wished = numbers(prefix)
    return numbers(version)[: len(wished)] == wished


def numbers(version: str) -> tuple[int, ...]:
    """Return the numbers of a dotted version; what is no number ends it."""
    found: list[int] = []
    for part in version.split("."):
        if not part.isdecimal():
            break
        found.append(int(part))
    return tuple(found)
