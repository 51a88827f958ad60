from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hwnas.tasks.base import Quality
from hwnas.testing import TaskSuite
from hwnas.testing.tiny import ARCHITECTURE, TinySpace, TinyTask
from hwnas.training.predict import torch_predict
from tests.tasks.lidar_data import write_scans


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scans(tmp_path_factory.mktemp("kitti"))


class TestLidarSegmentation(TaskSuite):
    task = "lidar-segmentation"
    space = "range-unet"

    @pytest.fixture
    def task_settings(self, data: Path) -> Mapping[str, Any]:
        return {"data": str(data), "label_map": "merged-8", "widths": [256]}


class Forgetful(TinyTask):
    """Whatever is random in it does not follow from the seed."""

    def train_dataset(self, architecture: Any, *, augmentation: float, seed: int) -> Any:
        return super().train_dataset(
            architecture, augmentation=augmentation, seed=int(np.random.default_rng().integers(1 << 30))
        )

    def evaluate(self, *arguments: Any, **options: Any) -> Quality:
        value = float(np.random.default_rng().random())
        return Quality("share", value, {}, 1, 1, {})

    def loss(self, *arguments: Any, **options: Any) -> Any:
        return lambda logits, _: logits.sum() * 0.0


def test_the_suite_fails_a_task_that_does_not_repeat_or_teach() -> None:
    suite, task = TaskSuite(), Forgetful()
    torch.manual_seed(0)
    network = TinySpace().build(ARCHITECTURE)
    with pytest.raises(AssertionError):
        suite.test_training_samples_repeat_and_stack(task, ARCHITECTURE)
    predict = torch_predict(network.eval(), task.io_spec(ARCHITECTURE))
    with pytest.raises(AssertionError):
        suite.test_quality_repeats_and_a_limit_evaluates_no_more(task, predict, ARCHITECTURE)
    with pytest.raises(AssertionError):
        suite.test_the_loss_teaches(task, network, ARCHITECTURE)
