"""The task `camera-shapes`: which pixel shows what."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from hwnas.architecture import Architecture
from hwnas.errors import ConfigError, DataError
from hwnas.io_spec import IoSpec, NetworkContract, dense_logits
from hwnas.metrics.confusion import confusion_matrix, iou_per_class, mean_iou
from hwnas.tasks.base import (
    Arrays,
    FloatArray,
    LossFunction,
    LossSettings,
    MetricWords,
    Picture,
    Predict,
    Quality,
    Task,
)
from hwnas.tasks.losses import class_weights, segmentation_loss
from hwnas_camera_plugin.scenes import CLASS_NAMES, COLORS, HEIGHT, IGNORED, WIDTH, scene

NAME = "camera-shapes"
_DEFAULTS = {"train_images": 32, "val_images": 8, "seed": 0}
_SPLITS = {"train": 0, "val": 1}
_ENLARGED = 4


class CameraShapes:
    """Segmentation of generated images, evaluated on pixels."""

    name = NAME
    processor = "arrays"
    words = MetricWords(metric="mIoU", part="IoU", item="pixel", sample="image", group="class")
    class_names = CLASS_NAMES
    contract = NetworkContract(
        in_channels=3, height=HEIGHT, widths=(WIDTH,), outputs=dense_logits(len(CLASS_NAMES))
    )

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
        """Return one image in, one map of logits out."""
        return architecture.io_spec("image")

    def train_dataset(
        self, architecture: Architecture, *, augmentation: float, seed: int
    ) -> Dataset[tuple[Tensor, Tensor]]:
        """Return the training images, flipped at random in step with the strength."""
        return _TrainingImages(self, augmentation, seed)

    def loss(self, architecture: Architecture, settings: LossSettings) -> LossFunction:
        """Return cross-entropy and Lovász-softmax with the classes weighted by their pixels."""
        classes = np.concatenate([classes[classes != IGNORED] for _, classes in self.images("train")])
        counts = np.bincount(classes, minlength=len(CLASS_NAMES))
        return segmentation_loss(settings, class_weights([int(count) for count in counts]))

    def evaluate(
        self, predict: Predict, architecture: Architecture, *, split: str = "val", limit: int | None = None
    ) -> Quality:
        """Return the mIoU over all pixels of a split."""
        matrix = np.zeros((len(CLASS_NAMES), len(CLASS_NAMES)), np.int64)
        samples = self.images(split)[:limit]
        for image, classes in samples:
            matrix += confusion_matrix(classes, self._predicted(predict, image), len(CLASS_NAMES))
        items = [int(count) for count in matrix.sum(axis=1)]
        return Quality(
            metric="mIoU",
            value=mean_iou(matrix),
            per_class=dict(zip(CLASS_NAMES, iou_per_class(matrix), strict=True)),
            num_samples=len(samples),
            num_items=sum(items),
            items_per_class=dict(zip(CLASS_NAMES, items, strict=True)),
        )

    def inputs(
        self, architecture: Architecture, *, split: str = "val", limit: int | None = None
    ) -> Iterator[Arrays]:
        """Yield the images of a split, each [1, 3, H, W]."""
        return ({"image": normalised(image)[None]} for image, _ in self.images(split)[:limit])

    def raw_inputs(
        self, architecture: Architecture, *, split: str = "val", limit: int | None = None
    ) -> Iterator[Arrays]:
        """Yield the same: files hold inputs as they are."""
        return self.inputs(architecture, split=split, limit=limit)

    def decisions(self, outputs: Arrays) -> npt.NDArray[np.uint8]:
        """Return the class of each pixel, [H, W]."""
        return np.asarray(outputs["logits"][0].argmax(axis=0), np.uint8)

    def deployment(self, architecture: Architecture) -> Mapping[str, Any]:
        """Return how pixels become inputs, and what the outputs mean."""
        return {"kind": NAME, "scale": 4.0, "offset": -2.0, "class_names": list(CLASS_NAMES)}

    def fingerprint(self) -> str:
        """Return a hash of the images of both splits."""
        digest = hashlib.sha256(json.dumps(self.settings, sort_keys=True).encode("ascii"))
        for split in _SPLITS:
            for image, classes in self.images(split):
                digest.update((image * 255).astype(np.uint8).tobytes() + classes.tobytes())
        return digest.hexdigest()

    def pictures(self, predict: Predict, architecture: Architecture, *, limit: int = 2) -> list[Picture]:
        """Draw image, prediction and truth side by side."""
        palette = np.zeros((256, 3), np.uint8)
        palette[: len(COLORS)] = COLORS
        pictures = []
        for index, (image, classes) in enumerate(self.images("val")[:limit]):
            photo = (image.transpose(1, 2, 0) * 255).astype(np.uint8)
            row = np.hstack([photo, palette[self._predicted(predict, image)], palette[classes]])
            drawn = Image.fromarray(row.repeat(_ENLARGED, axis=0).repeat(_ENLARGED, axis=1))
            stream = io.BytesIO()
            drawn.save(stream, "PNG")
            pictures.append(Picture(f"image {index}: camera, prediction, truth", stream.getvalue()))
        return pictures

    def _predicted(self, predict: Predict, image: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
        return self.decisions(predict({"image": normalised(image)[None]}))

    def images(self, split: str) -> list[tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8]]]:
        """Return all images and classes of a split.

        Raises:
            DataError: if there is no such split.
        """
        if split not in _SPLITS:
            raise DataError(f"{NAME} has the splits {sorted(_SPLITS)}, but not {split!r}.")
        seed = 2 * self.settings["seed"] + _SPLITS[split]
        return [scene(seed, index) for index in range(self.settings[f"{split}_images"])]


class _TrainingImages(Dataset[tuple[Tensor, Tensor]]):
    def __init__(self, task: CameraShapes, augmentation: float, seed: int) -> None:
        self._samples = task.images("train")
        self._augmentation = augmentation
        self._seed = seed
        self._pass = 0

    def set_epoch(self, number: int) -> None:
        """Flip other images in every pass."""
        self._pass = number

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        image, classes = self._samples[index]
        rng = np.random.default_rng([self._seed, self._pass, index])
        step = -1 if rng.random() < self._augmentation / 2 else 1
        target = classes[:, ::step].astype(np.int64)
        return torch.from_numpy(normalised(image)[..., ::step].copy()), torch.from_numpy(target)


def normalised(image: npt.NDArray[np.float32]) -> FloatArray:
    """Return an image of 0..1 with values about -2..2."""
    return image * np.float32(4) - np.float32(2)


def make_task(settings: Mapping[str, Any]) -> Task:
    """Return the task.

    Raises:
        ConfigError: if a setting is unknown or not a whole number.
    """
    return CameraShapes(settings)
