"""Runs an ONNX file with onnxruntime. Python 3.8 syntax: this module travels to boards."""

from __future__ import annotations

import os
from typing import Any, Dict, Mapping, Tuple, Type, Union

import numpy as np

from hwnas.arrays import FloatArray
from hwnas.errors import BundleError
from hwnas.files import utf8_path
from hwnas.io_spec import TensorSpec
from hwnas.onnxruntime_loading import SESSION_ENTRIES, load_onnxruntime
from hwnas.thread_counts import checked_threads

_ROUNDS_HALVES_SINCE = (1, 30)
"""The first onnxruntime whose QuantizeLinear rounds halves; 1.18 to 1.29 were seen to truncate them."""


class OnnxPredictor:
    """A network in an ONNX file, run on the CPU: inputs by name to outputs by name.

    Attributes:
        inputs: names and static shapes, float32, in graph order.
        outputs: likewise.
        version: of onnxruntime.
    """

    def __init__(self, path: Union[str, os.PathLike[str]], threads: int = 1) -> None:
        """Load a file.

        Args:
            path: ONNX file whose inputs and outputs are float32 and have static shapes.
            threads: that one inference may use; 0 means one for every core.

        Raises:
            ConfigError: if `threads` is no such number, see `hwnas.thread_counts`.
            BundleError: if onnxruntime is missing, refuses the file, or the file has another interface.
        """
        self._path = os.fspath(path)
        self._session, self.version = _open_session(self._path, checked_threads(threads))
        try:
            self.inputs = tuple(_spec_of(value, path) for value in self._session.get_inputs())
            self.outputs = tuple(_spec_of(value, path) for value in self._session.get_outputs())
        except UnicodeDecodeError as error:
            raise BundleError(
                f"{path} names an input or output in bytes that are not UTF-8: {error}. "
                "Copy the file again or export it again."
            ) from error

    def __call__(self, inputs: Mapping[str, FloatArray]) -> Dict[str, FloatArray]:
        """Return the outputs for one sample.

        Raises:
            BundleError: if inputs are missing or have other shapes than the file states, or onnxruntime
                cannot run it, such as for lack of memory.
        """
        values = arrays_for(self.inputs, inputs)
        try:
            found = self._session.run([spec.name for spec in self.outputs], values)
        except _refusals() as error:
            raise BundleError(
                f"onnxruntime cannot run {self._path}: {error}. Copy the file again or export it again."
            ) from error
        for spec, array in zip(self.outputs, found):  # noqa: B905 - Python 3.8
            if np.shape(array) != spec.shape:
                raise BundleError(
                    f"{self._path} states an output {spec.name!r} of {spec.shape}, but gives "
                    f"{np.shape(array)}. Export it again."
                )
        pairs = zip(self.outputs, found)  # noqa: B905 - Python 3.8
        return {spec.name: np.asarray(array, np.float32) for spec, array in pairs}


def arrays_for(specs: Tuple[TensorSpec, ...], given: Mapping[str, FloatArray]) -> Dict[str, FloatArray]:
    """Return given inputs as a runtime takes them: float32, contiguous, in graph order.

    Raises:
        BundleError: if one is missing or unknown, or has another shape.
    """
    names = [spec.name for spec in specs]
    if not isinstance(given, Mapping):
        raise BundleError(
            f"The network takes the inputs {names} in a mapping, but got {type(given).__name__}."
        )
    try:
        given = {name: np.asarray(array, np.float32) for name, array in given.items()}
    except (ValueError, TypeError, RuntimeError) as error:
        raise BundleError(f"The network takes float32 arrays {names}, but numpy says: {error}.") from error
    if sorted(given) != sorted(names):
        raise BundleError(f"The network takes the inputs {names}, but got {sorted(given)}.")
    for spec in specs:
        shape = np.shape(given[spec.name])
        if shape != spec.shape:
            raise BundleError(f"The network takes an input {spec.name!r} of {spec.shape}, but got {shape}.")
    return {spec.name: np.ascontiguousarray(given[spec.name], dtype=np.float32) for spec in specs}


def check_rounding(entry: Mapping[str, Any], path: Union[str, os.PathLike[str]], version: str) -> None:
    """Refuse INT8 in TensorRT's dialect with float16 scales where onnxruntime computes it wrongly.

    Args:
        entry: of `precisions` in a manifest; those that state float32 scales are computed right everywhere.
        path: of its file, for the error.
        version: of onnxruntime.

    Raises:
        BundleError: naming the version that is installed and the first one that is right.
    """
    details = entry.get("details")
    if not isinstance(details, dict) or details.get("dialect") != "tensorrt" or "scales" in details:
        return
    numbers = [int(part) if part.isdecimal() else 0 for part in version.split(".")[:2]]
    if tuple(numbers) < _ROUNDS_HALVES_SINCE:
        raise BundleError(
            f"{path} is INT8 for TensorRT with float16 scales, which onnxruntime {version} "
            "computes wrongly. Export it again, use another precision, or install onnxruntime "
            f"{'.'.join(map(str, _ROUNDS_HALVES_SINCE))} or later."
        )


def _open_session(path: str, threads: int) -> Tuple[Any, str]:
    try:
        onnxruntime = load_onnxruntime()
    except ImportError as error:
        raise BundleError(
            f"Running {path} needs onnxruntime, which cannot be imported ({error}). "
            "Install it with `pip install hwnas[cpu]`."
        ) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    for key, value in SESSION_ENTRIES.items():
        options.add_session_config_entry(key, value)
    try:
        with utf8_path(path) as readable:
            session = onnxruntime.InferenceSession(readable, options, providers=["CPUExecutionProvider"])
        return session, str(onnxruntime.__version__)
    except _refusals() as error:
        raise BundleError(
            f"onnxruntime {onnxruntime.__version__} cannot load {path}: {error}. "
            "Copy the file again or export it again."
        ) from error


def _refusals() -> Tuple[Type[Exception], ...]:
    """Return what onnxruntime raises for files and inputs that it cannot take."""
    states = load_onnxruntime("onnxruntime.capi.onnxruntime_pybind11_state")

    return (
        states.Fail,
        states.InvalidArgument,
        states.InvalidGraph,
        states.InvalidProtobuf,
        states.NoModel,
        states.NoSuchFile,
        states.NotImplemented,
        states.RuntimeException,
        UnicodeDecodeError,  # where its message quotes a name of the file that is not UTF-8
    )


def _spec_of(value: Any, path: Union[str, os.PathLike[str]]) -> TensorSpec:
    shape = tuple(value.shape)
    if value.type != "tensor(float)" or not all(isinstance(size, int) for size in shape):
        raise BundleError(
            f"{value.name!r} of {path} must be float32 with fixed sizes, but is {value.type} {shape}."
        )
    return TensorSpec(str(value.name), shape)
