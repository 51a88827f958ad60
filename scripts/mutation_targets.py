"""The core that `scripts/mutation_sample.py` mutates, and mutations that no test can kill."""

from __future__ import annotations

_RINGS = ("tests/range_view/test_rings.py", "tests/range_view/test_compiled.py")

TARGETS: dict[str, tuple[str, ...]] = {
    "hwnas/pareto.py": ("tests/test_pareto.py",),
    "hwnas/objectives.py": ("tests/test_objectives.py",),
    "hwnas/rank_correlation.py": ("tests/test_rank_correlation.py",),
    "hwnas/search/front.py": ("tests/search/test_front.py",),
    "hwnas/search/layers.py": ("tests/search/test_layers.py",),
    "hwnas/search/pareto_front.py": ("tests/search/test_pareto_front.py",),
    "hwnas/search/strategies/expected_improvement.py": (
        "tests/search/strategies/test_expected_improvement.py",
    ),
    "hwnas/range_view/angles.py": ("tests/range_view/test_compiled.py",),
    "hwnas/range_view/beam_groups.py": _RINGS,
    "hwnas/range_view/grids.py": ("tests/range_view/test_rings.py", "tests/range_view/test_organised.py"),
    "hwnas/range_view/knn.py": ("tests/range_view/test_knn.py", "tests/range_view/test_compiled.py"),
    "hwnas/range_view/projection.py": (
        "tests/range_view/test_projection.py",
        "tests/range_view/test_compiled.py",
        "tests/range_view/test_rings.py",
    ),
    "hwnas/range_view/ring_order.py": _RINGS,
    "hwnas/range_view/rings.py": _RINGS,
    "hwnas/range_view/rows.py": _RINGS,
    "hwnas/metrics/confusion.py": ("tests/metrics/test_confusion.py",),
    "hwnas/latency/measure/clocking.py": ("tests/latency/measure/test_clocking.py",),
    "hwnas/latency/measure/statistics.py": ("tests/latency/measure/test_statistics.py",),
    "hwnas/latency/measure/summary.py": ("tests/latency/measure/test_summary.py",),
    "hwnas/bundle/runtime/scan_checks.py": ("tests/bundle/runtime/test_scan_checks.py",),
}
"""Modules and the tests that mirror them; where several do, all must pass a mutation for it to survive."""

EQUIVALENT: dict[str, str] = {}
"""Mutations that change nothing that can be seen, by `Mutation.key`, each with the reason."""
