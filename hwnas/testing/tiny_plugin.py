"""A task and a space that train in a moment: coloured stripes, small convolutions.

The tests install it as a distribution of its own, so that worker processes find it by name.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import Dataset

from hwnas.architecture import Architecture
from hwnas.errors import ConfigError
from hwnas.io_spec import IoSpec, NetworkContract, TensorSpec, dense_logits
from hwnas.labels import IGNORED_LABEL
from hwnas.search_spaces.base import BlockSignature, restrict_choices
from hwnas.tasks.base import MetricWords, Quality

HEIGHT, WIDTH, CLASSES = 8, 16, 3
CHOICES = {
    "channels": (2, 4, 8),
    "depth": (1, 2, 3),
    "kernel": (1, 3),
    "activation": ("relu", "silu"),
    "behaviour": ("good", "nan", "crash", "unexportable"),
}


class Stripes(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """Images whose rows belong to classes, seen through noise."""

    def __init__(self, seed: int, delay_s: float) -> None:
        self.seed = seed
        self.delay_s = delay_s

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        time.sleep(self.delay_s)
        rng = np.random.default_rng([self.seed, index])
        target = np.repeat(rng.integers(0, CLASSES, (HEIGHT, 1)), WIDTH, axis=1)
        image = np.stack([target == 0, target == 1]) + rng.normal(0, 0.7, (2, HEIGHT, WIDTH))
        return torch.from_numpy(image.astype(np.float32)), torch.from_numpy(target.astype(np.int64))


class StripesTask:
    name = "tiny-stripes"
    processor = "arrays"
    words = MetricWords("accuracy", "accuracy", "pixel", "image", "class")
    class_names = ("red", "green", "blue")
    contract = NetworkContract(2, HEIGHT, (WIDTH,), dense_logits(CLASSES))

    def __init__(self, settings: Mapping[str, Any]) -> None:
        unknown = set(settings) - {"delay_s", "version", "fault"}
        if unknown:
            raise ConfigError(f"Unknown settings {sorted(unknown)}.")
        self.settings = {"delay_s": 0.0, "version": 1, "fault": "", **settings}

    def io_spec(self, architecture: Architecture) -> IoSpec:
        return IoSpec(
            (TensorSpec("image", (1, 2, HEIGHT, WIDTH)),),
            (TensorSpec("logits", (1, CLASSES, HEIGHT, WIDTH)),),
        )

    def train_dataset(self, architecture: Architecture, *, augmentation: float, seed: int) -> Stripes:
        return Stripes(seed, self.settings["delay_s"])

    def loss(self, architecture: Architecture, settings: Any) -> Any:
        cross_entropy = nn.CrossEntropyLoss(ignore_index=IGNORED_LABEL)
        if architecture.genes.get("behaviour") == "nan":
            return lambda logits, target: cross_entropy(logits, target) * float("nan")
        return cross_entropy

    def evaluate(
        self, predict: Any, architecture: Architecture, *, split: str = "val", limit: int | None = None
    ) -> Quality:
        if self.settings["fault"] == "raises" and limit is None:  # which no dry run does
            raise ZeroDivisionError("no pixel is left")
        data = Stripes(10_000, 0.0)
        hits = 0
        for index in range(len(data)):
            image, target = data[index]
            hits += int(
                (predict({"image": image[None].numpy()})["logits"].argmax(1)[0] == target.numpy()).sum()
            )
        total = len(data) * HEIGHT * WIDTH
        classes = dict.fromkeys(self.class_names, hits / total)
        items = dict.fromkeys(self.class_names, total // CLASSES)
        value = hits / total * (100.0 if self.settings["fault"] == "percent" else 1.0)
        return Quality("accuracy", value, classes, len(data), total, items)

    def inputs(self, architecture: Architecture, *, split: str = "val", limit: int | None = None) -> Any:
        for index in range(limit or 8):
            yield {"image": Stripes(10_000, 0.0)[index][0][None].numpy()}

    raw_inputs = inputs

    def decisions(self, outputs: Any) -> Any:
        return np.asarray(outputs["logits"]).argmax(1)

    def deployment(self, architecture: Architecture) -> dict[str, Any]:
        return {}

    def fingerprint(self) -> str:
        return f"stripes-{self.settings['version']}"

    def pictures(self, predict: Any, architecture: Architecture, *, limit: int = 2) -> list[Any]:
        return []


class Unexportable(nn.Module):
    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return inputs * float(inputs.sum().item() > 0)


class Fatal(nn.Module):
    """Kills the process that trains it, as a machine that runs out of memory would."""

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        if self.training:
            os.kill(os.getpid(), signal.SIGKILL)
        return inputs


class TinySpace:
    name = "tiny-space"

    def __init__(self, contract: NetworkContract, restrictions: Mapping[str, Any]) -> None:
        self.contract = contract
        self.choices = restrict_choices(CHOICES, {"behaviour": ["good"], **restrictions})

    def decode(self, choices: Mapping[str, Any]) -> Architecture:
        return Architecture(self.name, choices, (2, HEIGHT, WIDTH), dense_logits(CLASSES))

    def encode(self, architecture: Architecture) -> np.ndarray:
        return np.array(
            [CHOICES[gene].index(value) for gene, value in architecture.genes.items()], np.float32
        )

    def build(self, architecture: Architecture) -> nn.Module:
        genes: Mapping[str, Any] = architecture.genes
        layers: list[nn.Module] = []
        before = 2
        for _ in range(genes["depth"]):
            layers += [
                nn.Conv2d(before, genes["channels"], genes["kernel"], padding=genes["kernel"] // 2),
                nn.ReLU() if genes["activation"] == "relu" else nn.SiLU(),
            ]
            before = genes["channels"]
        odd: dict[str, list[nn.Module]] = {"crash": [Fatal()], "unexportable": [Unexportable()]}
        extra = odd.get(genes["behaviour"], [])
        return nn.Sequential(*layers, *extra, nn.Conv2d(before, CLASSES, 1))

    def blocks(self, architecture: Architecture) -> list[Any]:
        shape = (int(architecture.genes["channels"]), HEIGHT, WIDTH)
        settings = (("channels", int(architecture.genes["channels"])),)
        return [BlockSignature("body", (shape,), shape, settings)] * int(architecture.genes["depth"])


def make_task(settings: Mapping[str, Any]) -> StripesTask:
    return StripesTask(settings)


def make_space(contract: NetworkContract, restrictions: Mapping[str, Any]) -> TinySpace:
    return TinySpace(contract, restrictions)
