"""How scans below a `dataset.yaml` are read: as that file says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hwnas.errors import DataError

if TYPE_CHECKING:
    from hwnas.data.formats import RawScan
    from hwnas.data.frames import Coordinates

_CONFIG_NAME = "dataset.yaml"


@dataclass(frozen=True)
class Layout:
    """How the scans of one data set are stored.

    Attributes:
        path: of the `dataset.yaml`.
        endings: of the names of its scans, without the dot; other files are none of its.
        format: name of the file format.
        options: of the format.
        coordinates: of the files.
        intensity_range: of the files; intensities are scaled from it to that of the bundle.
    """

    path: Path
    endings: tuple[str, ...]
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


def layout_of_each(scans: Sequence[Path], arguments: Sequence[Path]) -> list[Layout | None]:
    """Return how each scan is stored, where a `dataset.yaml` says so; None where none does.

    The nearest `dataset.yaml` counts that lies above the scan, but not above the directory that was given.
    Scans that were given as files are read as the bundle says.

    Args:
        scans: files to be labelled.
        arguments: files and directories that were given.

    Raises:
        DataError: if a `dataset.yaml` is wrong.
    """
    directories = [path for path in arguments if path.is_dir()]
    files = set(arguments) - set(directories)
    known: dict[Path, Layout | None] = {}
    found = [None if scan in files else _nearest(scan.parent, directories, known) for scan in scans]
    return [
        layout if layout is not None and scan.suffix.lower().lstrip(".") in layout.endings else None
        for scan, layout in zip(scans, found, strict=True)
    ]


def _nearest(directory: Path, tops: Sequence[Path], known: dict[Path, Layout | None]) -> Layout | None:
    if directory not in known:
        path = directory / _CONFIG_NAME
        if path.is_file():
            known[directory] = _read_layout(path)
        elif directory in tops or directory == directory.parent:
            known[directory] = None
        else:
            known[directory] = _nearest(directory.parent, tops, known)
    return known[directory]


def _read_layout(path: Path) -> Layout:
    from hwnas.data.dataset_config import read_dataset_config
    from hwnas.data.files_of_dataset import endings_of, format_of

    try:
        config = read_dataset_config(path)
        return Layout(
            path,
            endings_of(config),
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
