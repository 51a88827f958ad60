"""Whether the search ranked networks as the final measurement does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hwnas.architecture import Architecture
from hwnas.rank_correlation import kendall_tau, spearman_rho

MIN_MEMBERS = 3
"""Two networks always agree or disagree wholly."""


def rank_agreement(trials: Sequence[Mapping[str, Any]], members: Sequence[Mapping[str, Any]]) -> Any:
    """Compare latencies of the search with final ones of the same architectures.

    Both may differ in protocol and in options of the backend, such as the optimisation level of TensorRT.

    Args:
        trials: of `front.json`.
        members: of `trained.json`, measured.

    Returns:
        `members` (count), `kendall` (tau-b) and `spearman`, each in [-1, 1]; None for fewer than
        `MIN_MEMBERS`, or if all networks are equally fast.
    """
    searched: dict[str, float] = {}
    for trial in trials:
        if trial["architecture"] is not None and trial["latency_ms"] is not None:
            searched.setdefault(Architecture.from_json(trial["architecture"]).id, trial["latency_ms"])
    final = {
        Architecture.from_json(member["architecture"]).id: float(member["latency"]["latency_ms"])
        for member in members
    }
    both = [(searched[name], final[name]) for name in final if name in searched]
    if len(both) < MIN_MEMBERS or any(len(set(column)) == 1 for column in zip(*both, strict=True)):
        return None
    first, second = zip(*both, strict=True)
    return {
        "members": len(both),
        "kendall": kendall_tau(first, second),
        "spearman": spearman_rho(first, second),
    }
