"""How scans below a `dataset.yaml` are read: as that file says."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hwnas.data import CONFIG_NAME
from hwnas.data.scan_files.containers import format_of_container
from hwnas.data.scan_files.label_names import is_named_like_labels
from hwnas.errors import DataError

if TYPE_CHECKING:
    from hwnas.data.scan_files.formats import RawScan
    from hwnas.data.scan_files.frames import Coordinates


@dataclass(frozen=True)
class Layout:
    """How the scans of one data set are stored.

    Attributes:
        path: of the `dataset.yaml`.
        endings: of the names of its scans, without the dot.
        holds: tells of a file whether it is one of the scans.
        format: name of the file format.
        options: of the format.
        coordinates: of the files.
        intensity_range: of the files; intensities are scaled from it to that of the bundle.
    """

    path: Path
    endings: tuple[str, ...]
    holds: Callable[[Path], bool]
    format: str
    options: Mapping[str, Any]
    coordinates: Coordinates
    intensity_range: tuple[float, float]

    def in_unit_of(self, scan: RawScan, intensity_range: tuple[float, float]) -> RawScan:
        """Return a scan with its intensities scaled from the range of the files to another one."""
        (low, high), (to_low, to_high) = self.intensity_range, intensity_range
        if (low, high) == (to_low, to_high):
            return scan
        with np.errstate(over="ignore", invalid="ignore"):
            share = (scan.intensity.astype(np.float64) - low) / (high - low)
            return replace(scan, intensity=(to_low + share * (to_high - to_low)).astype(np.float32))


class Layouts:
    """The data sets that lie in directories which are searched for scans.

    The nearest `dataset.yaml` counts that lies above a file, but not above the directories that were given. A
    file that lies below one of these is read the same whether it was given itself, too, or not.
    """

    def __init__(self, arguments: Sequence[Path]) -> None:
        """Take the files and directories that were given."""
        self._tops = [path for path in arguments if path.is_dir() and format_of_container(path) is None]
        self._known: dict[Path, Layout | None] = {}

    def is_scan(self, path: Path, top: Path, endings: Sequence[str]) -> bool:
        """Return whether a file that was found is a scan.

        A `dataset.yaml` says so. Where there is none, the ending does, unless the name says that the file
        holds labels.

        Args:
            path: of the file.
            top: the directory that was given.
            endings: of names of scans, without the dot.

        Raises:
            DataError: if a `dataset.yaml` is wrong.
        """
        layout, ends_like_scan = self._nearest(path.parent), _ending(path) in endings
        if layout is not None:
            # Of a directory that is a bag, the files are found.
            in_bag = (layout.holds(above) for above in path.parents if above.is_relative_to(top))
            return layout.holds(path) or (ends_like_scan and any(in_bag))
        return ends_like_scan and not is_named_like_labels(path.relative_to(top))

    def of(self, scan: Path) -> Layout | None:
        """Return how a scan is stored, where a `dataset.yaml` says so; None where none does.

        Scans that were given as files, and lie in no directory that was given, are read as the bundle says.

        Raises:
            DataError: if a `dataset.yaml` is wrong.
        """
        layout = self._nearest(scan.parent)
        return layout if layout is not None and _ending(scan) in layout.endings else None

    def _nearest(self, directory: Path) -> Layout | None:
        if directory not in self._known:
            path = directory / CONFIG_NAME
            if not any(directory.is_relative_to(top) for top in self._tops):
                self._known[directory] = None
            elif path.is_file():
                self._known[directory] = _read_layout(path)
            else:
                self._known[directory] = self._nearest(directory.parent)
        return self._known[directory]


def layout_beside(scan: Path) -> Layout | None:
    """Return the data set that a file is a scan of, whatever was given; None if none can be read."""
    for directory in scan.absolute().parents:
        if (directory / CONFIG_NAME).is_file():
            try:
                layout = _read_layout(directory / CONFIG_NAME)
            except DataError:  # it is not asked for
                return None
            return layout if layout.holds(scan.absolute()) else None
    return None


def _ending(path: Path) -> str:
    return path.suffix.lower().lstrip(".")


def _read_layout(path: Path) -> Layout:
    from hwnas.data.datasets.dataset_config import read_dataset_config
    from hwnas.data.datasets.files_of_dataset import endings_of, format_of, is_scan_of

    try:
        config = read_dataset_config(path)
        return Layout(
            path,
            endings_of(config),
            is_scan_of(config, path.parent),
            format_of(config),
            config.format_options,
            config.coordinates,
            config.intensity_range,
        )
    except DataError as error:
        raise DataError(
            f"{error}\nThe scans below {path.parent} would be read as this file says. Mend it, or give the "
            "scans as files to have them read as those of the bundle's training data."
        ) from error
