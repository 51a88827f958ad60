"""Opens data sets: SemanticKITTI directories and whatever a `dataset.yaml` describes.

Only file names are held in memory; scans are read when they are asked for.
"""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, overload

from hwnas.data.dataset_config import (
    CONFIG_NAME,
    EMBEDDED_LABELS,
    DatasetConfig,
    read_dataset_config,
)
from hwnas.data.files_of_dataset import Unreadable, format_of, missing_labels, scan_files
from hwnas.data.frames import Coordinates
from hwnas.data.label_maps import LabelMap, load_label_map
from hwnas.data.minimal_config import DOCS_PAGE, minimal_config
from hwnas.data.reading import ScanFiles, ScanReader
from hwnas.data.sensors import Sensor, find_sensor
from hwnas.data.splits import Splits, how_to_split, split_sequences
from hwnas.errors import DataError
from hwnas.files import is_yaml, reason_of, sha256_of_file
from hwnas.plugins import load_plugin, plugin_names
from hwnas.scan import DataWarning as DataWarning  # noqa: PLC0414 - part of this API
from hwnas.scan import Scan
from hwnas.text import shown


@dataclass(frozen=True, eq=False)
class ScanDataset(Sequence[Scan]):
    """Some scans of a data set, read from disk at every access.

    Attributes:
        files: where the scans lie.
        reader: how they are read.
        sensor: name of the sensor.
    """

    files: tuple[ScanFiles, ...]
    reader: ScanReader
    sensor: str

    def __len__(self) -> int:
        """Return the number of scans."""
        return len(self.files)

    @overload
    def __getitem__(self, index: int) -> Scan: ...

    @overload
    def __getitem__(self, index: slice) -> ScanDataset: ...

    def __getitem__(self, index: int | slice) -> Scan | ScanDataset:
        """Return one scan, or a part of the data set.

        Raises:
            DataError: if the scan or its labels are malformed.
        """
        if isinstance(index, slice):
            return replace(self, files=self.files[index])
        scan, dropped = self.reader.read(self.files[index])
        if dropped.not_finite:
            warnings.warn(
                f"{scan.id}: dropped {dropped.not_finite} points whose coordinates are NaN or infinite.",
                DataWarning,
                stacklevel=2,
            )
        return scan

    def __iter__(self) -> Iterator[Scan]:
        """Yield the scans in order, one in memory at a time."""
        return (self[index] for index in range(len(self)))

    @property
    def ids(self) -> tuple[str, ...]:
        """`sequence/name` of every scan."""
        return tuple(files.id for files in self.files)

    @property
    def label_map(self) -> LabelMap:
        """The classes of the labels."""
        return self.reader.label_map

    def fingerprint(self) -> str:
        """Return a SHA-256 over the scans, their labels, and how both are read; the same on every machine.

        Reads every file once; the result is kept.
        """
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:
        reader = self.reader
        settings = {
            "sensor": self.sensor,
            "frame": reader.coordinates.frame,
            **_other_coordinates(reader.coordinates),
            "options": reader.options,
            "intensity_range": reader.intensity_range,
            "label_map": reader.label_map.to_json(),
            "label_dtype": reader.label_dtype,
            "embedded_labels": reader.embedded_labels,
            "strict": reader.strict,
        }
        digest = hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode())
        known: dict[str, str] = {}  # links to one file are hashed once
        for files in self.files:
            digest.update(files.id.encode())
            for name in (files.points, files.labels):
                path = os.path.realpath(name) if name is not None else None
                if path is not None and path not in known:
                    known[path] = _sha256_of_input(path)
                digest.update((known[path] if path is not None else "none").encode())
        return digest.hexdigest()


