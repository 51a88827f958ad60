"""The core that `scripts/mutation_sample.py` mutates, and mutations that no test can kill."""

from __future__ import annotations

_RINGS = (
    "tests/range_view/test_rings.py",
    "tests/range_view/test_rows.py",
    "tests/range_view/test_compiled.py",
)

TARGETS: dict[str, tuple[str, ...]] = {
    "hwnas/pareto.py": ("tests/test_pareto.py",),
    "hwnas/objectives.py": ("tests/test_objectives.py",),
    "hwnas/rank_correlation.py": ("tests/test_rank_correlation.py",),
    "hwnas/search/front.py": ("tests/search/test_front.py",),
    "hwnas/search/layers.py": ("tests/search/test_layers.py",),
    "hwnas/search/strategies/expected_improvement.py": (
        "tests/search/strategies/test_expected_improvement.py",
    ),
    "hwnas/range_view/angles.py": ("tests/range_view/test_compiled.py",),
    "hwnas/range_view/beam_groups.py": ("tests/range_view/test_beam_groups.py", *_RINGS),
    "hwnas/range_view/grids.py": ("tests/range_view/test_grids.py", "tests/range_view/test_organised.py"),
    "hwnas/range_view/knn.py": ("tests/range_view/test_knn.py", "tests/range_view/test_compiled.py"),
    "hwnas/range_view/projection.py": (
        "tests/range_view/test_projection.py",
        "tests/range_view/test_compiled.py",
        "tests/range_view/test_grids.py",
        "tests/range_view/test_rows.py",
    ),
    "hwnas/range_view/projection_spec.py": ("tests/range_view/test_projection.py",),
    "hwnas/range_view/ring_order.py": _RINGS,
    "hwnas/range_view/rings.py": _RINGS,
    "hwnas/range_view/rows.py": _RINGS,
    "hwnas/metrics/confusion.py": ("tests/metrics/test_confusion.py",),
    "hwnas/latency/measure/clocking.py": ("tests/latency/measure/test_clocking.py",),
    "hwnas/latency/measure/statistics.py": ("tests/latency/measure/test_statistics.py",),
    "hwnas/latency/measure/summary.py": ("tests/latency/measure/test_summary.py",),
    "hwnas/bundle/runtime/given_arrays.py": ("tests/bundle/runtime/test_given_arrays.py",),
    "hwnas/bundle/runtime/intensity_checks.py": (
        "tests/bundle/runtime/test_intensity_checks.py",
        "tests/bundle/runtime/test_scan_checks.py",
    ),
    "hwnas/bundle/runtime/scan_checks.py": ("tests/bundle/runtime/test_scan_checks.py",),
}
"""Modules and the tests that mirror them; where several do, all must pass a mutation for it to survive."""

EQUIVALENT: dict[str, str] = {
    "hwnas/latency/measure/statistics.py:: 100 -> 101": (
        "How many resamples are drawn at a time changes the memory that it takes, not what is drawn."
    ),
    "hwnas/latency/measure/statistics.py:: 20000000 -> 20000001": (
        "How many samples are drawn at a time changes the memory that it takes, not what is drawn."
    ),
    "hwnas/latency/measure/statistics.py:_widening: 1.0 -> 2.0": (
        "Where all blocks have the same median, so have all resamples: ratios of 1, to any power."
    ),
    "hwnas/latency/measure/statistics.py:student_quantile: 20001 -> 20002": (
        "One more of 20,000 steps of a sum moves the quantile by less than one part in ten million."
    ),
    "hwnas/objectives.py:Metric.parse: 1 -> 2": (
        "Of the near names that are looked for only the first is used."
    ),
    "hwnas/pareto.py:fronts: 0 -> 1": (
        "Numbers of groups of identical points are only compared with each other; here all are one higher."
    ),
    "hwnas/pareto.py:hypervolume: values < corner -> values <= corner": (
        "A point on the edge of the reference adds a rectangle that has no width or no height."
    ),
    "hwnas/range_view/grids.py:_numbers_from_the_top: step < 0 -> step <= 0": "Steps of 0 add 0 to a sum.",
    "hwnas/range_view/grids.py:_numbers_from_the_top: step > 0 -> step >= 0": "Steps of 0 add 0 to a sum.",
    "hwnas/range_view/knn.py:_unanimous: 0 -> 1": (
        "Windows of label 0 no longer count as unanimous; their votes are counted then, and all are for 0."
    ),
    "hwnas/range_view/knn.py:_unanimous: 0 -> 1 #2": (
        "Windows of label 0 no longer count as unanimous; their votes are counted then, and all are for 0."
    ),
    "hwnas/range_view/rows.py:_order_of: step < 0 -> step <= 0": "Steps of 0 add 0 to a sum.",
    "hwnas/range_view/rows.py:_order_of: step > 0 -> step >= 0": "Steps of 0 add 0 to a sum.",
    "hwnas/pareto.py:knee_index: 1.0 -> 2.0": (
        "The first coordinate has no span only where all points share it: 0 is divided by 1, or by 2."
    ),
    "hwnas/pareto.py:knee_index: 1.0 -> 2.0 #2": (
        "The second coordinate has no span only where all of a front share it: 0 is divided by 1, or by 2."
    ),
    "hwnas/search/layers.py:picked: len(chosen) >= number -> len(chosen) > number": (
        "Leaving early only saves time: once enough are chosen, nothing is taken from the layers that follow."
    ),
}
"""Mutations that change nothing that can be seen, by `Mutation.key`, each with the reason."""
