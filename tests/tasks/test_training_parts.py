from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from hwnas.errors import DataError, PluginError
from hwnas.estimators.base import EVALUATION, checked_estimate
from hwnas.tasks.base import LossSettings
from hwnas.tasks.training_parts import TrainingSamples, training_loss
from hwnas.testing.tiny import ARCHITECTURE, TinySamples, TinyTask
from hwnas.training.samples import EndlessDataset

NAMED = "Plug-in 'tiny' of hwnas.tasks"


class Faulty(TinySamples):
    """Samples of which the first two are as they should be, as a dry run sees them."""

    error: Exception = KeyError("no such scan")

    def __getitem__(self, index: int) -> Any:
        if index > 1:
            raise self.error
        return super().__getitem__(index)


class FaultyTask(TinyTask):
    def train_dataset(self, *_: Any, **__: Any) -> Faulty:
        return Faulty(6, 0.0, 0)

    def loss(self, *_: Any, **__: Any) -> Any:
        return lambda outputs, targets: {}["weight"]


def samples(task: TinyTask, **more: Any) -> TrainingSamples:
    return TrainingSamples(task, ARCHITECTURE, augmentation=1.0, seed=0, **more)


def test_samples_are_those_of_the_task_in_every_pass() -> None:
    for more, seed in (({}, 0), ({"is_pretraining": True}, 1000)):
        named, own = samples(TinyTask(), **more), TinySamples(TinyTask().size, 1.0, seed)
        assert len(named) == len(own)
        for number in (0, 3):
            named.set_epoch(number)
            own.set_epoch(number)
            for one, other in zip(named[1], own[1], strict=True):
                assert torch.equal(one, other)
    assert isinstance(EndlessDataset(samples(TinyTask()), 0)[0], tuple)


def test_an_error_at_a_later_sample_names_the_task() -> None:
    found = samples(FaultyTask())
    assert len(found[1]) == 2
    with pytest.raises(PluginError, match=rf"{NAMED}: `train_dataset` raised KeyError: 'no such scan'"):
        _ = found[2]


def test_errors_about_data_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Faulty, "error", DataError("The scan is broken."))
    with pytest.raises(DataError, match=r"^The scan is broken\.$"):
        _ = samples(FaultyTask())[2]


def test_an_error_of_the_loss_names_the_task() -> None:
    loss = training_loss(FaultyTask(), ARCHITECTURE, LossSettings())
    with pytest.raises(PluginError, match=rf"{NAMED}: `loss` raised KeyError: 'weight'"):
        loss(torch.zeros(1), torch.zeros(1))


def test_an_error_of_an_estimator_names_it(tmp_path: Path) -> None:
    class Mine:
        name, returns = "mine", EVALUATION

        def estimate(self, *_: Any, **__: Any) -> Any:
            raise ZeroDivisionError("division by zero")

    with pytest.raises(PluginError, match=r"'mine' of hwnas.estimators: `estimate` raised ZeroDivisionError"):
        checked_estimate(Mine(), ARCHITECTURE, seed=0, directory=tmp_path)
