from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from hwnas.errors import TrainingError
from hwnas.estimators.base import AccuracyEstimator
from hwnas.estimators.training import TrainingEstimator
from hwnas.testing.tiny import ARCHITECTURE, TinySpace, TinyTask
from hwnas.training.recipe import Recipe

RECIPE = Recipe(steps=4, batch_size=2, mixed_precision="no")


def test_estimates_and_leaves_the_weights(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    estimator = TrainingEstimator(TinyTask(), TinySpace(), RECIPE)
    assert isinstance(estimator, AccuracyEstimator)
    assert estimator.name == "training-4-steps"
    estimate = estimator.estimate(ARCHITECTURE, seed=0, directory=tmp_path)
    assert 0.0 <= estimate.quality.value <= 1.0
    assert estimate.cost_s > 0
    assert (tmp_path / "weights.safetensors").is_file()
    again = estimator.estimate(ARCHITECTURE, seed=0, directory=tmp_path)
    assert again.quality == estimate.quality


def test_evaluates_on_a_part_of_the_split(tmp_path: Path) -> None:
    estimator = replace(TrainingEstimator(TinyTask(), TinySpace(), RECIPE), limit=2)
    assert estimator.estimate(ARCHITECTURE, seed=0, directory=tmp_path).quality.num_samples == 2


def test_a_metric_that_is_not_a_number_is_an_error(tmp_path: Path) -> None:
    estimator = TrainingEstimator(TinyTask(), TinySpace(), RECIPE, limit=0)
    with pytest.warns(RuntimeWarning), pytest.raises(TrainingError, match="nan"):
        estimator.estimate(ARCHITECTURE, seed=0, directory=tmp_path)
