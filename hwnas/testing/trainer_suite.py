"""What every trainer must do; a test class inherits and names one.

```python
class TestMine(TrainerSuite):
    trainer = "mine"
```

It trains on a small task of hwnas's own. A trainer that needs a task of a certain kind names one, with a
space: `task`, `task_settings` and `space`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import nn

from hwnas.architecture import Architecture
from hwnas.errors import ConfigError, TrainingError, TrainingInterruptedError
from hwnas.search_spaces.base import SearchSpace, make_search_space
from hwnas.tasks.base import Task, make_task
from hwnas.testing.tiny import TinySpace, TinyTask
from hwnas.training.recipe import Recipe
from hwnas.training.trainers import Trainer, TrainerSpec, evaluate_network

RECIPE = Recipe(steps=4, batch_size=2)


class TrainerSuite:
    """Subclasses name a trainer and give its settings."""

    trainer: ClassVar[str]
    settings: ClassVar[Mapping[str, Any]] = {}
    task: ClassVar[str | None] = None
    task_settings: ClassVar[Mapping[str, Any]] = {}
    space: ClassVar[str] = "encoder"

    @pytest.fixture
    def subject_task(self) -> Task:
        torch.set_num_threads(1)
        return TinyTask() if self.task is None else make_task(self.task, self.task_settings)

    @pytest.fixture
    def search_space(self, subject_task: Task) -> SearchSpace:
        if self.task is None:
            return TinySpace()
        return make_search_space(self.space, subject_task.contract, {})

    @pytest.fixture
    def architecture(self, search_space: SearchSpace) -> Architecture:
        return search_space.decode({gene: values[0] for gene, values in search_space.choices.items()})

    @pytest.fixture
    def subject(self, subject_task: Task, search_space: SearchSpace) -> Trainer:
        return TrainerSpec(self.trainer, self.settings).make(subject_task, search_space)

    def test_is_a_trainer_with_its_name(self, subject: Trainer) -> None:
        assert isinstance(subject, Trainer)
        assert subject.name == self.trainer
        assert isinstance(subject.adapts, bool)

    def test_the_same_seed_gives_the_same_network(
        self, subject: Trainer, architecture: Architecture, tmp_path: Path
    ) -> None:
        first = subject.train(architecture, RECIPE, seed=3, directory=tmp_path / "a")
        torch.manual_seed(99)  # what happened before does not matter
        again = subject.train(architecture, RECIPE, seed=3, directory=tmp_path / "b")
        other = subject.train(architecture, RECIPE, seed=4, directory=tmp_path / "c")
        assert not first.training
        assert same_weights(first, again)
        assert not same_weights(first, other)
        assert {"weights.safetensors", "state.json"} <= {path.name for path in (tmp_path / "a").iterdir()}

    def test_steps_are_reported(self, subject: Trainer, architecture: Architecture, tmp_path: Path) -> None:
        reported: list[tuple[int, int]] = []
        subject.train(
            architecture,
            RECIPE,
            seed=0,
            directory=tmp_path,
            progress=lambda done, wanted, _: reported.append((done, wanted)),
        )
        assert [done for done, _ in reported] == list(range(1, len(reported) + 1))
        assert {wanted for _, wanted in reported} == {len(reported)}

    def test_a_stopped_training_goes_on_to_the_same_network(
        self, subject: Trainer, architecture: Architecture, tmp_path: Path
    ) -> None:
        steps: list[int] = []

        def count(done: int, _wanted: int, _loss: float) -> None:
            steps.append(done)

        with pytest.raises(TrainingInterruptedError):
            subject.train(
                architecture,
                RECIPE,
                seed=1,
                directory=tmp_path / "stopped",
                progress=count,
                is_stopped=lambda: len(steps) >= RECIPE.steps // 2,
            )
        done = len(steps)
        resumed = subject.train(architecture, RECIPE, seed=1, directory=tmp_path / "stopped", progress=count)
        assert steps[done] == steps[done - 1] + 1, "not from the start"
        through = subject.train(architecture, RECIPE, seed=1, directory=tmp_path / "through")
        assert same_weights(resumed, through)

    def test_another_training_in_the_directory_is_refused(
        self, subject: Trainer, architecture: Architecture, tmp_path: Path
    ) -> None:
        subject.train(architecture, RECIPE, seed=0, directory=tmp_path)
        with pytest.raises(TrainingError):
            subject.train(architecture, RECIPE, seed=5, directory=tmp_path)

    def test_quality_repeats_and_the_network_stays_as_it_is(
        self, subject: Trainer, architecture: Architecture, tmp_path: Path
    ) -> None:
        module = subject.train(architecture, RECIPE, seed=0, directory=tmp_path)
        before = {name: value.clone() for name, value in module.state_dict().items()}
        first = evaluate_network(subject, module, architecture, seed=2)
        torch.manual_seed(7)
        again = evaluate_network(subject, module, architecture, seed=2)
        assert first.value == again.value
        assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())

    def test_unknown_settings_are_refused(self, subject_task: Task, search_space: SearchSpace) -> None:
        with pytest.raises(ConfigError, match="no_such_setting"):
            TrainerSpec(self.trainer, {**self.settings, "no_such_setting": 4}).make(
                subject_task, search_space
            )


def same_weights(first: nn.Module, second: nn.Module) -> bool:
    """Return whether two networks of one architecture have equal weights."""
    mine, others = first.state_dict(), second.state_dict()
    return mine.keys() == others.keys() and all(torch.equal(mine[name], others[name]) for name in mine)
