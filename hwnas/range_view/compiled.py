"""The compiled kernel of projection and k-NN, where the package was built with a C++ compiler.

Its source is `export/cpp/range_view.cpp`; numpy gives the same results to the bit and takes its place where
there is none, or where the environment variable HWNAS_KERNEL is `numpy`.

Python 3.8 syntax, numpy only: this module travels to boards.
"""

from __future__ import annotations

import ctypes
import os
from functools import lru_cache
from typing import Any, Optional, Tuple

import numpy as np
import numpy.typing as npt

from hwnas.errors import DataError

LIBRARY = "range_view.so"
NO_ROWS = (
    "The rings of a scan are neither given nor can be recovered, and neither the beams nor the field of view "
    "of the sensor are known. State fov_up_deg and fov_down_deg, name a sensor that hwnas has a table of, or "
    "give the ring of each point."
)
_VERSION = 8
_METHODS = ("ring", "spherical", "beams")
_NO_MEMORY, _WRONG_RING, _NO_ROWS = -1, -2, -3
_POINTER, _INT, _FLOAT = ctypes.c_void_p, ctypes.c_int32, ctypes.c_float

Projected = Tuple[
    npt.NDArray[np.float32],
    npt.NDArray[np.bool_],
    npt.NDArray[np.int32],
    npt.NDArray[np.int32],
    npt.NDArray[np.int32],
    npt.NDArray[np.float32],
]


class CompiledKernel:
    """The functions of the library; arguments are checked by the callers."""

    def __init__(self, library: Any) -> None:
        self._project = library.hwnas_project
        self._project.restype = _INT
        self._project.argtypes = (
            [_POINTER] * 3
            + [ctypes.c_int64, _INT, _INT, _INT, _FLOAT, _FLOAT, _POINTER, _INT]
            + [_POINTER] * 7
        )
        self._recover_rings = library.hwnas_recover_rings
        self._recover_rings.restype = _INT
        self._recover_rings.argtypes = [_POINTER, ctypes.c_int64, _POINTER]
        self._label_points = library.hwnas_label_points
        self._label_points.restype = _INT
        self._label_points.argtypes = [_POINTER] * 7 + [
            ctypes.c_int64,
            _INT,
            _INT,
            _POINTER,
            _INT,
            _INT,
            _FLOAT,
            _INT,
            _INT,
            _POINTER,
        ]

    def project(
        self,
        points: npt.NDArray[np.float32],
        remission: npt.NDArray[np.float32],
        ring: Optional[npt.NDArray[np.int32]],
        size: Tuple[int, int],
        method: str,
        fov_deg: Tuple[float, float],
        beams: Optional[npt.NDArray[np.int32]],
    ) -> Tuple[Projected, str, int]:
        """Return channels, valid, point index, row, column and range as in `RangeImage`, method and remark.

        The method is empty, and the arrays hold nothing, where nothing tells the rows.

        Args:
            points: [N, 3].
            remission: [N].
            ring: [N] rings, or None.
            size: height and width.
            method: `ring` or `spherical`.
            fov_deg: upper and lower edge; NaN where they are not known.
            beams: sine of each row's elevation, see `hwnas.range_view.rows.sines_of_beams`, or None.

        Raises:
            DataError: if there is no memory for it, or there are more rings than rows.
        """
        points, remission = np.ascontiguousarray(points), np.ascontiguousarray(remission)
        ring = None if ring is None else np.ascontiguousarray(ring, np.int32)
        count, remark = len(points), ctypes.c_int32(0)
        found = (
            np.empty((5, *size), np.float32),
            np.empty(size, np.bool_),
            np.empty(size, np.int32),
            np.empty(count, np.int32),
            np.empty(count, np.int32),
            np.empty(count, np.float32),
        )
        status = self._project(
            points.ctypes.data,
            remission.ctypes.data,
            None if ring is None else ring.ctypes.data,
            count,
            *size,
            _METHODS.index(method),
            fov_deg[1],
            fov_deg[0] - fov_deg[1],
            None if beams is None else beams.ctypes.data,
            0 if beams is None else len(beams),
            *(array.ctypes.data for array in found),
            ctypes.addressof(remark),
        )
        _check_memory(status, count)
        if status == _WRONG_RING and ring is not None:
            raise DataError(wrong_rings(ring, size[0] if beams is None else len(beams)))
        return found, "" if status == _NO_ROWS else _METHODS[status], remark.value

    def recover_rings(self, points: npt.NDArray[np.float32]) -> Optional[npt.NDArray[np.int32]]:
        """Return the ring [N] of points [N, 3], see `hwnas.range_view.rings.recover_rings`.

        Raises:
            DataError: if there is no memory for it.
        """
        points = np.ascontiguousarray(points)
        ring = np.empty(len(points), np.int32)
        status = self._recover_rings(points.ctypes.data, len(points), ring.ctypes.data)
        _check_memory(status, len(points))
        return None if status == _NO_ROWS else ring

    def label_points(
        self,
        label_image: npt.NDArray[np.uint8],
        ranges: npt.NDArray[np.float32],
        projected: Tuple[npt.NDArray[Any], ...],
        weights: npt.NDArray[np.float32],
        settings: Tuple[int, int, float],
        num_classes: int,
        *,
        only_lost: bool,
    ) -> npt.NDArray[np.uint8]:
        """Return the classes [N] of points, see `hwnas.range_view.knn.labels_of_points`.

        Args:
            label_image: [H, W].
            ranges: [H, W].
            projected: valid, point index, row, column and range of a `RangeImage`.
            weights: [window, window].
            settings: k, window and cutoff in metres.
            num_classes: that vote.
            only_lost: points that won their pixel keep its label.

        Raises:
            DataError: if there is no memory for it.
        """
        given = [np.ascontiguousarray(array) for array in (label_image, ranges, *projected)]
        weights = np.ascontiguousarray(weights)
        count = len(given[-1])
        labels = np.empty(count, np.uint8)
        status = self._label_points(
            *(array.ctypes.data for array in given),
            count,
            *label_image.shape,
            weights.ctypes.data,
            *settings,
            num_classes,
            int(only_lost),
            labels.ctypes.data,
        )
        _check_memory(status, count)
        return labels


def wrong_rings(ring: npt.NDArray[np.int32], num_rows: int) -> str:
    """Return what to say about rings [N] that do not fit into an image."""
    return (
        f"The rings are {int(ring.min())}..{int(ring.max())}, but the image has {num_rows} rows; "
        "set the image height to the number of rings, or use the method 'spherical'."
    )


def _check_memory(status: int, count: int) -> None:
    if status == _NO_MEMORY:
        raise DataError(f"There is not enough memory to project {count} points.")


@lru_cache(maxsize=1)
def _library() -> Optional[CompiledKernel]:
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), LIBRARY)
    if not os.path.isfile(path):  # also inside an archive, whose files cannot be loaded
        return None
    try:
        library = ctypes.CDLL(path)
    except OSError:  # built for another kind of machine
        return None
    return CompiledKernel(library) if library.hwnas_range_view_version() == _VERSION else None


def compiled_kernel() -> Optional[CompiledKernel]:
    """Return the kernel, or None where numpy does its work."""
    return None if os.environ.get("HWNAS_KERNEL") == "numpy" else _library()


def kernel_name() -> str:
    """Return `compiled` or `numpy`: what projects points and labels them, at the moment."""
    return "numpy" if compiled_kernel() is None else "compiled"
