from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import nn

from hwnas.architecture import Architecture
from hwnas.testing import TrainerSuite
from hwnas.testing.tiny import ARCHITECTURE, TinySpace, TinyTask
from hwnas.training.recipe import Recipe
from hwnas.training.supervised import SupervisedTrainer


class TestSupervised(TrainerSuite):
    trainer = "supervised"


class Restless(SupervisedTrainer):
    """Trains with another seed than the one that it is given, and always from the start."""

    def train(self, architecture: Architecture, recipe: Recipe, **options: Any) -> nn.Module:
        options["seed"] = int(np.random.default_rng().integers(1 << 30))
        options["directory"] = options["directory"] / str(options["seed"])
        return super().train(architecture, recipe, **options)


def test_the_suite_fails_a_trainer_that_does_not_repeat_or_resume(tmp_path: Path) -> None:
    suite = TrainerSuite()
    trainer = Restless(TinyTask(), TinySpace())
    for test in (
        suite.test_the_same_seed_gives_the_same_network,
        suite.test_a_stopped_training_goes_on_to_the_same_network,
    ):
        with pytest.raises(AssertionError):
            test(trainer, ARCHITECTURE, tmp_path / test.__name__)
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        suite.test_another_training_in_the_directory_is_refused(trainer, ARCHITECTURE, tmp_path / "again")
