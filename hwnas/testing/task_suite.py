"""What every task must do, and the processor that it names; a test class inherits and names the task.

```python
class TestMine(TaskSuite):
    task = "my-task"
    settings = {"data": "small"}
```

Settings that are known only when the test runs, such as a directory with data, come from a fixture
`task_settings` of the class.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor

from hwnas.architecture import Architecture
from hwnas.bundle.runtime.processor import Processor, ProcessorContext, make_processor, result_warnings
from hwnas.errors import ConfigError, DataError
from hwnas.search_spaces.base import SearchSpace, make_search_space
from hwnas.tasks.base import LossSettings, Predict, Task, make_task
from hwnas.tasks.evaluation import evaluate
from hwnas.tasks.optional_parts import expectations, set_epoch
from hwnas.tasks.trees import leaves, run
from hwnas.training.dry_run import dry_run
from hwnas.training.predict import torch_predict
from hwnas.training.trainers import BY_DEFAULT, TrainerSpec

SAMPLES = 2


class TaskSuite:
    """Subclasses name a task and give its settings; few samples suffice."""

    task: ClassVar[str]
    settings: ClassVar[Mapping[str, Any]] = {}
    space: ClassVar[str] = "encoder"
    """A search space whose networks meet the task's contract."""

    @pytest.fixture
    def task_settings(self) -> Mapping[str, Any]:
        return self.settings

    @pytest.fixture
    def subject(self, task_settings: Mapping[str, Any]) -> Task:
        torch.set_num_threads(1)
        return make_task(self.task, task_settings)

    @pytest.fixture
    def trainer(self) -> TrainerSpec:
        return BY_DEFAULT

    @pytest.fixture
    def search_space(self, subject: Task) -> SearchSpace:
        return make_search_space(self.space, subject.contract, {})

    @pytest.fixture
    def architecture(self, search_space: SearchSpace) -> Architecture:
        return search_space.decode({gene: values[0] for gene, values in search_space.choices.items()})

    @pytest.fixture
    def network(self, search_space: SearchSpace, architecture: Architecture) -> torch.nn.Module:
        torch.manual_seed(0)
        return search_space.build(architecture).eval()

    @pytest.fixture
    def predict(self, subject: Task, network: torch.nn.Module, architecture: Architecture) -> Predict:
        return torch_predict(network, subject.io_spec(architecture))

    @pytest.fixture
    def processor(self, subject: Task, architecture: Architecture) -> Processor:
        context = ProcessorContext(
            subject.deployment(architecture),
            subject.io_spec(architecture),
            subject.name,
            "a test",
            expectations(subject, architecture),
        )
        return make_processor(subject.processor, context)

    def test_a_search_can_begin_with_it(
        self, subject: Task, search_space: SearchSpace, trainer: TrainerSpec
    ) -> None:
        dry_run(subject, search_space, trainer)

    def test_settings_make_an_equal_task(self, subject: Task) -> None:
        settings = json.loads(json.dumps(dict(subject.settings), allow_nan=False))
        again = make_task(self.task, settings)
        assert again.fingerprint() == subject.fingerprint()
        assert dict(again.settings) == dict(subject.settings)
        assert again.contract == subject.contract

    def test_an_unknown_setting_is_refused(self, task_settings: Mapping[str, Any]) -> None:
        with pytest.raises(ConfigError, match="no_such_setting"):
            make_task(self.task, {**task_settings, "no_such_setting": 4})

    def test_training_samples_repeat_and_stack(self, subject: Task, architecture: Architecture) -> None:
        first, again = (subject.train_dataset(architecture, augmentation=1.0, seed=3) for _ in range(SAMPLES))
        for data in (first, again):
            set_epoch(data, 1)
        forms = set()
        for index in range(min(len(first), SAMPLES)):  # type: ignore[arg-type]
            tensors = [tensor for tree in first[index] for tensor in leaves(tree)]
            others = [tensor for tree in again[index] for tensor in leaves(tree)]
            assert all(torch.equal(one, other) for one, other in zip(tensors, others, strict=True))
            forms.add(tuple((tuple(tensor.shape), tensor.dtype) for tensor in tensors))
        assert len(forms) == 1

    def test_the_loss_teaches(
        self, subject: Task, network: torch.nn.Module, architecture: Architecture
    ) -> None:
        data = subject.train_dataset(architecture, augmentation=0.0, seed=0)
        inputs, targets = torch.utils.data.default_collate([data[index] for index in range(SAMPLES)])
        loss_function = subject.loss(architecture, LossSettings())
        network.train()
        optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
        losses = []
        for _ in range(20):
            loss: Tensor = loss_function(run(network, inputs), targets)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            losses.append(float(loss.detach()))
        assert min(losses[-3:]) < losses[0], "twenty steps on the same samples"

    def test_quality_repeats_and_a_limit_evaluates_no_more(
        self, subject: Task, predict: Predict, architecture: Architecture
    ) -> None:
        whole = evaluate(subject, predict, architecture)
        assert evaluate(subject, predict, architecture).value == whole.value
        assert 0.0 <= whole.value <= 1.0
        assert subject.evaluate(predict, architecture, limit=1).num_items <= whole.num_items

    def test_inputs_are_finite_and_in_a_fixed_order(self, subject: Task, architecture: Architecture) -> None:
        first = list(islice(subject.inputs(architecture), SAMPLES))
        again = list(islice(subject.inputs(architecture), SAMPLES))
        assert first
        for one, other in zip(first, again, strict=True):
            for name, array in one.items():
                assert np.isfinite(array).all()
                np.testing.assert_array_equal(array, other[name])

    def test_the_processor_leaves_its_input_as_it_is(
        self, subject: Task, processor: Processor, predict: Predict, architecture: Architecture
    ) -> None:
        for raw in islice(subject.raw_inputs(architecture), SAMPLES):
            assert all(isinstance(sentence, str) for sentence in processor.check(raw))
            before, context = processor.before(raw)
            result = processor.after(predict(before), context)
            assert all(isinstance(sentence, str) for sentence in result_warnings(processor, result))
            again, _ = processor.before(raw)
            for name, array in before.items():
                np.testing.assert_array_equal(array, again[name])

    def test_a_file_that_is_none_of_its_own_is_refused(self, processor: Processor, tmp_path: Path) -> None:
        assert processor.input_suffixes
        for suffix in processor.input_suffixes:
            assert suffix == suffix.lower()
            assert suffix.startswith(".")
            path = tmp_path / f"damaged{suffix}"
            path.write_bytes(b"\x00\xffnot a sample")
            with pytest.raises(DataError):
                processor.check(processor.read(path))
            with pytest.raises(DataError):
                processor.read(tmp_path / f"missing{suffix}")
