"""Searched cells: operations on the edges of a small directed graph, as in NAS-Bench-201.

Four nodes are joined by six edges, from each node to every later one. Node 0 is the input; a node is the sum
of what its incoming edges make of the nodes they come from; node 3 is the output.

Source: Dong and Yang, "NAS-Bench-201: Extending the Scope of Reproducible Neural Architecture Search", ICLR
2020.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hwnas.errors import ArchitectureError

OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
"""What an edge may do, in the order of NAS-Bench-201's digits."""

EDGES = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
"""From node to node, in the order of NAS-Bench-201's strings."""

PATHS = ((3,), (0, 4), (1, 5), (0, 2, 5))
"""All ways from input to output, as positions of edges."""

NONE, SKIP = OPERATIONS[0], OPERATIONS[1]
IDENTITY = (NONE, NONE, NONE, SKIP, NONE, NONE)
_NUM_NODES = 4
_INNER = EDGES.index((1, 2))
_MIRRORED = (1, 0, 2, 3, 5, 4)
"""Positions of edges after the inner nodes have changed places; the edge between them must be `none`."""


@dataclass(frozen=True)
class Cell:
    """A cell; `operations` holds one of `OPERATIONS` for each of `EDGES`."""

    operations: tuple[str, ...]

    def __post_init__(self) -> None:
        """Check the operations.

        Raises:
            ArchitectureError: if there are not six, or one is unknown.
        """
        unknown = sorted(set(self.operations) - set(OPERATIONS))
        if len(self.operations) != len(EDGES) or unknown:
            raise ArchitectureError(
                f"A cell has {len(EDGES)} operations out of {list(OPERATIONS)}, but got "
                f"{list(self.operations)}."
            )

    @classmethod
    def parse(cls, text: str) -> Cell:
        """Read a string such as `|nor_conv_3x3~0|+|none~0|skip_connect~1|+|none~0|none~1|avg_pool_3x3~2|`.

        Raises:
            ArchitectureError: if it is not of that form.
        """
        found = re.findall(r"\|([a-z0-9_]+)~(\d)(?=\|)", text)
        cell = cls(tuple(name for name, _ in found))
        if str(cell) != text:
            raise ArchitectureError(f"A cell is written like {cls((NONE,) * len(EDGES))}, but got {text!r}.")
        return cell

    def __str__(self) -> str:
        """Return the string of NAS-Bench-201; `parse` gives the same cell back."""
        nodes = []
        for node in range(1, _NUM_NODES):
            into = [index for index, edge in enumerate(EDGES) if edge[1] == node]
            nodes.append("|" + "|".join(f"{self.operations[i]}~{EDGES[i][0]}" for i in into) + "|")
        return "+".join(nodes)

    @property
    def live_edges(self) -> frozenset[int]:
        """Positions of edges on a way from input to output that no `none` interrupts."""
        ways = [path for path in PATHS if all(self.operations[edge] != NONE for edge in path)]
        return frozenset(edge for path in ways for edge in path)

    @property
    def is_connected(self) -> bool:
        """Whether anything of the input reaches the output."""
        return bool(self.live_edges)

    @property
    def is_identity(self) -> bool:
        """Whether the input reaches the output unchanged and alone."""
        return self.operations == IDENTITY

    def pruned(self) -> Cell:
        """Return the cell with `none` on all edges that nothing depends on."""
        live = self.live_edges
        return Cell(tuple(name if index in live else NONE for index, name in enumerate(self.operations)))

    def canonical(self) -> Cell:
        """Return the cell that stands for all that are built alike.

        Edges that nothing depends on are `none`; a cell without a way from input to output is the identity;
        and of two inner nodes that do not see each other, the order does not matter.
        """
        if not self.is_connected:
            return Cell(IDENTITY)
        pruned = self.pruned()
        mirrored = Cell(tuple(pruned.operations[edge] for edge in _MIRRORED))
        if pruned.operations[_INNER] != NONE:
            return pruned
        return max(pruned, mirrored, key=lambda cell: [OPERATIONS.index(name) for name in cell.operations])

    def choices(self) -> dict[str, str]:
        """Return the cell as genes, `edge1` to `edge6`, such as restrict a space to it."""
        return {f"edge{number}": name for number, name in enumerate(self.operations, start=1)}

    @classmethod
    def of(cls, genes: Mapping[str, Any]) -> Cell:
        """Return the cell of the genes `edge1` to `edge6`; there may be others.

        Raises:
            ArchitectureError: if one is missing or is no operation.
        """
        return cls(tuple(str(genes.get(f"edge{number}")) for number in range(1, len(EDGES) + 1)))


ENCODING_PARTS = (len(EDGES) * len(OPERATIONS), 40, 12)
"""Lengths of the parts of `encode_cell`: operations of edges, functions along ways, what they amount to."""

_ACTING = OPERATIONS[2:]
_FUNCTIONS = {
    names: index
    for index, names in enumerate(
        names for length in range(4) for names in itertools.product(_ACTING, repeat=length)
    )
}
"""What a way may compute: the operations on it in their order; `skip_connect` changes nothing."""


def encode_cell(cell: Cell) -> npt.NDArray[np.float32]:
    """Return what tells cells apart and lets those that compute alike be near each other.

    In this order: an indicator for every operation of every edge; how many of the ways through the cell
    compute each function, as a cell is the sum of its ways; and what they amount to: how often each operation
    but `none` stands on an edge, most convolutions of a way (all, 3x3, 1x1), most poolings, open ways,
    whether a way changes nothing, and fewest poolings and convolutions of a way.

    Source: ways as features: White et al., "BANANAS: Bayesian Optimization with Neural Architectures for
    Neural Architecture Search", AAAI 2021.
    """
    edges = [name == each for name in cell.operations for each in OPERATIONS]
    functions = np.zeros(len(_FUNCTIONS), np.float32)
    ways = [[cell.operations[edge] for edge in path] for path in PATHS]
    ways = [names for names in ways if NONE not in names]
    for names in ways:
        functions[_FUNCTIONS[tuple(name for name in names if name != SKIP)]] += 1.0
    counts = [cell.operations.count(each) for each in OPERATIONS[1:]]
    return np.concatenate(
        [np.array(edges, np.float32), functions, np.array(counts + _amounts(ways), np.float32)]
    )


def _amounts(ways: Sequence[Sequence[str]]) -> list[float]:
    if not ways:
        return [0.0] * 8
    narrow, wide, pooling = ([names.count(each) for names in ways] for each in _ACTING)
    convolutions = [a + b for a, b in zip(narrow, wide, strict=True)]
    # Indicators are doubled so that they weigh about as much as counts.
    changes_nothing = 2.0 * any(set(names) == {SKIP} for names in ways)
    most = [max(convolutions), max(wide), max(narrow), max(pooling), len(ways)]
    return [*most, changes_nothing, min(pooling), min(convolutions)]
