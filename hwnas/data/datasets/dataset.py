"""Opens data sets: SemanticKITTI directories and whatever a `dataset.yaml` describes.

Only file names are held in memory; scans are read when they are asked for.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hwnas.data import CONFIG_NAME
from hwnas.data.datasets.dataset_config import (
    EMBEDDED_LABELS,
    UNKNOWN_SENSOR,
    DatasetConfig,
    ScanEntry,
    read_dataset_config,
)
from hwnas.data.datasets.files_of_dataset import Unreadable, format_of, missing_labels, scan_files
from hwnas.data.datasets.minimal_config import DOCS_PAGE, minimal_config
from hwnas.data.datasets.reading import ScanFiles, ScanReader
from hwnas.data.datasets.scan_dataset import ScanDataset
from hwnas.data.datasets.splits import Splits, how_to_split, split_sequences
from hwnas.data.datasets.subsets import Subset, refuse_shared_labels
from hwnas.data.label_maps import LabelMap, load_label_map
from hwnas.data.scan_files.containers import container_format, format_of_container
from hwnas.data.scan_files.frames import Coordinates
from hwnas.data.sensors import Sensor, find_sensor
from hwnas.errors import DataError
from hwnas.files import checked_path, is_yaml
from hwnas.plugins import load_plugin, plugin_names
from hwnas.scan import DataWarning as DataWarning  # noqa: PLC0414 - part of this API
from hwnas.text import shown


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
        format_options: of the format.
        sensor_height_m: of the sensor above the ground; None where the data set does not state it.
        unreadable: directories that could not be searched for scans.
        splits_are_stated: whether the description or the caller names the sequences of a split.
        subsets: what splits are restricted to, by name.
        sensor_is_stated: whether the description names the sensor; False where the usual one is assumed.
    """

    path: Path
    name: str
    all_scans: ScanDataset
    sequences_of: Splits
    intensity_range: tuple[float, float]
    coordinates: Coordinates
    format_options: Mapping[str, Any]
    sensor_height_m: float | None = None
    unreadable: tuple[Unreadable, ...] = ()
    sensor_is_stated: bool = True
    splits_are_stated: bool = False
    subsets: Mapping[str, Subset] = field(default_factory=dict)

    @property
    def frame(self) -> str:
        """How the axes of the files point."""
        return self.coordinates.frame

    @property
    def sensor(self) -> str:
        """Name of the sensor."""
        return self.all_scans.sensor

    @property
    def format(self) -> str:
        """Name of the file format, as registered."""
        return self.all_scans.format

    @property
    def sensor_table(self) -> Sensor | None:
        """What is known of the sensor; None if it is neither one of hwnas nor a YAML file."""
        return self.all_scans.sensor_table

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
        subset = self.subsets.get(name)
        if subset is not None and subset.scans is not None:
            files = subset.files(self.all_scans.files, name)
        else:
            files = tuple(files for files in self.all_scans.files if files.sequence in wanted)
        if name != "test" and not self.all_scans.reader.embedded_labels:
            _refuse_missing_labels(files, name)
        return replace(self.all_scans, files=files, subset=subset)

    def restricted(self, subsets: Mapping[str, Subset]) -> DataSource:
        """Return this data set with parts of some splits in place of them.

        Two parts that are given together may divide a split among them, as cross-validation does.

        Raises:
            DataError: if training and validation would share a label, or a part alone names scans of another
                split.
        """
        sequences = {
            name: tuple(dict.fromkeys(scan.rpartition("/")[0] for scan in subset.scans))
            for name, subset in subsets.items()
            if subset.scans is not None
        }
        if {"train", "val"} <= sequences.keys():
            refuse_shared_labels(subsets["train"], subsets["val"])
        else:
            for name, found in sequences.items():
                if foreign := sorted(set(found) - set(self.sequences_of.get(name, ()))):
                    raise DataError(
                        f"The subset of the split {name!r} names scans of the sequence {shown(foreign[0])}, "
                        f"which is not in that split: {list(self.sequences_of.get(name, ()))}. Name scans of "
                        "the split, or change the split."
                    )
        return replace(
            self, sequences_of={**self.sequences_of, **sequences}, subsets={**self.subsets, **subsets}
        )

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
    path = checked_path(path, "The data set", DataError)
    directory, config = find_config(path)
    named = path if is_yaml(path.name) else directory / CONFIG_NAME
    described_by = named if named.exists() else directory
    chosen_map = load_label_map(label_map) if label_map is not None else _own_label_map(config, described_by)
    try:
        return _opened(directory, config, chosen_map, train_sequences, val_sequences, strict=strict)
    except DataError as error:
        # Whatever is wrong with values of the description, its reader needs to know which one that is.
        if str(directory) in str(error):
            raise
        raise DataError(f"{described_by}: {error}") from error


