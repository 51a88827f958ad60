"""The scans behind the task `lidar-segmentation`, and what follows from its training split."""

from __future__ import annotations

import hashlib
import json
from functools import cached_property

import numpy as np

from hwnas.data.datasets.dataset import DataSource, open_dataset
from hwnas.data.expectations import ScanExpectations, expectations_of
from hwnas.data.geometry.image_geometry import Geometry, default_height
from hwnas.errors import ConfigError
from hwnas.range_view.projection import Normalisation
from hwnas.range_view.projection_spec import MIN_WIDTH
from hwnas.scan import Scan
from hwnas.tasks.lidar_geometry import geometry_of, with_rows
from hwnas.tasks.lidar_samples import ScanCache, TrainingStatistics, training_statistics
from hwnas.tasks.lidar_settings import LidarSettings

_MIB = 1 << 20
_SCANS_TO_LOOK_AT = 8
# Where the data and their label map lie and how much of them is kept in memory changes no figure; what the
# data are, and how they are read, their own fingerprint says.
_NOT_IN_FINGERPRINT = frozenset(
    {"data", "pretraining_data", "label_map", "strict", "cache_mb", "widths"}
    | {"train_sequences", "val_sequences", "train_subset", "val_subset"}
)


class LidarData:
    """Data sets as the settings name them; what costs time is read when it is needed, and once.

    Attributes:
        source: the data set, of which only file names are read at first.
        height: rows of its range images.
    """

    def __init__(self, settings: LidarSettings) -> None:
        """Open the data.

        Raises:
            ConfigError: if a setting is wrong.
            DataError: if the data cannot be used.
        """
        self._settings = settings
        self.source: DataSource = open_dataset(
            settings.data,
            label_map=settings.label_map,
            strict=settings.strict,
            train_sequences=settings.train_sequences,
            val_sequences=settings.val_sequences,
        ).restricted(settings.subsets)
        self.height = default_height(settings.height, self.source.sensor_table)

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes of the label map."""
        return self.source.label_map.class_names

    @cached_property
    def train_scans(self) -> ScanCache:
        """The training split, kept in memory as far as `cache_mb` allows."""
        return ScanCache(self.source.split("train"), self._settings.cache_mb * _MIB, self._with_rows)

    @cached_property
    def pretraining_scans(self) -> ScanCache:
        """The training split of `pretraining_data`.

        Raises:
            ConfigError: if the settings name no such data, or it has other classes.
            DataError: if that data cannot be used.
        """
        scans = self._pretraining_source.split("train")
        return ScanCache(scans, self._settings.cache_mb * _MIB, self._with_rows)

    @cached_property
    def statistics(self) -> TrainingStatistics:
        """Mean and deviation of the input channels, and the points of each class."""
        return training_statistics(self.train_scans, len(self.class_names))

    @cached_property
    def expectations(self) -> ScanExpectations:
        """What some training scans look like."""
        source = self.source
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
    def normalisation(self) -> Normalisation:
        """Of the input channels, as the settings state it or as the training split has it."""
        given = self._settings.normalisation
        if given is None:
            return self.statistics.normalisation
        return Normalisation(tuple(given.mean), tuple(given.std))  # type: ignore[arg-type]

    @cached_property
    def geometry(self) -> Geometry:
        """How points of the training split become images."""
        source = self.source
        return geometry_of(
            source.split("train") if "train" in source else [],
            self._settings.projection,
            source.sensor_table,
            source.sensor,
            self.height,
        )

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over scans, labels, and every setting that shapes training or evaluation."""
        settings = {
            key: value
            for key, value in self._settings.model_dump(mode="json").items()
            if key not in _NOT_IN_FINGERPRINT
        }
        splits = {name: self.source.split(name).fingerprint() for name in ("train", "val")}
        if self._settings.pretraining_data is not None:
            splits["pretraining"] = self._pretraining_source.split("train").fingerprint()
        content = json.dumps({"settings": settings, "splits": splits}, sort_keys=True)
        return hashlib.sha256(content.encode("ascii")).hexdigest()

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

    def _with_rows(self, scan: Scan) -> Scan:
        return with_rows(scan, self.geometry.spec(self.height, MIN_WIDTH))


def _height_m(source: DataSource) -> float | None:
    """Return the height that the data set states, or the usual one of a sensor that we know."""
    if source.sensor_height_m is not None or source.sensor_table is None:
        return source.sensor_height_m
    return source.sensor_table.height_m
