from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hwnas.errors import ConfigError
from hwnas.tasks.base import Arrays, make_task
from hwnas.tasks.few_shot import EvaluatedQuality, few_shot_task
from hwnas.testing.tiny import TinyTask
from tests.tasks.lidar_data import ARCHITECTURE, write_scans


def by_height(inputs: Arrays) -> Arrays:
    """A road below, vehicles above."""
    image = inputs["range_image"]
    logits = np.zeros((1, 8, *image.shape[2:]), np.float32)
    logits[:, 2] = -image[:, 3]
    return {"logits": logits}


def test_a_task_that_cannot_be_adapted_is_refused() -> None:
    with pytest.raises(ConfigError, match="does not say how its networks are adapted"):
        few_shot_task(TinyTask())


def test_the_quality_with_an_interval_is_that_of_evaluate(tmp_path: Path) -> None:
    data = write_scans(tmp_path / "data")
    task = few_shot_task(
        make_task("lidar-segmentation", {"data": str(data), "label_map": "merged-8", "widths": [256]})
    )

    found = task.evaluate_with_interval(by_height, ARCHITECTURE)
    assert found.quality == task.evaluate(by_height, ARCHITECTURE)
    assert found.interval is not None
    low, high = found.interval
    assert 0 <= low <= found.quality.value <= high <= 1
    assert EvaluatedQuality.from_json(found.to_json()) == found


def test_settings_of_few_shots_restrict_the_training_split(tmp_path: Path) -> None:
    data = write_scans(tmp_path / "data")
    settings = {"data": str(data), "label_map": "merged-8", "widths": [256]}
    whole = few_shot_task(make_task("lidar-segmentation", settings))
    few = few_shot_task(make_task("lidar-segmentation", {**settings, **whole.few_shot_settings(2, seed=0)}))
    assert len(list(few.raw_inputs(ARCHITECTURE, split="train"))) == 2
    assert few.fingerprint() != whole.fingerprint()
    assert few.evaluate(by_height, ARCHITECTURE).num_samples == 2
    held_out = [
        few_shot_task(make_task("lidar-segmentation", {**settings, **fold})) for fold in few.fold_settings(2)
    ]
    counts = [
        [len(list(fold.raw_inputs(ARCHITECTURE, split=split))) for split in ("train", "val")]
        for fold in held_out
    ]
    assert counts == [[1, 1], [1, 1]]