@dataclass(frozen=True, eq=False)
class DataSource(Mapping[str, ScanDataset]):
    """A data set with its splits; a mapping from split names to scans.

    Attributes:
        path: the directory.
        name: how the data set calls itself.
        all_scans: every scan, of all splits and none.
        sequences_of: sequences of each split.
        intensity_range: intensities that are remission 0 and 1.
        coordinates: of the files; scans are always in metres, x forward, y left, z up, sensor at 0 0 0.
        format: name of the file format, as registered.
        format_options: of the format.
        sensor_height_m: of the sensor above the ground; None where the data set does not state it.
        unreadable: directories that could not be searched for scans.
        splits_are_stated: whether the description or the caller names the sequences of a split.
        sensor_is_stated: whether the description names the sensor; False where the usual one is assumed.
    """

    path: Path
    name: str
    all_scans: ScanDataset
    sequences_of: Splits
    intensity_range: tuple[float, float]
    coordinates: Coordinates
    format: str
    format_options: Mapping[str, Any]
    sensor_height_m: float | None = None
    unreadable: tuple[Unreadable, ...] = ()
    sensor_is_stated: bool = True
    splits_are_stated: bool = False

    @property
    def frame(self) -> str:
        """How the axes of the files point."""
        return self.coordinates.frame

    @property
    def sensor(self) -> str:
        """Name of the sensor."""
        return self.all_scans.sensor

    @cached_property
    def sensor_table(self) -> Sensor | None:
        """What is known of the sensor; None if it is neither one of hwnas nor a YAML file.

        Raises:
            DataError: if `sensor` names a file that does not describe one.
        """
        return find_sensor(self.all_scans.sensor, self.path)

    @property
    def label_map(self) -> LabelMap:
        """The classes of the labels."""
        return self.all_scans.label_map

    @property
    def splits(self) -> tuple[str, ...]:
        """Names of the splits that hold scans."""
        return tuple(self.sequences_of)

    def split(self, name: str) -> ScanDataset:
        """Return the scans of `train`, `val` or `test`.

        Raises:
            DataError: if there is no such split, or a scan of `train` or `val` has no labels.
        """
        if name not in self.sequences_of:
            raise DataError(
                f"The data set {self.path} has no split {name!r}, it has {list(self.splits)}. "
                f"Splits are made of whole sequences. {self._how_to_split()}"
            )
        wanted = set(self.sequences_of[name])
        files = tuple(files for files in self.all_scans.files if files.sequence in wanted)
        if name != "test" and not self.all_scans.reader.embedded_labels:
            _refuse_missing_labels(files, name)
        return replace(self.all_scans, files=files)

    def _how_to_split(self) -> str:
        files = self.all_scans.files
        labelled = self.all_scans.reader.embedded_labels or any(one.labels is not None for one in files)
        return how_to_split(sorted({one.sequence for one in files}), is_labelled=labelled)

    def __getitem__(self, name: str) -> ScanDataset:
        """Return the scans of a split; KeyError if there is none of that name."""
        if name not in self.sequences_of:
            raise KeyError(name)
        return self.split(name)

    def __iter__(self) -> Iterator[str]:
        """Yield the names of the splits."""
        return iter(self.sequences_of)

    def __len__(self) -> int:
        """Return the number of splits."""
        return len(self.sequences_of)


def open_dataset(
    path: str | Path,
    *,
    label_map: str | Path | None = None,
    strict: bool = False,
    train_sequences: Sequence[str] | None = None,
    val_sequences: Sequence[str] | None = None,
) -> DataSource:
    """Open a SemanticKITTI directory, a directory with a `dataset.yaml`, or a `dataset.yaml`.

    Unless the data set or the arguments say otherwise, `val` is sequence 08 (the last labelled one where
    there is no 08), `train` the other labelled sequences, and `test` the unlabelled ones.

    Args:
        path: the directory or the file.
        label_map: name or path of another label map than the data set's own.
        strict: refuse scans with coordinates that are not finite instead of dropping those points.
        train_sequences: sequences to train on, over those of the data set.
        val_sequences: sequences to validate on, over those of the data set.

    Raises:
        DataError: if this is not a data set, or its description is wrong.
        PluginError: if its format is not registered.
    """
    directory, config = find_config(Path(path))
    try:
        return _opened(directory, config, label_map, train_sequences, val_sequences, strict=strict)
    except DataError as error:
        # Whatever is wrong with values of the description, its reader needs to know which one that is.
        if str(directory) in str(error):
            raise
        named = Path(path) if is_yaml(Path(path).name) else directory / CONFIG_NAME
        raise DataError(f"{named if named.exists() else directory}: {error}") from error


