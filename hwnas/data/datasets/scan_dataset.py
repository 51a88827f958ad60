"""Scans as a sequence that is read from disk at every access."""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import overload

from hwnas.data.datasets.reading import ScanFiles, ScanReader
from hwnas.data.datasets.subsets import Subset
from hwnas.data.label_maps import LabelMap
from hwnas.data.scan_files.containers import ContainerFormat, container_format
from hwnas.data.sensors import Sensor, shaping_fields
from hwnas.errors import DataError
from hwnas.files import reason_of, sha256_of_file
from hwnas.scan import DataWarning, Scan


@dataclass(frozen=True, eq=False)
class ScanDataset(Sequence[Scan]):
    """Some scans of a data set, read from disk at every access.

    Attributes:
        files: where the scans lie.
        reader: how they are read.
        sensor: name of the sensor.
        format: name of the file format, as registered.
        sensor_table: what is known of the sensor; None if it is neither one of hwnas nor a YAML file.
        subset: what the split is restricted to; None leaves it whole.
    """

    files: tuple[ScanFiles, ...]
    reader: ScanReader
    sensor: str
    format: str
    sensor_table: Sensor | None
    subset: Subset | None = None

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
        return scan if self.subset is None else self.subset.masked(scan)

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
            "sensor_table": None if self.sensor_table is None else shaping_fields(self.sensor_table),
            "format": self.format,
            **reader.coordinates.to_json(),
            "options": reader.options,
            "intensity_range": reader.intensity_range,
            "label_map": reader.label_map.to_json(),
            "label_dtype": reader.label_dtype,
            "embedded_labels": reader.embedded_labels,
            "strict": reader.strict,
        }
        if self.subset is not None and self.subset.azimuths_deg is not None:
            settings["azimuths_deg"] = self.subset.azimuths_deg
        digest = hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode())
        known: dict[str, str] = {}  # links to one file are hashed once, and so are files of several scans
        container = container_format(reader.read_file)
        for files in self.files:
            digest.update(files.id.encode())
            for name in (files.points, files.labels):
                stored = os.path.dirname(name) if name is not None and container is not None else name
                path = os.path.realpath(stored) if stored is not None else None
                if path is not None and path not in known:
                    known[path] = _sha256_of_input(path, container)
                digest.update((known[path] if path is not None else "none").encode())
        return digest.hexdigest()


def _sha256_of_input(path: str, container: ContainerFormat | None) -> str:
    try:
        if container is None:
            return sha256_of_file(path)
        hashes = "".join(sha256_of_file(one) for one in container.files_of(Path(path)))
        return hashlib.sha256(hashes.encode()).hexdigest()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {reason_of(error)}.") from error
