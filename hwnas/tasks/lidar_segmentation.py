"""The task `lidar-segmentation`: a class for every point of a LiDAR scan, in range view."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor
from torch.utils.data import Dataset

from hwnas.architecture import Architecture
from hwnas.data.datasets.scan_dataset import ScanDataset
from hwnas.data.datasets.subsets import Subset, folds_of, spread_choice
from hwnas.data.pictures import draw_segmentation
from hwnas.data.scan_files.formats import RawScan
from hwnas.data.scan_files.intensity import intensity_of
from hwnas.errors import ArchitectureError, ConfigError, DataError, TrainingError
from hwnas.io_spec import IoSpec, NetworkContract, TensorSpec, dense_logits
from hwnas.labels import IGNORED_LABEL
from hwnas.metrics.bootstrap import mean_iou_interval
from hwnas.metrics.confusion import confusion_matrix, iou_per_class, mean_iou
from hwnas.plugin_settings import takes_settings
from hwnas.range_view.angles import range_of
from hwnas.range_view.knn import KnnSettings, labels_of_points
from hwnas.range_view.projection import (
    INPUT_CHANNELS,
    RangeImage,
    classes_of_pixels,
    network_input,
    project,
)
from hwnas.range_view.projection_spec import ProjectionSpec
from hwnas.scan import DataWarning, Scan
from hwnas.tasks.base import Arrays, LossFunction, LossSettings, MetricWords, Picture, Predict, Quality
from hwnas.tasks.batch_evaluation import Evaluation, PointTally
from hwnas.tasks.few_shot import EvaluatedQuality
from hwnas.tasks.lidar_data import LidarData
from hwnas.tasks.lidar_geometry import check_projection
from hwnas.tasks.lidar_samples import (
    RangeViewSamples,
    ScanCache,
    labels_of,
)
from hwnas.tasks.lidar_settings import LidarSettings, parse_settings
from hwnas.tasks.losses import class_weights, segmentation_loss

DEPLOYMENT_KIND = "range-view-segmentation"
INPUT_NAME, OUTPUT_NAME = "range_image", "logits"


@takes_settings(LidarSettings, inputs=("data", "pretraining_data"), names_or_files=("label_map",))
def make_lidar_segmentation(settings: Mapping[str, Any]) -> LidarSegmentation:
    """Return the task with settings as written in `run.yaml`, see `LidarSettings`.

    Raises:
        ConfigError: if a setting is unknown or wrong.
        DataError: if the data cannot be used.
    """
    return LidarSegmentation(parse_settings(settings))


class LidarSegmentation:
    """Semantic segmentation of LiDAR scans by an image network.

    Points are projected into a range image; the network gives each pixel a class; every point gets
    its class by a vote of its neighbours in the image. Quality is the mean IoU over points of one
    pooled confusion matrix, as in the SemanticKITTI benchmark.
    """

    name = "lidar-segmentation"
    processor = "lidar-range-view"
    words = MetricWords(metric="mIoU", part="IoU", item="point", sample="scan", group="class")

    def __init__(self, settings: LidarSettings) -> None:
        """Open the data; only file names are read.

        Raises:
            ConfigError: if a setting is wrong.
            DataError: if the data cannot be used.
        """
        self._settings = settings
        self._data = LidarData(settings)
        self._knn = KnnSettings(**settings.knn.model_dump())
        check_projection(settings.projection, self.contract.height, settings.widths[0])

    @property
    def settings(self) -> Mapping[str, Any]:
        """Plain JSON settings, defaults included."""
        return self._settings.model_dump(mode="json")

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes of the label map."""
        return self._data.class_names

    @cached_property
    def contract(self) -> NetworkContract:
        """Range images in, a score for each class out; left and right edge are neighbours."""
        return NetworkContract(
            in_channels=len(INPUT_CHANNELS),
            height=self._data.height,
            widths=tuple(self._settings.widths),
            outputs=dense_logits(len(self.class_names)),
            cyclic_width=True,
        )

    def io_spec(self, architecture: Architecture) -> IoSpec:
        """Return `range_image` [1, 5, H, W] and `logits` [1, K, H, W]."""
        size = self._size_of(architecture)
        return IoSpec(
            inputs=(TensorSpec(INPUT_NAME, (1, len(INPUT_CHANNELS), *size)),),
            outputs=(TensorSpec(OUTPUT_NAME, (1, len(self.class_names), *size)),),
        )

    def train_dataset(
        self, architecture: Architecture, *, augmentation: float, seed: int
    ) -> Dataset[tuple[Tensor, Tensor]]:
        """Return the training split in range view, see `RangeViewSamples`.

        Raises:
            ConfigError: if the augmentation is outside 0..1.
        """
        return self._samples(self._data.train_scans, architecture, augmentation, seed)

    def pretraining_dataset(
        self, architecture: Architecture, *, augmentation: float, seed: int
    ) -> Dataset[tuple[Tensor, Tensor]]:
        """Return the training split of `pretraining_data` in range view, normalised like `data`.

        Raises:
            ConfigError: if the settings name no such data, or the augmentation is outside 0..1.
            DataError: if that data cannot be used.
        """
        return self._samples(self._data.pretraining_scans, architecture, augmentation, seed)

    def loss(self, architecture: Architecture, settings: LossSettings) -> LossFunction:
        """Return class-weighted cross-entropy plus Lovász-softmax."""
        return segmentation_loss(settings, class_weights(self._data.statistics.items_per_class))

    def evaluate(
        self, predict: Predict, architecture: Architecture, *, split: str = "val", limit: int | None = None
    ) -> Quality:
        """Return the mIoU over all labelled points of a split, k-NN included.

        Raises:
            DataError: if the split does not exist or has no labels.
            TrainingError: if the network computes NaN or infinity.
            ValueError: if the logits have another shape than `io_spec` says.
        """
        num_classes, none = len(self.class_names), np.zeros((len(self.class_names),) * 2, np.int64)
        matrices = list(self.confusions(predict, architecture, split, limit))
        return _quality(
            sum(matrices, none).reshape(num_classes, num_classes), self.class_names, len(matrices)
        )

    def evaluate_with_interval(
        self, predict: Predict, architecture: Architecture, *, split: str = "val"
    ) -> EvaluatedQuality:
        """Return what `evaluate` does, with the interval that scans drawn anew would give.

        Raises:
            HwnasError: as `evaluate`.
        """
        matrices = np.stack(list(self.confusions(predict, architecture, split)))
        quality = _quality(matrices.sum(axis=0), self.class_names, len(matrices))
        return EvaluatedQuality(quality, mean_iou_interval(matrices))

    def few_shot_settings(self, samples: int, *, seed: int) -> Mapping[str, Any]:
        """Return settings that restrict the training split to so many scans, spread over it.

        Raises:
            DataError: if it has fewer.
        """
        scans = spread_choice(self._data.source.split("train").ids, samples, seed=seed)
        return {"train_subset": Subset(scans).to_json()}

    def fold_settings(self, count: int) -> list[Mapping[str, Any]]:
        """Return settings of tasks that train on a part of the training split and validate on the rest."""
        return [
            {"train_subset": train.to_json(), "val_subset": held_out.to_json()}
            for train, held_out in folds_of(self._data.source.split("train").ids, count)
        ]

    def evaluate_together(
        self,
        predicts: Mapping[str, Predict],
        architecture: Architecture,
        *,
        reference: str,
        split: str = "val",
        limit: int | None = None,
    ) -> Mapping[str, Evaluation]:
        """Evaluate several networks on the points of a split in one pass, see `SupportsBatchEvaluation`."""
        tallies = {name: PointTally(len(self.class_names)) for name in predicts}
        num_samples = 0
        for scan, image in self._images(architecture, split, limit):
            truth, range_m = labels_of(scan), range_of(scan.points)
            labels = {
                name: self._labels_of_points(self._label_image(predict, architecture, image), image)
                for name, predict in predicts.items()
            }
            for name, predicted in labels.items():
                tallies[name].add(truth, predicted, labels[reference], range_m)
            num_samples += 1
        return {
            name: Evaluation(
                _quality(tally.matrix, self.class_names, num_samples),
                tally.bands(),
                tally.same_decision_share,
            )
            for name, tally in tallies.items()
        }

    def inputs(
        self, architecture: Architecture, *, split: str = "val", limit: int | None = None
    ) -> Iterator[Arrays]:
        """Yield the `range_image` [1, 5, H, W] of each scan of a split, in its order."""
        for _, image in self._images(architecture, split, limit):
            yield {INPUT_NAME: network_input(image, self._data.normalisation)[None]}

    def decisions(self, outputs: Arrays) -> npt.NDArray[np.uint8]:
        """Return the class of each pixel, [H, W]."""
        return np.asarray(outputs[OUTPUT_NAME][0].argmax(axis=0), np.uint8)

    def raw_inputs(
        self, architecture: Architecture, *, split: str = "val", limit: int | None = None
    ) -> Iterator[RawScan]:
        """Yield the scans of a split in the sensor's frame, with intensities in the unit of its files."""
        scans: ScanDataset = self._data.source.split(split)[:limit]
        for scan in scans:
            intensity = intensity_of(scan.remission, self._data.source.intensity_range)
            yield RawScan(scan.points, intensity, scan.ring, time=scan.time)

    def deployment(self, architecture: Architecture) -> Mapping[str, Any]:
        """Return projection, normalisation, k-NN, label map, and the sensor they were made for."""
        low, high = self._data.source.intensity_range
        return {
            "kind": DEPLOYMENT_KIND,
            "projection": self._spec_of(architecture).to_json(),
            "input_channels": list(INPUT_CHANNELS),
            "normalisation": self._data.normalisation.to_json(),
            "knn": self._knn.to_json(),
            "label_map": self._data.source.label_map.to_json(),
            "class_names": list(self.class_names),
            "sensor": self._data.source.sensor,
            "intensity_range": [float(low), float(high)],
            **self._data.source.coordinates.to_json(),
            "geometry": self._data.geometry.sources(),
            "scan_format": {
                "name": self._data.source.format,
                "options": dict(self._data.source.format_options),
            },
        }

    def expectations(self, architecture: Architecture) -> Mapping[str, Any]:
        """Return what training scans look like, see `ScanExpectations`.

        Warns:
            DataWarning: if it does not tell other scans from them.
        """
        for weakness in self._data.expectations.weaknesses():
            warnings.warn(weakness, DataWarning, stacklevel=2)
        return self._data.expectations.to_json()

    def end_to_end_sample(self, architecture: Architecture) -> Scan:
        """Return the scan in the middle of the validation split."""
        scans = self._data.source.split("val")
        return scans[len(scans) // 2]

    def pinned_settings(self, architecture: Architecture) -> Mapping[str, Any]:
        """Return what was derived from this data; the sequences of other data are its own affair."""
        normalisation = self._data.normalisation
        return {
            "normalisation": {"mean": list(normalisation.mean), "std": list(normalisation.std)},
            "height": self.contract.height,
            "projection": self._data.geometry.settings(),
            "train_sequences": None,
            "val_sequences": None,
            "train_subset": None,
            "val_subset": None,
            "pretraining_data": None,
        }

    def fingerprint(self) -> str:
        """Return a SHA-256 over scans, labels, and every setting that shapes training or evaluation."""
        return self._data.fingerprint

    def pictures(self, predict: Predict, architecture: Architecture, *, limit: int = 2) -> list[Picture]:
        """Draw up to `limit` validation scans spread evenly over the split."""
        scans = self._data.source.split("val")
        chosen = np.unique(np.linspace(0, len(scans) - 1, max(0, limit)).round().astype(int))
        pictures = []
        for index in chosen:
            scan = scans[int(index)]
            image = self._project(scan, self._spec_of(architecture))
            predicted = self._labels_of_points(self._label_image(predict, architecture, image), image)
            truth = labels_of(scan)
            rows = [("Prediction", predicted), ("Ground truth", truth)]
            png = draw_segmentation(image, rows, scan.points, self._data.source.label_map, truth=truth)
            pictures.append(Picture(scan.id, png))
        return pictures

    def _samples(
        self, scans: ScanCache, architecture: Architecture, augmentation: float, seed: int
    ) -> RangeViewSamples:
        if not 0.0 <= augmentation <= 1.0:
            raise ConfigError(f"The augmentation strength must be 0 to 1, but is {augmentation}.")
        spec = self._spec_of(architecture)
        return RangeViewSamples(scans, spec, self._data.normalisation, augmentation=augmentation, seed=seed)

    def _spec_of(self, architecture: Architecture) -> ProjectionSpec:
        return self._data.geometry.spec(*self._size_of(architecture))

    def _size_of(self, architecture: Architecture) -> tuple[int, int]:
        channels, height, width = architecture.input_shape
        contract = self.contract
        if (channels, height) != (contract.in_channels, contract.height) or width not in contract.widths:
            raise ArchitectureError(
                f"The architecture {architecture.id} takes images of {architecture.input_shape}; this task "
                f"makes {contract.in_channels} channels, {contract.height} rows and one of "
                f"{list(contract.widths)} columns. Use an architecture of a space made for this task."
            )
        return height, width

    def confusions(
        self, predict: Predict, architecture: Architecture, split: str = "val", limit: int | None = None
    ) -> Iterator[npt.NDArray[np.int64]]:
        """Yield the confusion matrix [K, K] of each scan of a split; `limit` takes its first scans alone."""
        for scan, image in self._images(architecture, split, limit):
            predicted = self._labels_of_points(self._label_image(predict, architecture, image), image)
            # A point at the sensor itself has no direction and no pixel: it is not a measurement.
            truth = np.where(predicted == IGNORED_LABEL, np.uint8(IGNORED_LABEL), labels_of(scan))
            yield confusion_matrix(truth, predicted, len(self.class_names))

    def _images(
        self, architecture: Architecture, split: str, limit: int | None
    ) -> Iterator[tuple[Scan, RangeImage]]:
        scans: ScanDataset = self._data.source.split(split)[:limit]
        spec = self._spec_of(architecture)
        for scan in scans:
            yield scan, self._project(scan, spec)

    @staticmethod
    def _project(scan: Scan, spec: ProjectionSpec) -> RangeImage:
        return project(scan.points, scan.remission, spec, scan.ring)

    def _label_image(
        self, predict: Predict, architecture: Architecture, image: RangeImage
    ) -> npt.NDArray[np.uint8]:
        outputs = predict({INPUT_NAME: network_input(image, self._data.normalisation)[None]})
        logits = outputs[OUTPUT_NAME]
        expected = self.io_spec(architecture).outputs[0].shape
        if logits.shape != expected:
            raise ValueError(f"The network returned logits of shape {logits.shape}; expected {expected}.")
        try:
            return classes_of_pixels(logits[0], image)
        except DataError as error:  # of a scan where a runner labels it; here the network is to blame
            raise TrainingError(str(error)) from error

    def _labels_of_points(self, labels: npt.NDArray[np.uint8], image: RangeImage) -> npt.NDArray[np.uint8]:
        return labels_of_points(labels, image, self._knn, len(self.class_names))


def _quality(matrix: npt.NDArray[np.int64], class_names: tuple[str, ...], num_samples: int) -> Quality:
    items = matrix.sum(axis=1)
    return Quality(
        metric="mIoU",
        value=mean_iou(matrix) if items.sum() else float("nan"),
        per_class=dict(zip(class_names, iou_per_class(matrix), strict=True)),
        num_samples=num_samples,
        num_items=int(items.sum()),
        items_per_class={name: int(count) for name, count in zip(class_names, items, strict=True)},
        confusion=tuple(tuple(int(count) for count in row) for row in matrix),
    )