def _opened(
    directory: Path,
    config: DatasetConfig,
    label_map: str | Path | None,
    train_sequences: Sequence[str] | None,
    val_sequences: Sequence[str] | None,
    *,
    strict: bool,
) -> DataSource:
    chosen_map = load_label_map(label_map if label_map is not None else _own_label_map(config, directory))
    format_name = format_of(config)
    reader = ScanReader(
        read_file=load_plugin("hwnas.data_formats", format_name),
        options=config.format_options,
        coordinates=config.coordinates,
        intensity_range=config.intensity_range,
        label_map=chosen_map,
        label_dtype=config.label_dtype,
        embedded_labels=config.label_pattern == EMBEDDED_LABELS,
        strict=strict,
    )
    files, unreadable = scan_files(directory, config)
    for one in unreadable:
        warnings.warn(one.message, DataWarning, stacklevel=2)
    sequences = split_sequences(files, config, train=train_sequences, val=val_sequences)
    return DataSource(
        path=directory,
        name=config.name or directory.resolve().name,
        all_scans=ScanDataset(files, reader, config.sensor),
        sequences_of=sequences,
        intensity_range=config.intensity_range,
        coordinates=config.coordinates,
        format=format_name,
        format_options=config.format_options,
        sensor_height_m=config.sensor_height_m,
        unreadable=unreadable,
        sensor_is_stated="sensor" in config.model_fields_set,
        splits_are_stated=bool(config.splits.model_fields_set) or bool(train_sequences or val_sequences),
    )


def _sha256_of_input(path: str) -> str:
    try:
        return sha256_of_file(path)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {reason_of(error)}.") from error


def _other_coordinates(coordinates: Coordinates) -> dict[str, Any]:
    """Return what is unusual beside the frame; left out otherwise, so that old fingerprints stay."""
    usual = Coordinates().to_json()
    return {
        key: value for key, value in coordinates.to_json().items() if key != "frame" and value != usual[key]
    }


def find_config(path: Path) -> tuple[Path, DatasetConfig]:
    """Return the directory of a data set and its description; the usual one if it has no `dataset.yaml`.

    Raises:
        DataError: if this is not a data set, or its description is wrong.
    """
    if is_yaml(path.name) and os.path.isfile(path):
        return path.parent, read_dataset_config(path)
    if os.path.lexists(path / CONFIG_NAME):
        return path, read_dataset_config(path / CONFIG_NAME)
    if os.path.isdir(path / "sequences"):
        return path, DatasetConfig()
    # Unlike the methods of Path, these take names that are too long, or links in circles, as not existing.
    if not os.path.exists(path):
        raise DataError(f"There is no data set {shown(str(path), 400)}: no such directory or file.")
    raise DataError(
        f"{path} is not a data set: expected a directory with {CONFIG_NAME} or with "
        f"sequences/NN/velodyne/*.bin (SemanticKITTI), or the path of a {CONFIG_NAME}. "
        "'hwnas data synthesize DIR' makes one." + _advice(path)
    )


def _advice(path: Path) -> str:
    """Return a `dataset.yaml` for the scan files in a directory, or where to read how to write one."""
    config = minimal_config(path, plugin_names("hwnas.data_formats")) if os.path.isdir(path) else None
    if config is None:
        return f" {DOCS_PAGE} says how to describe scans."
    return (
        f" There are scan files. Write what describes them into {path / CONFIG_NAME}, for instance:\n\n"
        f"{config}\n\n{DOCS_PAGE} has every key and complete examples."
    )


def _own_label_map(config: DatasetConfig, directory: Path) -> str:
    if is_yaml(config.label_map) and not os.path.isfile(config.label_map):
        raise DataError(
            f"The `label_map` of {directory / CONFIG_NAME} is {shown(config.label_map, 400)}: "
            "there is no such file. Paths count from the file that they stand in."
        )
    return config.label_map


def _refuse_missing_labels(files: tuple[ScanFiles, ...], split: str) -> None:
    missing = missing_labels(files)
    if missing:
        first = missing[0].labels or f"of {missing[0].points}"
        raise DataError(
            f"{len(missing)} of the {len(files)} scans of the split {split!r} have no labels: "
            f"the label file {first} is missing. "
            "Add the label files, or take the sequence out of the split."
        )
