"""The C++ runtime through its C interface, beside the Python runner, both asked the same."""

from __future__ import annotations

import ctypes
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hwnas.bundle.runtime.runner import Runner
from hwnas.errors import HwnasError
from tests.cpp_runtime.building import Built

Array = npt.NDArray[Any]


class _Options(ctypes.Structure):
    _fields_ = (
        ("size", ctypes.c_size_t),
        ("precision", ctypes.c_char_p),
        ("library", ctypes.c_char_p),
        ("threads", ctypes.c_int32),
        ("check_scans", ctypes.c_int32),
        ("allowed_signers", ctypes.c_char_p),
        ("identity", ctypes.c_char_p),
        ("backend", ctypes.c_char_p),
    )


class _Scan(ctypes.Structure):
    _fields_ = (
        ("size", ctypes.c_size_t),
        ("points", ctypes.c_void_p),
        ("intensity", ctypes.c_void_p),
        ("count", ctypes.c_size_t),
        ("ring", ctypes.c_void_p),
        ("time", ctypes.c_void_p),
        ("point_stride", ctypes.c_size_t),
        ("intensity_stride", ctypes.c_size_t),
    )


@dataclass(frozen=True, eq=False)
class Answer:
    """What a runner says of a scan, or why it refuses it.

    Attributes:
        error: message of the refusal; empty if there is none.
        code: exit code of the error, 0 without one.
    """

    error: str = ""
    code: int = 0
    labels: Array | None = None
    scores: Array | None = None
    warnings: tuple[str, ...] = ()
    projection: str = ""


class CppError(Exception):
    """The C++ runtime refuses something."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class CppRunner:
    """`hwnas_runner` of the C interface."""

    def __init__(
        self,
        built: Built,
        bundle: Path,
        *,
        precision: str = "fp32",
        check_scans: bool = True,
        threads: int = 1,
        allowed_signers: Path | None = None,
        identity: str | None = None,
        backend: str = "onnxruntime",
    ) -> None:
        self._library = _load(built.library)
        options = _Options()
        self._library.hwnas_options_init(ctypes.byref(options))
        options.precision = precision.encode()
        options.library = str(built.onnxruntime).encode()
        options.backend = backend.encode()
        options.check_scans = int(check_scans)
        options.threads = threads
        options.allowed_signers = None if allowed_signers is None else str(allowed_signers).encode()
        options.identity = None if identity is None else identity.encode()
        self._runner = ctypes.c_void_p()
        self._check(
            self._library.hwnas_runner_create(
                str(bundle).encode("utf-8", "surrogateescape"),
                ctypes.byref(options),
                ctypes.byref(self._runner),
            )
        )

    def close(self) -> None:
        self._library.hwnas_runner_destroy(self._runner)
        self._runner = ctypes.c_void_p()

    @property
    def address(self) -> int | None:
        return self._runner.value

    def label(
        self,
        points: Array,
        intensity: Array,
        ring: Array | None = None,
        time: Array | None = None,
        *,
        intensity_stride: int = 1,
    ) -> Answer:
        """Label points [N, 3]."""
        arrays = (
            np.ascontiguousarray(points, np.float32),
            np.ascontiguousarray(intensity, np.float32),
            None if ring is None else np.ascontiguousarray(ring, np.int32),
            None if time is None else np.ascontiguousarray(time, np.float64),
        )
        labels, scores = np.empty(len(points), np.uint8), np.empty(len(points), np.float32)
        scan = _Scan()
        self._library.hwnas_scan_init(ctypes.byref(scan))
        pointers = [None if array is None else array.ctypes.data for array in arrays]
        scan.points, scan.intensity, scan.ring, scan.time = pointers
        scan.count, scan.intensity_stride = len(points), intensity_stride
        self._check(
            self._library.hwnas_runner_label(
                self._runner,
                ctypes.byref(scan),
                ctypes.c_void_p(labels.ctypes.data),
                ctypes.c_void_p(scores.ctypes.data),
            )
        )
        projection = self.projection()
        assert projection is not None
        return Answer("", 0, labels, scores, self.warnings(), projection)

    def warnings(self) -> tuple[str, ...]:
        """Return those of this thread's last scan, if this runner labelled it."""
        count = self._library.hwnas_runner_num_warnings(self._runner)
        return tuple(
            self._library.hwnas_runner_warning(self._runner, number).decode() for number in range(count)
        )

    def projection(self) -> str | None:
        """Return how rows of this thread's last scan were found, if this runner labelled it."""
        found: bytes | None = self._library.hwnas_runner_projection(self._runner)
        return None if found is None else found.decode()

    def raw_ids(self, labels: Array) -> Array:
        """Return the raw ids [N] of labels [N]."""
        ids = np.empty(len(labels), np.uint32)
        self._check(
            self._library.hwnas_runner_raw_ids(
                self._runner,
                ctypes.c_void_p(labels.ctypes.data),
                len(labels),
                ctypes.c_void_p(ids.ctypes.data),
            )
        )
        return ids

    def class_names(self) -> tuple[str, ...]:
        count = self._library.hwnas_runner_num_classes(self._runner)
        return tuple(self._library.hwnas_runner_class_name(self._runner, k).decode() for k in range(count))

    def _check(self, status: int) -> None:
        if status:
            raise CppError(status, self._library.hwnas_last_error().decode("utf-8", "surrogateescape"))


