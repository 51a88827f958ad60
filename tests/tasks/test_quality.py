from __future__ import annotations

import pytest

from hwnas.cli import measurement_tables
from hwnas.tasks.base import Quality


def quality(**per_class: float | None) -> Quality:
    return Quality("mIoU", 0.2798, per_class, 2, 100, dict.fromkeys(per_class, 1))


def test_a_mean_says_over_how_many_classes_it_is() -> None:
    assert quality(car=0.2, road=0.4).shown == "mIoU 0.2798"
    some = quality(car=0.2, road=0.4, tram=None)
    assert some.scope == "over 2 of 3 classes"
    assert some.shown == "mIoU 0.2798 over 2 of 3 classes"
    assert "mIoU 0.2798 over 2 of 3 classes" in repr(some)


def test_tables_name_absent_classes_once(capsys: pytest.CaptureFixture[str]) -> None:
    some = quality(car=0.2, tram=None, bus=None)
    measurement_tables.print_scope([some, some, quality(car=0.2)])
    said = "mIoU is over 1 of 3 classes: the ground truth holds no tram, bus.\n"
    assert capsys.readouterr().out == said
