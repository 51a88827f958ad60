"""A task and a search space small enough to train in a moment."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from hwnas.architecture import Architecture, Choice
from hwnas.arrays import FloatArray
from hwnas.io_spec import IoSpec, NetworkContract, TensorSpec, dense_logits
from hwnas.search_spaces.base import BlockSignature
from hwnas.tasks.base import Arrays, LossFunction, LossSettings, MetricWords, Picture, Predict, Quality
from hwnas.tasks.losses import segmentation_loss

CLASSES, CHANNELS, HEIGHT, WIDTH = 3, 2, 8, 16


class TinySamples(Dataset[tuple[Tensor, Tensor]]):
    """Random images whose class is the sign pattern of their channels; items change from pass to pass."""

    def __init__(self, size: int, augmentation: float, seed: int) -> None:
        self.size, self.augmentation, self.seed, self.number = size, augmentation, seed, 0

    def __len__(self) -> int:
        return self.size

    def set_epoch(self, number: int) -> None:
        self.number = number

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        fixed = np.random.default_rng([1, index])
        inputs = fixed.standard_normal((CHANNELS, HEIGHT, WIDTH)).astype(np.float32)
        target = (inputs[0] > 0).astype(np.int64) + (inputs[1] > 0.5)
        noise = np.random.default_rng([self.seed, self.number, index]).standard_normal(inputs.shape)
        noisy = inputs + np.float32(0.1 * self.augmentation) * noise.astype(np.float32)
        return torch.from_numpy(noisy), torch.from_numpy(target)


class TinyTask:
    """Evaluates by the share of right pixels."""

    name = "tiny"
    processor = "arrays"
    words = MetricWords("share", "share", "pixel", "image", "class")
    settings: Mapping[str, Any] = {}
    class_names = ("a", "b", "c")
    contract = NetworkContract(CHANNELS, HEIGHT, (WIDTH,), dense_logits(CLASSES))

    def __init__(self, size: int = 6, data: str = "tiny") -> None:
        self.size, self.data = size, data

    def io_spec(self, architecture: Architecture) -> IoSpec:
        return IoSpec(
            (TensorSpec("image", (1, CHANNELS, HEIGHT, WIDTH)),),
            (TensorSpec("logits", (1, CLASSES, HEIGHT, WIDTH)),),
        )

    def train_dataset(self, architecture: Architecture, *, augmentation: float, seed: int) -> TinySamples:
        return TinySamples(self.size, augmentation, seed)

    def pretraining_dataset(
        self, architecture: Architecture, *, augmentation: float, seed: int
    ) -> TinySamples:
        return TinySamples(self.size, augmentation, seed + 1000)

    def loss(self, architecture: Architecture, settings: LossSettings) -> LossFunction:
        return segmentation_loss(settings, (1.0,) * CLASSES)

    def evaluate(
        self, predict: Predict, architecture: Architecture, *, split: str = "val", limit: int | None = None
    ) -> Quality:
        data = TinySamples(self.size, 0.0, 0)
        pairs = [data[index] for index in range(self.size)][:limit]
        right = [
            float(
                np.mean(
                    predict({"image": inputs[None].numpy()})["logits"][0].argmax(axis=0) == target.numpy()
                )
            )
            for inputs, target in pairs
        ]
        num_items = len(pairs) * HEIGHT * WIDTH
        return Quality("share", float(np.mean(right)), {}, len(pairs), num_items, {})

    def inputs(
        self, architecture: Architecture, *, split: str = "val", limit: int | None = None
    ) -> Iterator[Arrays]:
        data = TinySamples(self.size, 0.0, 0)
        for index in range(self.size)[:limit]:
            yield {"image": data[index][0][None].numpy()}

    raw_inputs = inputs

    def decisions(self, outputs: Arrays) -> Any:
        return np.asarray(outputs["logits"]).argmax(axis=1)

    def deployment(self, architecture: Architecture) -> Mapping[str, Any]:
        return {}

    def fingerprint(self) -> str:
        return self.data

    def pictures(self, predict: Predict, architecture: Architecture, *, limit: int = 2) -> list[Picture]:
        return []


class TinySpace:
    """Two convolutions with batch norm and dropout between them."""

    name = "tiny"
    choices: Mapping[str, tuple[Choice, ...]] = {"channels": (4, 8)}

    def decode(self, choices: Mapping[str, Choice]) -> Architecture:
        return Architecture("tiny", choices, (CHANNELS, HEIGHT, WIDTH), dense_logits(CLASSES))

    def encode(self, architecture: Architecture) -> FloatArray:
        return np.array([float(architecture.genes["channels"])], np.float32)

    def build(self, architecture: Architecture) -> nn.Module:
        channels = int(architecture.genes["channels"])
        return nn.Sequential(
            nn.Conv2d(CHANNELS, channels, 3, padding=1),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Dropout2d(0.2),
            nn.Conv2d(channels, CLASSES, 1),
        )

    def blocks(self, architecture: Architecture) -> list[BlockSignature]:
        return []


ARCHITECTURE = TinySpace().decode({"channels": 8})
