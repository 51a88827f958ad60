from __future__ import annotations

from dataclasses import replace

import pytest

from hwnas.tasks.base import Quality
from hwnas.tasks.constant_answers import ConstantAnswer, best_constant_answer, has_learned_nothing

QUALITY = Quality(
    "mIoU",
    0.2,
    {"car": 0.1, "road": 0.3, "plant": None},
    num_samples=2,
    num_items=100,
    items_per_class={"car": 40, "road": 60, "plant": 0},
)


def test_the_most_frequent_class_is_the_best_constant_answer() -> None:
    assert best_constant_answer(QUALITY) == ConstantAnswer("road", 0.3)
    accuracy = best_constant_answer(replace(QUALITY, metric="accuracy"))
    assert accuracy is not None
    assert accuracy.to_json() == {"group": "road", "value": 0.6}


def test_of_one_class_and_of_other_metrics_nothing_is_known() -> None:
    assert best_constant_answer(replace(QUALITY, items_per_class={"car": 0, "road": 60})) is None
    assert best_constant_answer(replace(QUALITY, metric="mAP")) is None


@pytest.mark.parametrize(("value", "nothing"), [(0.0, True), (0.3, True), (0.301, False)])
def test_who_is_no_better_has_learned_nothing(value: float, nothing: bool) -> None:
    assert has_learned_nothing(replace(QUALITY, value=value)) is nothing
