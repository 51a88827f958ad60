"""Formats whose files hold several scans, such as bags: a scan's path is that of its file, `/` and its name.

Such a format is registered as any other; beside reading a scan, it says which scans a file holds.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from hwnas.data.scan_files.formats import RawScan
from hwnas.plugins import load_plugin, plugin_names

_GROUP = "hwnas.data_formats"
_DIRECTORIES = {("metadata.yaml", b"rosbag2_bagfile_information"): "rosbag"}
"""Files that make a directory one container, by name and by what stands near their beginning; its format."""
_SEARCHED_BYTES = 4096


class ContainedScan(NamedTuple):
    """A scan in a file that holds several: its name, and whether there are labels for it."""

    name: str
    is_labelled: bool


class StoredLabels(NamedTuple):
    """Labels of a scan.

    Attributes:
        ids: [N] uint32.
        are_classes: whether they are indices of classes, 255 for none, instead of raw ids of a label map.
    """

    ids: npt.NDArray[np.uint32]
    are_classes: bool


@runtime_checkable
class ContainerFormat(Protocol):
    """A reader of scans whose files hold several."""

    @property
    def name(self) -> str:
        """The one name of the format, whatever else it is registered as."""
        ...

    def __call__(self, path: Path, options: Mapping[str, Any]) -> RawScan:
        """Read one scan; see `hwnas.data.scan_files.formats`.

        Args:
            path: of the file, and the name of the scan below it.
            options: of the format.

        Raises:
            DataError: if it is missing or malformed.
        """
        ...

    def scans_in(
        self, path: Path, options: Mapping[str, Any], labels: Path | None = None
    ) -> Sequence[ContainedScan]:
        """Return the scans in a file that options choose, in order.

        Args:
            path: of the file.
            options: of the format.
            labels: file with labels of these scans; None where there is none.

        Raises:
            DataError: if a file is missing or malformed.
        """
        ...

    def labels_of(self, scan: Path, labels: Path, options: Mapping[str, Any]) -> StoredLabels:
        """Return the labels of a scan.

        Args:
            scan: its path, as for reading.
            labels: file that holds them.
            options: of the format.

        Raises:
            DataError: if they are missing or malformed.
        """
        ...

    def files_of(self, path: Path) -> Sequence[Path]:
        """Return the files that a container consists of: itself, or those in its directory; sorted."""
        ...


def container_format(read: Callable[..., RawScan]) -> ContainerFormat | None:
    """Return a reader, if it is one of files that hold several scans."""
    return read if isinstance(read, ContainerFormat) else None


def format_of_container(path: Path) -> str | None:
    """Return the name of the format of a file or directory that holds several scans; None of any other."""
    if os.path.isdir(path):
        marked = [name for (file, mark), name in _DIRECTORIES.items() if _begins_with(path / file, mark)]
        return next((name for name in marked if name in plugin_names(_GROUP)), None)
    ending = path.suffix.lower().lstrip(".")
    if ending not in plugin_names(_GROUP) or not os.path.isfile(path):
        return None
    container = container_format(load_plugin(_GROUP, ending))
    return None if container is None else container.name


def _begins_with(path: Path, mark: bytes) -> bool:
    """Return whether something stands near the beginning of a plain file."""
    try:
        if not os.path.isfile(path):  # a pipe would be waited for
            return False
        with path.open("rb") as stream:
            return mark in stream.read(_SEARCHED_BYTES)
    except OSError:
        return False
