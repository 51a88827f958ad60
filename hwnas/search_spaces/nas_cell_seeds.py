"""The seeds of `nas-cell`: cells found elsewhere, on another task or in a table.

A file of cells has one on each line, as NAS-Bench-201 writes them; empty lines and what follows a `#` are
left out. Only the cell carries over: how it is stacked is drawn anew.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from hwnas.architecture import Choice
from hwnas.errors import ArchitectureError, ConfigError
from hwnas.search_spaces.base import Fits, SearchSpace, sample_choices
from hwnas.search_spaces.cells import EDGES, NONE, OPERATIONS, Cell

_STACKINGS = 50
_EXAMPLE = Cell(("nor_conv_3x3", NONE, NONE, "skip_connect", NONE, NONE))


def read_cells(path: Path) -> list[Cell]:
    """Return the different cells of a file, in its order; of those that are built alike the first.

    Raises:
        ConfigError: if the file cannot be read, holds no cell, or a line is none that computes anything.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"The file of cells {path} cannot be read: {error}. It is text with one cell a line, such as "
            f"{_EXAMPLE}."
        ) from error
    found: dict[Cell, Cell] = {}
    for number, line in enumerate(lines, start=1):
        text = line.partition("#")[0].strip()
        if text:
            cell = _parsed(text, f"{path}:{number}")
            found.setdefault(cell.canonical(), cell)
    if not found:
        raise ConfigError(
            f"The file of cells {path} holds none. Write one a line, such as {_EXAMPLE}; "
            "what follows a # is left out."
        )
    return list(found.values())


def _parsed(text: str, where: str) -> Cell:
    try:
        cell = Cell.parse(text)
    except ArchitectureError as error:
        raise ConfigError(
            f"{where}: {text!r} is no cell. Expected the operations of {len(EDGES)} edges out of "
            f"{list(OPERATIONS)} with the node that each comes from, such as {_EXAMPLE}."
        ) from error
    if not cell.is_connected:
        raise ConfigError(
            f"{where}: nothing of the input reaches the output of {text}, `{NONE}` interrupts every way. "
            "Remove the line."
        )
    return cell


def choices_of_cells(
    space: SearchSpace,
    cells: Sequence[Cell],
    most: int,
    seed: int,
    fits: Fits = lambda _architecture: True,
) -> tuple[list[Mapping[str, Choice]], list[Cell]]:
    """Return networks of the space with the first cells, one each; all other genes are drawn uniformly.

    Args:
        space: one with the genes `edge1` to `edge6`.
        cells: different ones.
        most: cells to take.
        seed: of the other genes.
        fits: says of a network whether it may be within the limits; each cell is stacked anew until it is.

    Returns:
        the choices, and the cells before the last of them of which no network fitted in `_STACKINGS` draws.

    Raises:
        ConfigError: if the space is restricted to other operations.
    """
    rng = np.random.default_rng(seed)
    found: list[Mapping[str, Choice]] = []
    left_out: list[Cell] = []
    for cell in cells:
        if len(found) == most:
            break
        genes = _allowed(cell, space)
        stacked = ({**sample_choices(space, rng), **genes} for _ in range(_STACKINGS))
        fitting = next((choices for choices in stacked if fits(space.decode(choices))), None)
        if fitting is None:
            left_out.append(cell)
        else:
            found.append(fitting)
    return found, left_out


def _allowed(cell: Cell, space: SearchSpace) -> Mapping[str, Choice]:
    """Return the genes of a cell, or of the one it is built like, that the space's restrictions allow."""
    for form in (cell, cell.canonical()):
        genes = form.choices()
        if all(name in space.choices[gene] for gene, name in genes.items()):
            return genes
    refused = [gene for gene, name in cell.choices().items() if name not in space.choices[gene]]
    raise ConfigError(
        f"The cell {cell} is outside of what `space.choices` allows for {refused}. "
        "Allow its operations there, or remove it from the file of cells."
    )
