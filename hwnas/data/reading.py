"""Reads one scan with its labels and checks everything that can be wrong with them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from hwnas.data.formats import RawScan
from hwnas.data.frames import Coordinates
from hwnas.data.label_maps import LabelMap
from hwnas.errors import DataError
from hwnas.files import read_plain_file, reason_of
from hwnas.range_view.angles import is_valid_range, range_of
from hwnas.range_view.grids import rings_of_grid
from hwnas.scan import Scan

# Rounding when a tool rescaled the intensities; anything beyond is a wrong range.
_INTENSITY_TOLERANCE = 1e-5
_MAX_LABEL_BYTES = 1 << 32

FormatReader = Callable[[Path, Mapping[str, Any]], RawScan]


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
        label_dtype: number type of label files.
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
        try:
            raw = self.read_file(path, self.options)
        except OSError as error:
            raise DataError(f"The scan {path} cannot be read: {reason_of(error)}.") from error
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
        every_point = self.coordinates.to_sensor_frame(raw.points)
        keep, dropped = self._usable(every_point, path)
        points = np.ascontiguousarray(every_point[keep])
        ring = raw.ring
        if ring is None and (raw.organised is not None or len(points) < len(every_point)):
            ring = rings_of_grid(every_point, raw.organised)
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
                    f"{files.points} has no field 'label', but the data set says labels: embedded."
                )
            raw_labels, source = raw.labels, files.points
        elif files.labels is None:
            return None
        else:
            raw_labels, source = _read_labels(Path(files.labels), self.label_dtype), files.labels
        if len(raw_labels) != len(raw.points):
            raise DataError(
                f"{source} holds {len(raw_labels)} labels, but {files.points} holds {len(raw.points)} "
                "points; expected one for each. One file is cut off, or they belong to different scans."
            )
        try:
            return self.label_map.to_train(raw_labels)
        except DataError as error:
            raise DataError(f"{source}: {error}") from error

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
        lowest, highest = float(intensity.min()), float(intensity.max())
        tolerance = _INTENSITY_TOLERANCE * (high - low)
        if not (lowest >= low - tolerance and highest <= high + tolerance):  # true for NaN as well
            raise DataError(
                f"{path}: intensities are {lowest:g} to {highest:g}, outside the stated intensity_range "
                f"[{low:g}, {high:g}]; state the range of the sensor in dataset.yaml, or mend the file."
            )
        if (low, high) == (0.0, 1.0):
            return np.clip(intensity, 0.0, 1.0)
        scaled = (intensity - np.float32(low)) / np.float32(high - low)
        return np.asarray(np.clip(scaled, 0.0, 1.0), np.float32)


def _read_labels(path: Path, dtype: str) -> npt.NDArray[np.uint32]:
    try:
        content = read_plain_file(path, _MAX_LABEL_BYTES)
    except FileNotFoundError as error:
        raise DataError(
            f"The label file {path} is missing; expected one for every scan of a labelled sequence."
        ) from error
    except OSError as error:
        raise DataError(f"The label file {path} cannot be read: {reason_of(error)}.") from error
    stored = np.dtype(dtype).newbyteorder("<")
    if len(content) % stored.itemsize:
        raise DataError(
            f"{path} has {len(content)} bytes, which is not a multiple of its record of "
            f"{stored.itemsize} bytes ({dtype}); the file is cut off, or label_dtype does not describe it."
        )
    return np.frombuffer(content, stored).astype(np.uint32, copy=False)
