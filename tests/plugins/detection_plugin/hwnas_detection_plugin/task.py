"""The task `parked-cars`: where cars stand, and how large they are."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
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
from hwnas.tasks.trees import Tree, named
from hwnas_detection_plugin.processor import CELLS, STRIDE, USUAL_M, Car, cars_of, drawn, view_of
from hwnas_detection_plugin.scenes import HALF_M, FloatArray, scene

NAME = "parked-cars"
_DEFAULTS = {"train_sweeps": 48, "val_sweeps": 12, "seed": 0}
_SPLITS = {"train": 0, "val": 1}
_DISTANCES_M = (0.5, 1.0, 2.0)
_OUTPUTS = ("heat", "box")
_NEAR_CELLS = 1.5


class ParkedCars:
    """Average precision by distance of centres, as in nuScenes (Caesar et al., CVPR 2020, section 3.1)."""

    name = NAME
    processor = "bird-view"
    class_names = ("car",)
    words = MetricWords("mean AP", "AP", "car", "sweep", "distance")
    contract = NetworkContract(
        2, CELLS, (CELLS,), (OutputSpec("heat", 1, STRIDE), OutputSpec("box", 4, STRIDE))
    )

    def __init__(self, settings: Mapping[str, Any]) -> None:
        """Take numbers of sweeps and a seed.

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
        """Return `view` in, `heat` and `box` out."""
        return architecture.io_spec("view")

    def train_dataset(
        self, architecture: Architecture, *, augmentation: float, seed: int
    ) -> Dataset[tuple[Tree, Tree]]:
        """Return views and, as a mapping, heat, boxes and where boxes count."""
        return _Sweeps(self.sweeps("train"), augmentation, seed)

    def loss(self, architecture: Architecture, settings: LossSettings) -> LossFunction:
        """Return the penalty-reduced focal loss of centres plus the distance of boxes.

        Zhou et al., "Objects as Points", arXiv:1904.07850, equation 1.
        """

        def loss(outputs: Tree, targets: Tree) -> Tensor:
            found = named(outputs, _OUTPUTS)
            heat, truth, at = found["heat"], targets["heat"], targets["at"]
            chance = torch.sigmoid(heat).clamp(1e-4, 1 - 1e-4)
            hit = at * (1 - chance) ** 2 * chance.log()
            miss = (1 - at) * (1 - truth) ** 4 * chance**2 * (1 - chance).log()
            boxes = at.sum().clamp_min(1.0)
            distance = F.l1_loss(found["box"] * at, targets["box"] * at, reduction="sum")
            return (distance - (hit + miss).sum()) / boxes

        return loss

    def evaluate(
        self, predict: Predict, architecture: Architecture, *, split: str = "val", limit: int | None = None
    ) -> Quality:
        """Return the mean over distances of the average precision of all sweeps together."""
        sweeps = self.sweeps(split)[:limit]
        found = [cars_of(predict({"view": view_of(points, HALF_M)[None]}), HALF_M) for points, _ in sweeps]
        truth = [cars for _, cars in sweeps]
        precisions = {f"{m:g} m": average_precision(found, truth, m) for m in _DISTANCES_M}
        items = sum(len(cars) for cars in truth)
        return Quality(
            metric=self.words.metric,
            value=float(np.mean(list(precisions.values()))),
            per_class=dict(precisions),
            num_samples=len(sweeps),
            num_items=items,
            items_per_class=dict.fromkeys(precisions, items),
        )

    def decisions(self, outputs: Arrays) -> npt.NDArray[np.bool_]:
        """Return in which cells a car stands rather than none, [H, W]."""
        return np.asarray(outputs["heat"][0, 0] > 0)

    def inputs(
        self, architecture: Architecture, *, split: str = "val", limit: int | None = None
    ) -> Iterator[Arrays]:
        """Yield the views of a split."""
        return ({"view": view_of(points, HALF_M)[None]} for points, _ in self.sweeps(split)[:limit])

    def raw_inputs(
        self, architecture: Architecture, *, split: str = "val", limit: int | None = None
    ) -> Iterator[FloatArray]:
        """Yield the points of a split."""
        return (points for points, _ in self.sweeps(split)[:limit])

    def deployment(self, architecture: Architecture) -> Mapping[str, Any]:
        """Return what the processor must know."""
        return {"half_m": HALF_M}

    def fingerprint(self) -> str:
        """Return a hash of the settings, which the sweeps follow from."""
        return hashlib.sha256(json.dumps(self.settings, sort_keys=True).encode("ascii")).hexdigest()

    def pictures(self, predict: Predict, architecture: Architecture, *, limit: int = 2) -> list[Picture]:
        """Draw sweeps from above with true and found cars."""
        pictures = []
        for index, (points, cars) in enumerate(self.sweeps("val")[:limit]):
            found = cars_of(predict({"view": view_of(points, HALF_M)[None]}), HALF_M)
            sure = [tuple(car)[:4] for car in found if car.score > 0.5]
            png = drawn(points, sure, list(cars), HALF_M)
            pictures.append(Picture(f"sweep {index}: {len(sure)} cars found, {len(cars)} there", png))
        return pictures

    def sweeps(self, split: str) -> list[tuple[FloatArray, FloatArray]]:
        """Return points and cars of all sweeps of a split.

        Raises:
            DataError: if there is no such split.
        """
        if split not in _SPLITS:
            raise DataError(f"{NAME} has the splits {sorted(_SPLITS)}, but not {split!r}.")
        seed = 2 * self.settings["seed"] + _SPLITS[split]
        return [scene(seed, index) for index in range(self.settings[f"{split}_sweeps"])]


