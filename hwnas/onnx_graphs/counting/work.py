"""What was counted of each node."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class NodeWork:
    """One node, or all runs of one node in a body.

    Attributes:
        name: of the node, after those of the nodes whose bodies it is in.
        operator: ONNX operator, with its domain where that is not ONNX's own.
        precision: type it computes in.
        output_shape: of its first output; empty where it is not known.
        macs: multiplications and additions; None where they are not known.
        weights: constants that it uses, by their names.
    """

    name: str
    operator: str
    precision: str
    output_shape: tuple[int, ...]
    macs: int | None
    weights: frozenset[str]


class WorkLog:
    """Collects what was counted, in the order of the graph."""

    def __init__(self) -> None:
        self._nodes: dict[tuple[int, ...], NodeWork] = {}
        self.notes: list[str] = []
        self.other_weights: set[str] = set()
        """Constants of branches that are not counted: a file holds them all the same."""

    def __iter__(self) -> Iterator[NodeWork]:
        """Iterate over the nodes."""
        return iter(self._nodes.values())

    def add(self, place: tuple[int, ...], work: NodeWork) -> None:
        """Add one run of the node at a place, which may have run before."""
        before = self._nodes.get(place)
        if before is not None:
            both = None if before.macs is None or work.macs is None else before.macs + work.macs
            work = replace(work, macs=both, weights=before.weights | work.weights)
        self._nodes[place] = work

    def note(self, text: str) -> None:
        """Add a note, once."""
        if text not in self.notes:
            self.notes.append(text)

    def join(self, other: WorkLog, times: int | None = 1) -> None:
        """Add all of another log `times` over; None for nobody knows how often."""
        for place, work in other._nodes.items():
            self.add(place, replace(work, macs=_times(work.macs, times)))
        self.other_weights |= other.other_weights
        for note in other.notes:
            self.note(note)

    @property
    def macs(self) -> int:
        """What is known of the work."""
        return sum(work.macs or 0 for work in self)

    @property
    def is_complete(self) -> bool:
        """Whether the work of every node is known."""
        return all(work.macs is not None for work in self)

    @property
    def weights(self) -> frozenset[str]:
        """Constants that all nodes use."""
        return frozenset(self.other_weights).union(*(work.weights for work in self))


def _times(macs: int | None, times: int | None) -> int | None:
    if macs == 0 or macs is None:
        return macs
    return None if times is None else macs * times
