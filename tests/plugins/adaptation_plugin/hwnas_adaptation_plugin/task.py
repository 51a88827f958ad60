"""The task `ripe-fruit`: which pixels show ripe fruit, in orchards whose colours differ."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from PIL import Image
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
from hwnas_adaptation_plugin.orchards import HELD_OUT, SIDE, image

NAME = "ripe-fruit"
_DEFAULTS = {"train_orchards": 24, "val_orchards": 6, "support_images": 8, "query_images": 6, "seed": 0}


class RipeFruit:
    """Accuracy over pixels of images that a network was not adapted on, for each held-out orchard."""

    name = NAME
    processor = "arrays"
    class_names = ()
    words = MetricWords("accuracy after adaptation", "accuracy", "pixel", "image", "orchard")
    contract = NetworkContract(3, SIDE, (SIDE,), (OutputSpec("ripe", 1, 1),))

    def __init__(self, settings: Mapping[str, Any]) -> None:
        """Take numbers of orchards and images, and a seed.

        Raises:
            ConfigError: if a setting is unknown or not a whole number.
        """
        wrong = {
            key: value for key, value in settings.items() if key not in _DEFAULTS or type(value) is not int
        }
        if wrong:
            raise ConfigError(f"{NAME} takes whole numbers for {sorted(_DEFAULTS)}, but got {wrong}.")
        self.settings = {**_DEFAULTS, **settings}

    def orchards(self, split: str) -> range:
        """Return the orchards of a split.

        Raises:
            DataError: if there is no such split.
        """
        if split not in {"train", "val"}:
            raise DataError(f"{NAME} has the splits 'train' and 'val', but not {split!r}.")
        first = 0 if split == "train" else HELD_OUT
        return range(first, first + self.settings[f"{split}_orchards"])

    def support(self, orchard: int) -> tuple[Tensor, Tensor]:
        """Return the images and targets of an orchard that networks may be adapted on, as one batch."""
        samples = [image(self.settings["seed"], orchard, n) for n in range(self.settings["support_images"])]
        return (
            torch.from_numpy(np.stack([pixels for pixels, _ in samples])),
            torch.from_numpy(np.stack([truth for _, truth in samples])),
        )

    def query(self, orchard: int) -> list[tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]]:
        """Return the images and targets of an orchard that networks are evaluated on."""
        first = self.settings["support_images"]
        return [
            image(self.settings["seed"], orchard, first + n) for n in range(self.settings["query_images"])
        ]

    def io_spec(self, architecture: Architecture) -> IoSpec:
        """Return `image` in, `ripe` out, both as large."""
        return architecture.io_spec("image")

    def train_dataset(
        self, architecture: Architecture, *, augmentation: float, seed: int
    ) -> Dataset[tuple[Tensor, Tensor]]:
        """Return the support images of all training orchards."""
        batches = [self.support(orchard) for orchard in self.orchards("train")]
        return torch.utils.data.TensorDataset(
            torch.cat([images for images, _ in batches]), torch.cat([targets for _, targets in batches])
        )

    def loss(self, architecture: Architecture, settings: LossSettings) -> LossFunction:
        """Return the binary cross-entropy."""
        return F.binary_cross_entropy_with_logits

    def evaluate(
        self, predict: Predict, architecture: Architecture, *, split: str = "val", limit: int | None = None
    ) -> Quality:
        """Evaluate one network on all orchards, without adapting it to any."""
        return self.quality(dict.fromkeys(self.orchards(split)[:limit], predict))

    def quality(self, predicts: Mapping[int, Predict]) -> Quality:
        """Evaluate a network of its own for each orchard."""
        shares = {}
        for orchard, predict in predicts.items():
            right = [
                self.decisions(predict({"image": pixels[None]})) == (truth[0] > 0.5)
                for pixels, truth in self.query(orchard)
            ]
            shares[f"orchard {orchard}"] = float(np.mean(right))
        pixels_each = self.settings["query_images"] * SIDE * SIDE
        return Quality(
            metric=self.words.metric,
            value=float(np.mean(list(shares.values()))) if shares else float("nan"),
            per_class=dict(shares),
            num_samples=len(shares) * self.settings["query_images"],
            num_items=len(shares) * pixels_each,
            items_per_class=dict.fromkeys(shares, pixels_each),
        )

    def decisions(self, outputs: Arrays) -> npt.NDArray[np.bool_]:
        """Return which pixels show ripe fruit, [H, W]."""
        return np.asarray(outputs["ripe"][0, 0] > 0)

    def inputs(
        self, architecture: Architecture, *, split: str = "val", limit: int | None = None
    ) -> Iterator[Arrays]:
        """Yield the images that networks are evaluated on."""
        found = (
            {"image": pixels[None]} for orchard in self.orchards(split) for pixels, _ in self.query(orchard)
        )
        return (arrays for number, arrays in enumerate(found) if limit is None or number < limit)

    def raw_inputs(
        self, architecture: Architecture, *, split: str = "val", limit: int | None = None
    ) -> Iterator[Arrays]:
        """Yield the same: files hold inputs as they are."""
        return self.inputs(architecture, split=split, limit=limit)

    def deployment(self, architecture: Architecture) -> Mapping[str, Any]:
        """Return nothing: the processor `arrays` needs to know no more than shapes."""
        return {}

    def fingerprint(self) -> str:
        """Return a hash of the settings, which the images follow from."""
        return hashlib.sha256(json.dumps(self.settings, sort_keys=True).encode("ascii")).hexdigest()

    def pictures(self, predict: Predict, architecture: Architecture, *, limit: int = 2) -> list[Picture]:
        """Draw image, what the network says before it is adapted, and truth."""
        pictures = []
        for orchard in self.orchards("val")[:limit]:
            pixels, truth = self.query(orchard)[0]
            photo = np.clip(pixels.transpose(1, 2, 0) * 50 + 128, 0, 255).astype(np.uint8)
            said = self.decisions(predict({"image": pixels[None]}))
            masks = [
                np.repeat((mask * 255).astype(np.uint8)[..., None], 3, axis=2) for mask in (said, truth[0])
            ]
            row = np.hstack([photo, *masks])
            stream = io.BytesIO()
            Image.fromarray(row.repeat(8, axis=0).repeat(8, axis=1)).save(stream, "PNG")
            pictures.append(Picture(f"orchard {orchard}: image, before adaptation, truth", stream.getvalue()))
        return pictures


def make_task(settings: Mapping[str, Any]) -> Task:
    """Return the task.

    Raises:
        ConfigError: if a setting is unknown or not a whole number.
    """
    return RipeFruit(settings)
