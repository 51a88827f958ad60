"""The task `disc-present`: one score for a whole image."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import Dataset

from hwnas.architecture import Architecture
from hwnas.errors import ConfigError, DataError
from hwnas.io_spec import IoSpec, NetworkContract, OutputSpec
from hwnas.tasks.base import (
    Arrays,
    LossFunction,
    LossSettings,
    MetricWords,
    Picture,
    Predict,
    Quality,
    Task,
)
from hwnas_classification_plugin.images import SIDE, image
from hwnas_classification_plugin.processor import drawn, normalised

NAME = "disc-present"
_DEFAULTS = {"train_images": 48, "val_images": 24, "seed": 0}
_SPLITS = {"train": 0, "val": 1}


class DiscPresent:
    """Is there a disc? Evaluated by the mean of both recalls."""

    name = NAME
    processor = "disc-image"
    class_names = ("no disc", "disc")
    words = MetricWords("balanced accuracy", "recall", "image", "image", "answer")
    contract = NetworkContract(3, SIDE, (SIDE,), (OutputSpec("score", 1, None),))

    def __init__(self, settings: Mapping[str, Any]) -> None:
        """Take numbers of images and a seed.

        Raises:
            ConfigError: if a setting is unknown or not a whole number.
        """
        wrong = {
            key: value for key, value in settings.items() if key not in _DEFAULTS or type(value) is not int
        }
        if wrong:
            raise ConfigError(f"{NAME} takes whole numbers for {sorted(_DEFAULTS)}, but got {wrong}.")
        self.settings = {**_DEFAULTS, **settings}

    def io_spec(self, architecture: Architecture) -> IoSpec:
        """Return `image` [1, 3, H, W] in, `score` [1, 1] out."""
        return architecture.io_spec("image")

    def train_dataset(
        self, architecture: Architecture, *, augmentation: float, seed: int
    ) -> Dataset[tuple[Tensor, Tensor]]:
        """Return images, mirrored at random, and 1.0 or 0.0."""
        return _Images(self.images("train"), augmentation, seed)

    def loss(self, architecture: Architecture, settings: LossSettings) -> LossFunction:
        """Return the binary cross-entropy."""
        return lambda score, target: F.binary_cross_entropy_with_logits(score[:, 0], target)

    def evaluate(
        self, predict: Predict, architecture: Architecture, *, split: str = "val", limit: int | None = None
    ) -> Quality:
        """Return the mean recall of the answers that a split holds."""
        found = [
            (has_disc, bool(self.decisions(predict({"image": normalised(pixels)[None]}))))
            for pixels, has_disc in self.images(split)[:limit]
        ]
        matrix = np.zeros((2, 2), np.int64)
        for truth, said in found:
            matrix[int(truth), int(said)] += 1
        items = matrix.sum(axis=1)
        recalls = [float(matrix[k, k] / items[k]) if items[k] else None for k in range(2)]
        return Quality(
            metric=self.words.metric,
            value=float(np.mean([recall for recall in recalls if recall is not None])),
            per_class=dict(zip(self.class_names, recalls, strict=True)),
            num_samples=len(found),
            num_items=len(found),
            items_per_class={name: int(count) for name, count in zip(self.class_names, items, strict=True)},
            confusion=tuple(tuple(int(count) for count in row) for row in matrix),
        )

    def decisions(self, outputs: Arrays) -> npt.NDArray[np.bool_]:
        """Return whether there is a disc."""
        return np.asarray(outputs["score"][0, 0] > 0)

    def inputs(
        self, architecture: Architecture, *, split: str = "val", limit: int | None = None
    ) -> Iterator[Arrays]:
        """Yield the images of a split."""
        return ({"image": normalised(pixels)[None]} for pixels, _ in self.images(split)[:limit])

    def raw_inputs(
        self, architecture: Architecture, *, split: str = "val", limit: int | None = None
    ) -> Iterator[npt.NDArray[np.uint8]]:
        """Yield the images as files hold them."""
        return (pixels for pixels, _ in self.images(split)[:limit])

    def deployment(self, architecture: Architecture) -> Mapping[str, Any]:
        """Return what the processor must know."""
        return {"side": SIDE, "class_names": list(self.class_names)}

    def fingerprint(self) -> str:
        """Return a hash of the settings, which the images follow from."""
        return hashlib.sha256(json.dumps(self.settings, sort_keys=True).encode("ascii")).hexdigest()

    def pictures(self, predict: Predict, architecture: Architecture, *, limit: int = 2) -> list[Picture]:
        """Draw images with the answers as frames."""
        pictures = []
        for index, (pixels, has_disc) in enumerate(self.images("val")[:limit]):
            said = bool(self.decisions(predict({"image": normalised(pixels)[None]})))
            title = f"image {index}: {self.class_names[said]}, truly {self.class_names[has_disc]}"
            pictures.append(Picture(title, drawn(pixels, said)))
        return pictures

    def images(self, split: str) -> list[tuple[npt.NDArray[np.uint8], bool]]:
        """Return all images and answers of a split.

        Raises:
            DataError: if there is no such split.
        """
        if split not in _SPLITS:
            raise DataError(f"{NAME} has the splits {sorted(_SPLITS)}, but not {split!r}.")
        seed = 2 * self.settings["seed"] + _SPLITS[split]
        return [image(seed, index) for index in range(self.settings[f"{split}_images"])]


class _Images(Dataset[tuple[Tensor, Tensor]]):
    def __init__(
        self, samples: list[tuple[npt.NDArray[np.uint8], bool]], augmentation: float, seed: int
    ) -> None:
        self._samples, self._augmentation, self._seed, self._pass = samples, augmentation, seed, 0

    def set_epoch(self, number: int) -> None:
        """Mirror other images in every pass."""
        self._pass = number

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        pixels, has_disc = self._samples[index]
        rng = np.random.default_rng([self._seed, self._pass, index])
        step = -1 if rng.random() < self._augmentation / 2 else 1
        return torch.from_numpy(normalised(pixels[:, ::step])), torch.tensor(float(has_disc))


def make_task(settings: Mapping[str, Any]) -> Task:
    """Return the task.

    Raises:
        ConfigError: if a setting is unknown or not a whole number.
    """
    return DiscPresent(settings)