def _load(path: Path) -> Any:
    library = ctypes.CDLL(str(path))
    for name in (
        "hwnas_runner_warning",
        "hwnas_runner_projection",
        "hwnas_runner_class_name",
        "hwnas_last_error",
    ):
        getattr(library, name).restype = ctypes.c_char_p
    for name in ("hwnas_runner_num_warnings", "hwnas_runner_num_classes"):
        getattr(library, name).restype = ctypes.c_size_t
    library.hwnas_runner_warning.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    library.hwnas_runner_class_name.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    library.hwnas_runner_destroy.argtypes = [ctypes.c_void_p]
    library.hwnas_runner_raw_ids.argtypes = [
        ctypes.c_void_p,
        ctypes.c_void_p,
        ctypes.c_size_t,
        ctypes.c_void_p,
    ]
    return library


@contextmanager
def both(
    built: Built, bundle: Path, *, precision: str = "fp32", check_scans: bool = True
) -> Iterator[tuple[Runner, CppRunner]]:
    """Open a bundle with the Python runner and with the C++ runtime."""
    cpp = CppRunner(built, bundle, precision=precision, check_scans=check_scans)
    try:
        with Runner(bundle, precision=precision, check_scans=check_scans) as python:
            yield python, cpp
    finally:
        cpp.close()


def answer_of_python(
    runner: Runner, points: Array, intensity: Array, ring: Array | None = None, time: Array | None = None
) -> Answer:
    """Ask the Python runner."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = runner.segment(points, intensity, ring, time)
    except HwnasError as error:
        return Answer(str(error), error.exit_code)
    return Answer("", 0, found.labels, found.scores, found.warnings, found.image.method)


def answer_of_cpp(
    runner: CppRunner, points: Array, intensity: Array, ring: Array | None = None, time: Array | None = None
) -> Answer:
    """Ask the C++ runtime."""
    try:
        return runner.label(points, intensity, ring, time)
    except CppError as error:
        return Answer(str(error), error.code)


def assert_same(
    runners: tuple[Runner, CppRunner],
    points: Array,
    intensity: Array,
    ring: Array | None = None,
    time: Array | None = None,
) -> Answer:
    """Ask both of one scan: verdict, words and labels must be equal, scores to the last digits of an exponential."""
    python = answer_of_python(runners[0], points, intensity, ring, time)
    cpp = answer_of_cpp(runners[1], points, intensity, ring, time)
    assert (cpp.error, cpp.code) == (python.error, python.code)
    assert (cpp.warnings, cpp.projection) == (python.warnings, python.projection)
    if python.labels is not None and python.scores is not None:
        assert cpp.labels is not None
        assert cpp.scores is not None
        np.testing.assert_array_equal(cpp.labels, python.labels)
        np.testing.assert_allclose(cpp.scores, python.scores, rtol=2e-6, atol=1e-9)
    return python
