"""The task `lidar-segmentation`: a class for every point of a LiDAR scan, in range view."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor
from torch.utils.data import Dataset

from hwnas.architecture import Architecture
from hwnas.data.dataset import DataSource, ScanDataset, open_dataset
from hwnas.data.expectations import ScanExpectations, expectations_of
from hwnas.data.formats import RawScan
from hwnas.data.image_geometry import Geometry, default_height
from hwnas.data.pictures import draw_segmentation
from hwnas.errors import ArchitectureError, ConfigError
from hwnas.io_spec import IoSpec, NetworkContract, TensorSpec, dense_logits
from hwnas.metrics.confusion import confusion_matrix, iou_per_class, mean_iou
from hwnas.plugin_settings import takes_settings
from hwnas.range_view.angles import range_of
from hwnas.range_view.knn import KnnSettings, labels_of_points
from hwnas.range_view.projection import (
    INPUT_CHANNELS,
    MIN_WIDTH,
    Normalisation,
    ProjectionSpec,
    RangeImage,
    network_input,
    project,
)
from hwnas.scan import IGNORED_LABEL, DataWarning, Scan
from hwnas.tasks.base import Arrays, LossFunction, LossSettings, MetricWords, Picture, Predict, Quality
from hwnas.tasks.batch_evaluation import Evaluation, PointTally
from hwnas.tasks.lidar_geometry import check_projection, geometry_of, with_rows
from hwnas.tasks.lidar_samples import (
    RangeViewSamples,
    ScanCache,
    TrainingStatistics,
    labels_of,
    training_statistics,
)
from hwnas.tasks.lidar_settings import LidarSettings, parse_settings
from hwnas.tasks.losses import class_weights, segmentation_loss

DEPLOYMENT_KIND = "range-view-segmentation"
INPUT_NAME, OUTPUT_NAME = "range_image", "logits"
_MIB = 1 << 20
_SCANS_TO_LOOK_AT = 8


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
        self._source: DataSource = open_dataset(
            settings.data,
            label_map=settings.label_map,
            strict=settings.strict,
            train_sequences=settings.train_sequences,
            val_sequences=settings.val_sequences,
        )
        self._knn = KnnSettings(**settings.knn.model_dump())
        check_projection(settings.projection, self.contract.height, settings.widths[0])

    @property
    def settings(self) -> Mapping[str, Any]:
        """Plain JSON settings, defaults included."""
        return self._settings.model_dump(mode="json")

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes of the label map."""
        return self._source.label_map.class_names

    @cached_property
    def contract(self) -> NetworkContract:
        """Range images in, a score for each class out; left and right edge are neighbours."""
        return NetworkContract(
            in_channels=len(INPUT_CHANNELS),
            height=default_height(self._settings.height, self._source.sensor_table),
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
        return self._samples(self._train_scans, architecture, augmentation, seed)

    def pretraining_dataset(
        self, architecture: Architecture, *, augmentation: float, seed: int
    ) -> Dataset[tuple[Tensor, Tensor]]:
        """Return the training split of `pretraining_data` in range view, normalised like `data`.

        Raises:
            ConfigError: if the settings name no such data, or the augmentation is outside 0..1.
            DataError: if that data cannot be used.
        """
        return self._samples(self._pretraining_scans, architecture, augmentation, seed)

    def loss(self, architecture: Architecture, settings: LossSettings) -> LossFunction:
        """Return class-weighted cross-entropy plus Lovász-softmax."""
        return segmentation_loss(settings, class_weights(self._statistics.items_per_class))

    def evaluate(
        self, predict: Predict, architecture: Architecture, *, split: str = "val", limit: int | None = None
    ) -> Quality:
        """Return the mIoU over all labelled points of a split, k-NN included.

        Raises:
            DataError: if the split does not exist or has no labels.
            ValueError: if the logits have another shape than `io_spec` says.
        """
        num_classes = len(self.class_names)
        matrix = np.zeros((num_classes, num_classes), np.int64)
        num_samples = 0
        for scan, image in self._images(architecture, split, limit):
            predicted = self._labels_of_points(self._label_image(predict, architecture, image), image)
            # A point at the sensor itself has no direction and no pixel: it is not a measurement.
            truth = np.where(predicted == IGNORED_LABEL, np.uint8(IGNORED_LABEL), labels_of(scan))
            matrix += confusion_matrix(truth, predicted, num_classes)
            num_samples += 1
        return _quality(matrix, self.class_names, num_samples)

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
            yield {INPUT_NAME: network_input(image, self._normalisation)[None]}

    def decisions(self, outputs: Arrays) -> npt.NDArray[np.uint8]:
        """Return the class of each pixel, [H, W]."""
        return np.asarray(outputs[OUTPUT_NAME][0].argmax(axis=0), np.uint8)

    def raw_inputs(
        self, architecture: Architecture, *, split: str = "val", limit: int | None = None
    ) -> Iterator[RawScan]:
        """Yield the scans of a split in the sensor's frame, with intensities in the unit of its files."""
        low, high = self._source.intensity_range
        scans: ScanDataset = self._source.split(split)[:limit]
        for scan in scans:
            intensity = np.float32(low) + scan.remission * np.float32(high - low)
            yield RawScan(scan.points, intensity.astype(np.float32), scan.ring, time=scan.time)

    def deployment(self, architecture: Architecture) -> Mapping[str, Any]:
        """Return projection, normalisation, k-NN, label map, and the sensor they were made for."""
        low, high = self._source.intensity_range
        return {
            "kind": DEPLOYMENT_KIND,
            "projection": self._spec_of(architecture).to_json(),
            "input_channels": list(INPUT_CHANNELS),
            "normalisation": self._normalisation.to_json(),
            "knn": self._knn.to_json(),
            "label_map": self._source.label_map.to_json(),
            "class_names": list(self.class_names),
            "sensor": self._source.sensor,
            "intensity_range": [float(low), float(high)],
            **self._source.coordinates.to_json(),
            "geometry": self._geometry.sources(),
            "scan_format": {"name": self._source.format, "options": dict(self._source.format_options)},
        }

    def expectations(self, architecture: Architecture) -> Mapping[str, Any]:
        """Return what training scans look like, see `ScanExpectations`.

        Warns:
            DataWarning: if it does not tell other scans from them.
        """
        for weakness in self._expectations.weaknesses():
            warnings.warn(weakness, DataWarning, stacklevel=2)
        return self._expectations.to_json()

    def end_to_end_sample(self, architecture: Architecture) -> Scan:
        """Return the scan in the middle of the validation split."""
        scans = self._source.split("val")
        return scans[len(scans) // 2]

    def pinned_settings(self, architecture: Architecture) -> Mapping[str, Any]:
        """Return what was derived from this data; the sequences of other data are its own affair."""
        normalisation = self._normalisation
        return {
            "normalisation": {"mean": list(normalisation.mean), "std": list(normalisation.std)},
            "height": self.contract.height,
            "projection": self._geometry.settings(),
            "train_sequences": None,
            "val_sequences": None,
            "pretraining_data": None,
        }

    def fingerprint(self) -> str:
        """Return a SHA-256 over scans, labels, and every setting that shapes training or evaluation."""
        return self._fingerprint

    def pictures(self, predict: Predict, architecture: Architecture, *, limit: int = 2) -> list[Picture]:
        """Draw up to `limit` validation scans spread evenly over the split."""
        scans = self._source.split("val")
        chosen = np.unique(np.linspace(0, len(scans) - 1, max(0, limit)).round().astype(int))
        pictures = []
        for index in chosen:
            scan = scans[int(index)]
            image = self._project(scan, self._spec_of(architecture))
            predicted = self._labels_of_points(self._label_image(predict, architecture, image), image)
            truth = labels_of(scan)
            rows = [("Prediction", predicted), ("Ground truth", truth)]
            png = draw_segmentation(image, rows, scan.points, self._source.label_map, truth=truth)
            pictures.append(Picture(scan.id, png))
        return pictures

    def _samples(
        self, scans: ScanCache, architecture: Architecture, augmentation: float, seed: int
    ) -> RangeViewSamples:
        if not 0.0 <= augmentation <= 1.0:
            raise ConfigError(f"The augmentation strength must be 0 to 1, but is {augmentation}.")
        spec = self._spec_of(architecture)
        return RangeViewSamples(scans, spec, self._normalisation, augmentation=augmentation, seed=seed)

    @cached_property
    def _fingerprint(self) -> str:
        settings = {key: value for key, value in self.settings.items() if key not in _NOT_IN_FINGERPRINT}
        splits = {name: self._source.split(name).fingerprint() for name in ("train", "val")}
        if self._settings.pretraining_data is not None:
            splits["pretraining"] = self._pretraining_source.split("train").fingerprint()
        content = json.dumps({"settings": settings, "splits": splits}, sort_keys=True)
        return hashlib.sha256(content.encode("ascii")).hexdigest()

    @cached_property
    def _train_scans(self) -> ScanCache:
        return ScanCache(self._source.split("train"), self._settings.cache_mb * _MIB, self._with_rows)

    @cached_property
    def _pretraining_source(self) -> DataSource:
        # Opened when it is needed: whoever runs a finished network does not have it.
        data = self._settings.pretraining_data
        if data is None:
            raise ConfigError(
                "The recipe asks for pre-training, but lidar-segmentation was given no "
                "`pretraining_data`. Name a data set there, or set pretraining_steps and "
                "pretraining_share to 0."
            )
        source = open_dataset(data, label_map=self._settings.label_map, strict=self._settings.strict)
        if source.label_map.class_names != self.class_names:
            raise ConfigError(
                f"`data` and `pretraining_data` must have the same classes, but have {self.class_names} and "
                f"{source.label_map.class_names}. Name a `label_map` that fits both."
            )
        return source

    @cached_property
    def _pretraining_scans(self) -> ScanCache:
        scans = self._pretraining_source.split("train")
        return ScanCache(scans, self._settings.cache_mb * _MIB, self._with_rows)

    @cached_property
    def _statistics(self) -> TrainingStatistics:
        return training_statistics(self._train_scans, len(self.class_names))

    @cached_property
    def _expectations(self) -> ScanExpectations:
        source = self._source
        scans = source.split("train")
        chosen = np.unique(np.linspace(0, len(scans) - 1, _SCANS_TO_LOOK_AT).round().astype(int))
        return expectations_of(
            (scans[int(index)] for index in chosen),
            sensor=source.sensor,
            frame=source.frame,
            intensity_range=source.intensity_range,
            sensor_height_m=_height_m(source),
        )

    @cached_property
    def _normalisation(self) -> Normalisation:
        given = self._settings.normalisation
        if given is None:
            return self._statistics.normalisation
        return Normalisation(tuple(given.mean), tuple(given.std))  # type: ignore[arg-type]

    @cached_property
    def _geometry(self) -> Geometry:
        source = self._source
        return geometry_of(
            source.split("train") if "train" in source else [],
            self._settings.projection,
            source.sensor_table,
            source.sensor,
            self.contract.height,
        )

    def _with_rows(self, scan: Scan) -> Scan:
        return with_rows(scan, self._geometry.spec(self.contract.height, MIN_WIDTH))

    def _spec_of(self, architecture: Architecture) -> ProjectionSpec:
        return self._geometry.spec(*self._size_of(architecture))

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

    def _images(
        self, architecture: Architecture, split: str, limit: int | None
    ) -> Iterator[tuple[Scan, RangeImage]]:
        scans: ScanDataset = self._source.split(split)[:limit]
        spec = self._spec_of(architecture)
        for scan in scans:
            yield scan, self._project(scan, spec)

    @staticmethod
    def _project(scan: Scan, spec: ProjectionSpec) -> RangeImage:
        return project(scan.points, scan.remission, spec, scan.ring)

    def _label_image(
        self, predict: Predict, architecture: Architecture, image: RangeImage
    ) -> npt.NDArray[np.uint8]:
        outputs = predict({INPUT_NAME: network_input(image, self._normalisation)[None]})
        logits = outputs[OUTPUT_NAME]
        expected = self.io_spec(architecture).outputs[0].shape
        if logits.shape != expected:
            raise ValueError(f"The network returned logits of shape {logits.shape}; expected {expected}.")
        return self.decisions(outputs)

    def _labels_of_points(self, labels: npt.NDArray[np.uint8], image: RangeImage) -> npt.NDArray[np.uint8]:
        return labels_of_points(labels, image, self._knn, len(self.class_names))


# Where the data lie and how much of them is kept in memory changes no figure; what the data are,
# their own fingerprint says.
_NOT_IN_FINGERPRINT = frozenset(
    {"data", "pretraining_data", "cache_mb", "widths", "train_sequences", "val_sequences"}
)


def _height_m(source: DataSource) -> float | None:
    """Return the height that the data set states, or the usual one of a sensor that we know."""
    if source.sensor_height_m is not None or source.sensor_table is None:
        return source.sensor_height_m
    return source.sensor_table.height_m


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