def _opened(
    directory: Path,
    config: DatasetConfig,
    label_map: LabelMap,
    train_sequences: Sequence[str] | None,
    val_sequences: Sequence[str] | None,
    *,
    strict: bool,
) -> DataSource:
    format_name = format_of(config)
    read_file = load_plugin("hwnas.data_formats", format_name)
    container = container_format(read_file)
    reader = ScanReader(
        read_file=read_file,
        options=config.format_options,
        coordinates=config.coordinates,
        intensity_range=config.intensity_range,
        label_map=label_map,
        label_dtype=config.label_dtype,
        embedded_labels=config.label_pattern == EMBEDDED_LABELS,
        strict=strict,
    )
    files, unreadable = scan_files(directory, config, container)
    for one in unreadable:
        warnings.warn(one.message, DataWarning, stacklevel=2)
    sequences = split_sequences(files, config, train=train_sequences, val=val_sequences)
    return DataSource(
        path=directory,
        name=config.name or directory.resolve().name,
        all_scans=ScanDataset(
            files,
            reader,
            config.sensor,
            format=format_name if container is None else container.name,
            sensor_table=find_sensor(config.sensor, directory),
        ),
        sequences_of=sequences,
        intensity_range=config.intensity_range,
        coordinates=config.coordinates,
        format_options=config.format_options,
        sensor_height_m=config.sensor_height_m,
        unreadable=unreadable,
        sensor_is_stated="sensor" in config.model_fields_set,
        splits_are_stated=bool(config.splits.model_fields_set) or bool(train_sequences or val_sequences),
    )


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
    format_name = format_of_container(path)
    if format_name is not None:
        return path.parent, _config_of_container(path, format_name)
    # Unlike the methods of Path, these take names that are too long, or links in circles, as not existing.
    if not os.path.exists(path):
        raise DataError(f"There is no data set {shown(str(path), 400)}: no such directory or file.")
    raise DataError(
        f"{path} is not a data set: expected a directory with {CONFIG_NAME} or with "
        f"sequences/NN/velodyne/*.bin (SemanticKITTI), the path of a {CONFIG_NAME}, or a bag. "
        "'hwnas data synthesize DIR' makes one." + _advice(path)
    )


def _config_of_container(path: Path, format_name: str) -> DatasetConfig:
    """Return what is known of a file that holds several scans and is a data set alone: nothing but itself."""
    entry = ScanEntry(points=path.name, sequence=path.stem)
    return DatasetConfig(name=path.stem, sensor=UNKNOWN_SENSOR, scans=(entry,), format=format_name)


def _advice(path: Path) -> str:
    """Return a `dataset.yaml` for the scan files in a directory, or where to read how to write one."""
    config = minimal_config(path, plugin_names("hwnas.data_formats")) if os.path.isdir(path) else None
    if config is None:
        return f" {DOCS_PAGE} says how to describe scans."
    return (
        f" There are scan files. Write what describes them into {path / CONFIG_NAME}, for instance:\n\n"
        f"{config}\n\nThen `hwnas data info {path}` says what else is missing. "
        f"{DOCS_PAGE} has every key and complete examples."
    )


def _own_label_map(config: DatasetConfig, described_by: Path) -> LabelMap:
    """Return the label map that a description names; what is wrong in a file of one is said of that file."""
    if not is_yaml(config.label_map):
        try:
            return load_label_map(config.label_map)
        except DataError as error:
            raise DataError(f"The `label_map` of {described_by}: {error}") from error
    if not os.path.isfile(config.label_map):
        raise DataError(
            f"The `label_map` of {described_by} is {shown(config.label_map, 400)}: "
            "there is no such file. Paths count from the file that they stand in."
        )
    return load_label_map(config.label_map)


def _refuse_missing_labels(files: tuple[ScanFiles, ...], split: str) -> None:
    missing = missing_labels(files)
    if missing:
        first = missing[0].labels or f"of {missing[0].points}"
        raise DataError(
            f"{len(missing)} of the {len(files)} scans of the split {split!r} have no labels: "
            f"the label file {first} is missing. "
            "Add the label files, or take the sequence out of the split."
        )
