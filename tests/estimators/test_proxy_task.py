"""Proxies that see fewer samples and fewer columns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hwnas.errors import ConfigError, TrainingError
from hwnas.estimators.base import EstimatorContext, make_estimator
from hwnas.estimators.proxy_task import ProxyTask
from hwnas.io_spec import NetworkContract, dense_logits
from hwnas.search_spaces.base import make_search_space, sample_choices
from hwnas.tasks.base import Task
from hwnas.testing.tiny import ARCHITECTURE, CLASSES, TinySpace, TinyTask

QUICK = {"steps": 3, "batch_size": 2, "mixed_precision": "no"}


def test_a_part_of_the_samples_is_seen_and_a_part_of_their_columns() -> None:
    whole: Any = TinyTask(size=6).train_dataset(ARCHITECTURE, augmentation=1.0, seed=3)
    smaller: Any = ProxyTask(TinyTask(size=6), every=2, samples=0.5).train_dataset(
        ARCHITECTURE, augmentation=1.0, seed=3
    )
    assert len(smaller) == 3
    for dataset in (whole, smaller):
        dataset.set_epoch(2)
    for place, index in enumerate((0, 2, 4)):
        inputs, target = whole[index]
        assert torch.equal(smaller[place][0], inputs[..., ::2])
        assert torch.equal(smaller[place][1], target[..., ::2])


@pytest.mark.parametrize("every", [1, 2, 3])
def test_what_is_said_of_a_column_stands_for_those_after_it(every: int) -> None:
    seen = []

    def predict(inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        image = inputs["image"]
        seen.append(image.shape)
        assert image.flags["C_CONTIGUOUS"]
        return {"logits": np.repeat(image[:, :1], CLASSES, axis=1)}

    class Kept(TinyTask):
        def evaluate(self, predict: Any, architecture: Any, **settings: Any) -> Any:
            inputs = np.arange(10.0, dtype=np.float32).reshape(1, 1, 1, 10)
            return predict({"image": inputs})["logits"]

    widened = np.asarray(ProxyTask(Kept(), every=every).evaluate(predict, ARCHITECTURE))
    columns = np.arange(10)
    assert widened.shape == (1, CLASSES, 1, 10)
    assert (widened[0, 0, 0] == columns - columns % every).all()
    assert seen == [(1, 1, 1, -(-10 // every))]


def test_the_estimator_trains_on_less_and_is_another_one(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    scores = {}
    for name, settings in (("whole", {}), ("less", {"samples": 0.5, "column_stride": 2})):
        context = EstimatorContext(TinyTask(), TinySpace(), {**QUICK, **settings})
        estimate = make_estimator("training", context).estimate(
            ARCHITECTURE, seed=0, directory=tmp_path / name
        )
        scores[name] = estimate.quality
    assert scores["whole"].num_items == scores["less"].num_items, "all pixels are evaluated"
    assert scores["whole"].value != scores["less"].value
    assert ProxyTask(TinyTask(), 2).fingerprint() != TinyTask().fingerprint()


def test_networks_take_narrower_inputs_or_are_refused() -> None:
    contract = NetworkContract(5, 16, (64,), dense_logits(4), cyclic_width=True)
    rng = np.random.default_rng(0)
    for decoder in ("bilinear-sum", "concatenation", "pixel-shuffle", "transposed-convolution"):
        space = make_search_space("range-unet", contract, {"decoder": [decoder], "num_stages": [3]})
        architecture = space.decode(sample_choices(space, rng))
        network = space.build(architecture)
        ProxyTask(Wide(), every=2).check(network, architecture)
        assert network.training
        with torch.no_grad():
            assert network.eval()(torch.zeros(1, 5, 16, 32)).shape == (1, 4, 16, 32)
        with pytest.raises(TrainingError, match="22 columns, one in 3 of 64"):
            ProxyTask(Wide(), every=3).check(network, architecture)


class Wide(TinyTask):
    contract = NetworkContract(5, 16, (64,), dense_logits(4), cyclic_width=True)


def test_it_is_a_task() -> None:
    task: Task = ProxyTask(TinyTask(), 2, 0.5)
    assert task.contract == TinyTask.contract
    assert [inputs["image"].shape[-1] for inputs in task.inputs(ARCHITECTURE, limit=1)] == [
        -(-TinyTask.contract.widths[0] // 2)
    ]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"column_stride": 0}, "column_stride"),
        ({"column_stride": 1.5}, "column_stride"),
        ({"column_stride": 10_000}, "narrowest"),
        ({"samples": 0}, "samples"),
        ({"samples": 2}, "samples"),
        ({"samples": "half"}, "samples"),
        ({"column_strid": 2}, "Did you mean 'column_stride'"),
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_estimator("training", EstimatorContext(TinyTask(), TinySpace(), {**QUICK, **settings}))