class _Sweeps(Dataset[tuple[Tree, Tree]]):
    def __init__(
        self, samples: Sequence[tuple[FloatArray, FloatArray]], augmentation: float, seed: int
    ) -> None:
        self._samples, self._augmentation, self._seed, self._pass = samples, augmentation, seed, 0

    def set_epoch(self, number: int) -> None:
        """Mirror other sweeps in every pass."""
        self._pass = number

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, index: int) -> tuple[Tree, Tree]:
        points, cars = self._samples[index]
        rng = np.random.default_rng([self._seed, self._pass, index])
        sign = np.where(rng.random(2) < self._augmentation / 2, -1.0, 1.0).astype(np.float32)
        points, cars = points.copy(), cars.copy()
        points[:, :2] *= sign
        cars[:, :2] *= sign
        view = torch.from_numpy(view_of(points, HALF_M))
        return view, {name: torch.from_numpy(array) for name, array in targets_of(cars).items()}


def targets_of(cars: FloatArray) -> dict[str, FloatArray]:
    """Return what a network should say: `heat` and `at` (centres) [1, H, W], `box` [4, H, W]."""
    size = CELLS // STRIDE
    cell_m = 2 * HALF_M / size
    rows, columns = np.mgrid[:size, :size].astype(np.float32)
    heat, at = np.zeros((2, 1, size, size), np.float32)
    box = np.zeros((4, size, size), np.float32)
    for x, y, length, width in cars:
        down, across = (x + HALF_M) / cell_m, (y + HALF_M) / cell_m
        row, column = min(int(down), size - 1), min(int(across), size - 1)
        near = np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / (2 * _NEAR_CELLS**2))
        heat[0] = np.maximum(heat[0], near)
        at[0, row, column] = 1.0
        shape = np.log(length / USUAL_M[0]), np.log(width / USUAL_M[1])
        box[:, row, column] = (down - row - 0.5, across - column - 0.5, *shape)
    return {"heat": heat, "at": at, "box": box}


def average_precision(
    found: Sequence[Sequence[Car]], truth: Sequence[FloatArray], distance_m: float
) -> float:
    """Return the area under precision over recall; a car is found within a distance, by the surest first."""
    listed = sorted(
        ((car.score, number, car) for number, cars in enumerate(found) for car in cars),
        key=lambda entry: -entry[0],
    )
    taken = [np.zeros(len(cars), bool) for cars in truth]
    hits = []
    for _, number, car in listed:
        apart = np.hypot(truth[number][:, 0] - car.x, truth[number][:, 1] - car.y)
        apart[taken[number]] = np.inf
        nearest = int(apart.argmin()) if len(apart) else -1
        is_hit = nearest >= 0 and apart[nearest] < distance_m
        if is_hit:
            taken[number][nearest] = True
        hits.append(is_hit)
    total = sum(len(cars) for cars in truth)
    if not hits or not total:
        return 0.0
    found_so_far = np.cumsum(hits)
    precision = found_so_far / np.arange(1, len(hits) + 1)
    best = np.maximum.accumulate(precision[::-1])[::-1]
    return float((best * np.array(hits)).sum() / total)


def make_task(settings: Mapping[str, Any]) -> Task:
    """Return the task.

    Raises:
        ConfigError: if a setting is unknown or not a whole number.
    """
    return ParkedCars(settings)
