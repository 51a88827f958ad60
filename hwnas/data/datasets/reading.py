"""Reads one scan with its labels and checks everything that can be wrong with them."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from hwnas.arrays import UnreadableArraysError, load_array
from hwnas.data.label_maps import LabelMap
from hwnas.data.scan_files.containers import StoredLabels, container_format
from hwnas.data.scan_files.formats import RawScan
from hwnas.data.scan_files.frames import Coordinates
from hwnas.data.scan_files.intensity import are_within, remission_of
from hwnas.data.scan_files.raw_scans import in_sensor_frame, read_raw_scan
from hwnas.errors import DataError
from hwnas.files import read_plain_file, reason_of
from hwnas.labels import IGNORED_LABEL
from hwnas.range_view.angles import is_valid_range, range_of
from hwnas.range_view.grids import rings_of_grid
from hwnas.scan import Scan

if TYPE_CHECKING:
    from hwnas.data.scan_files.raw_scans import FormatReader

_MAX_LABEL_BYTES = 1 << 32
_NPY_MAGIC = b"\x93NUMPY"


class ScanFiles(NamedTuple):
    """Where one scan lies. Plain strings: data sets have tens of thousands of these."""

    id: str
    sequence: str
    points: str
    labels: str | None


class Dropped(NamedTuple):
    """Points that were left out of a scan on reading.

    Attributes:
        not_finite: with a coordinate that is NaN or infinite.
        no_return: at the origin, which is how some drivers write a beam that met nothing.
    """

    not_finite: int
    no_return: int


@dataclass(frozen=True)
class ScanReader:
    """Reads the scans of one data set.

    Attributes:
        read_file: the reader of the file format.
        options: options of the format.
        coordinates: of the files.
        intensity_range: intensities that become remission 0 and 1.
        label_map: merges raw label ids.
        label_dtype: number type of label files; arrays that numpy saved (`.npy`) state their own.
        embedded_labels: whether labels are a column of the scan file.
        strict: refuse scans with coordinates that are not finite instead of dropping the points.
    """

    read_file: FormatReader
    options: Mapping[str, Any]
    coordinates: Coordinates
    intensity_range: tuple[float, float]
    label_map: LabelMap
    label_dtype: str
    embedded_labels: bool
    strict: bool

    def read(self, files: ScanFiles) -> tuple[Scan, Dropped]:
        """Return one scan in our frame and scale, and how many points were left out.

        Raises:
            DataError: for every kind of malformed input; the message names the file.
        """
        return self.scan_of(self.read_raw(files), files)

    def read_raw(self, files: ScanFiles) -> RawScan:
        """Return the points of a scan as the file holds them.

        Raises:
            DataError: if the file is missing, malformed or holds no point.
        """
        path = Path(files.points)
        raw = read_raw_scan(self.read_file, path, self.options)
        if not len(raw.points):
            raise DataError(
                f"{path} is empty: it holds no point. Remove the scan and its labels from the data set."
            )
        return raw

    def scan_of(self, raw: RawScan, files: ScanFiles) -> tuple[Scan, Dropped]:
        """Return what `read_raw` read in our frame and scale, and how many points were left out.

        Raises:
            DataError: if points, intensities or labels cannot be used; the message names the file.
        """
        path = Path(files.points)
        labels = self.labels_of(files, raw)
        seen = in_sensor_frame(raw, self.coordinates)
        keep, dropped = self._usable(seen.points, path)
        points, ring = np.ascontiguousarray(seen.points[keep]), seen.ring
        if ring is None and raw.organised is None and len(points) < len(seen.points):
            ring = rings_of_grid(seen.points)  # which the holes are part of
        ring = None if ring is None else ring[keep]
        remission = self._remission(raw.intensity[keep], path)
        labels = None if labels is None else labels[keep]
        time = None if raw.time is None else raw.time[keep]
        return Scan(points, remission, ring, labels, files.id, time), dropped

    def labels_of(self, files: ScanFiles, raw: RawScan) -> npt.NDArray[np.uint8] | None:
        """Return the classes [N] of the points of a scan; None where it has no labels.

        Raises:
            DataError: if the labels are missing, malformed or unknown to the label map.
        """
        if self.embedded_labels:
            if raw.labels is None:
                raise DataError(
                    f"{files.points} has no field 'label', or which format_options.label_field names, but "
                    "the data set says labels: embedded."
                )
            raw_labels, are_classes, source = raw.labels, raw.labels_are_classes, files.points
        elif files.labels is None:
            return None
        else:
            raw_labels, are_classes = self._stored_labels(files.points, files.labels)
            source = files.labels
        if len(raw_labels) != len(raw.points):
            raise DataError(
                f"{source} holds {len(raw_labels)} labels, but {files.points} holds {len(raw.points)} "
                "points; expected one for each. "
                + self._why_other_count(source, len(raw_labels), len(raw.points))
            )
        try:
            return self._class_ids(raw_labels) if are_classes else self.label_map.to_train(raw_labels)
        except DataError as error:
            raise DataError(f"{source}: {error}") from error

    def _stored_labels(self, points: str, labels: str) -> StoredLabels:
        container = container_format(self.read_file)
        if container is None:
            return StoredLabels(_read_labels(Path(labels), self.label_dtype), are_classes=False)
        return container.labels_of(Path(points), Path(labels).parent, self.options)

    def has_instances(self, files: ScanFiles, raw: RawScan) -> bool:
        """Return whether the upper 16 bits of the labels of a scan hold numbers, which are dropped.

        Raises:
            DataError: if the labels cannot be read.
        """
        if self.embedded_labels:
            ids = None if raw.labels_are_classes else raw.labels
        elif files.labels is None:
            ids = None
        else:
            ids, are_classes = self._stored_labels(files.points, files.labels)
            ids = None if are_classes else ids
        if ids is None:
            return False
        upper = ids >> np.uint32(16)
        return bool(((upper > 0) & (ids != np.uint32(0xFFFFFFFF))).any())  # all bits: -1 of a signed type

    def _why_other_count(self, source: str, labels: int, points: int) -> str:
        stored = np.dtype(self.label_dtype)
        has_stated_type = not self.embedded_labels and not _is_npy(source)
        for factor in (2, 4, 8) if has_stated_type else ():
            for size, is_so in (
                (stored.itemsize // factor, labels * factor == points),
                (stored.itemsize * factor, labels == points * factor),
            ):
                if is_so and size in (1, 2, 4, 8):
                    return (
                        f"They would be as many if each had {size} bytes instead of {stored.itemsize} "
                        f"({self.label_dtype}): state the type as `label_dtype` in dataset.yaml, such as "
                        f"uint{8 * size}."
                    )
        return "One file is cut off, or they belong to different scans."

    def _class_ids(self, ids: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint8]:
        """Return indices of classes as they are.

        Raises:
            DataError: if one is none.
        """
        wrong = ids[(ids < 0) | ((ids >= self.label_map.num_classes) & (ids != IGNORED_LABEL))]
        if len(wrong):
            raise DataError(
                f"class {wrong[0]} is none of the {self.label_map.num_classes} of {self.label_map.name}: the "
                "labels are of another label map, or raw ids (`label_ids: raw`)."
            )
        return ids.astype(np.uint8)

    def _usable(
        self, points: npt.NDArray[np.float32], path: Path
    ) -> tuple[npt.NDArray[np.bool_] | slice, Dropped]:
        range_m = range_of(points)
        finite = np.isfinite(range_m)
        keep = is_valid_range(range_m)
        if keep.all():
            return slice(None), Dropped(0, 0)
        num_not_finite = len(points) - int(np.count_nonzero(finite))
        if num_not_finite and self.strict:
            raise DataError(
                f"{path}: {num_not_finite} of {len(points)} points have coordinates that are NaN or "
                "infinite; read the data set without strict to drop them."
            )
        if not keep.any():
            raise DataError(
                f"{path}: none of its {len(points)} points has a usable position; remove the scan."
            )
        return keep, Dropped(num_not_finite, int(np.count_nonzero(finite & ~keep)))

    def _remission(self, intensity: npt.NDArray[np.float32], path: Path) -> npt.NDArray[np.float32]:
        low, high = self.intensity_range
        if not are_within(intensity, (low, high)):
            raise DataError(
                f"{path}: intensities are {intensity.min():g} to {intensity.max():g}, outside the stated "
                f"intensity_range [{low:g}, {high:g}]; state the range of the sensor in dataset.yaml, or "
                "mend the file."
            )
        return remission_of(intensity, (low, high))


def _read_labels(path: Path, dtype: str) -> npt.NDArray[Any]:
    try:
        content = read_plain_file(path, _MAX_LABEL_BYTES)
    except FileNotFoundError as error:
        raise DataError(
            f"The label file {path} is missing; expected one for every scan of a labelled sequence."
        ) from error
    except OSError as error:
        raise DataError(f"The label file {path} cannot be read: {reason_of(error)}.") from error
    if content.startswith(_NPY_MAGIC):
        return _labels_of_npy(content, path)
    stored = np.dtype(dtype).newbyteorder("<")
    if len(content) % stored.itemsize:
        raise DataError(
            f"{path} has {len(content)} bytes, which is not a multiple of its record of "
            f"{stored.itemsize} bytes ({dtype}); the file is cut off, or label_dtype does not describe it."
        )
    return np.frombuffer(content, stored)


def _labels_of_npy(content: bytes, path: Path) -> npt.NDArray[Any]:
    """Return the labels [N] of a file that numpy saved; their type is the one that the file states."""
    try:
        values = load_array(io.BytesIO(content))
    except UnreadableArraysError as error:
        raise DataError(f"{path} cannot be read as an array of numpy: {error}") from error
    if values.dtype.kind not in "iu" or not (values.ndim == 1 or (values.ndim == 2 and values.shape[1] == 1)):
        raise DataError(
            f"{path} holds an array {values.shape} of the type {values.dtype}; expected a whole number for "
            "each point, [N] or [N, 1]. Save labels with "
            "`np.save(path, labels.reshape(-1).astype(np.uint32))`, in the order of the points."
        )
    return np.asarray(values.reshape(-1))


def _is_npy(path: str) -> bool:
    with Path(path).open("rb") as file:
        return file.read(len(_NPY_MAGIC)) == _NPY_MAGIC
