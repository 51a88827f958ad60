from __future__ import annotations

from typing import Any

import pytest

from hwnas.architecture import Architecture
from hwnas.io_spec import dense_logits
from hwnas.search.agreement import rank_agreement


def entry(width: int, latency_ms: float | None) -> dict[str, Any]:
    architecture = Architecture("cells", {"width": width}, (5, 8, 32), dense_logits(3)).to_json()
    return {"architecture": architecture, "latency_ms": latency_ms, "latency": {"latency_ms": latency_ms}}


def test_ranks_of_search_and_final_measurement_are_compared() -> None:
    searched = [entry(8, 1.0), entry(16, 2.0), entry(24, 3.0), entry(32, 4.0), entry(40, None)]
    final = [entry(8, 0.8), entry(16, 2.1), entry(24, 2.0), entry(32, 3.5), entry(48, 9.0)]
    # Five of six pairs are ranked alike: tau = (5 - 1) / 6; Spearman = 1 - 6 * 2 / (4 * 15).
    assert rank_agreement(searched, final) == {
        "members": 4,
        "kendall": pytest.approx(4 / 6),
        "spearman": pytest.approx(0.8),
    }


def test_repeated_trials_count_once() -> None:
    searched = [entry(8, 1.0), entry(16, 2.0), entry(24, 3.0), entry(8, 99.0)]
    found = rank_agreement(searched, [entry(8, 1.0), entry(16, 2.0), entry(24, 3.0)])
    assert found == {"members": 3, "kendall": pytest.approx(1), "spearman": pytest.approx(1)}


@pytest.mark.parametrize("latencies", [[1.0, 2.0], [1.0, 1.0, 1.0]])
def test_too_few_or_equal_networks_tell_nothing(latencies: list[float]) -> None:
    members = [entry(8 * number, latency) for number, latency in enumerate(latencies, start=1)]
    assert rank_agreement(members, members) is None
