"""Runs an ONNX file with onnxruntime. Python 3.8 syntax: this module travels to boards."""

from __future__ import annotations

import os
from typing import Any, Mapping, Tuple, Type, Union

import numpy as np
import numpy.typing as npt

from hwnas.errors import BundleError
from hwnas.files import utf8_path
from hwnas.onnxruntime_loading import load_onnxruntime

FloatArray = npt.NDArray[np.float32]

_ROUNDS_HALVES_SINCE = (1, 30)
"""The first onnxruntime whose QuantizeLinear rounds halves; 1.18 to 1.29 were seen to truncate them."""


class OnnxPredictor:
    """A network in an ONNX file, run on the CPU: input [1, C, H, W] to logits [1, K, H, W].

    Attributes:
        input_shape: (1, C, H, W), static.
        output_shape: (1, K, H, W), static.
        version: of onnxruntime.
    """

    def __init__(self, path: Union[str, os.PathLike[str]], threads: int = 1) -> None:
        """Load a file.

        Args:
            path: ONNX file with one float32 input and one float32 output of static shapes.
            threads: that one inference may use; 0 means one for every core.

        Raises:
            BundleError: if onnxruntime is missing, refuses the file, or the file has another interface.
        """
        self._path = os.fspath(path)
        self._session, self.version = _open_session(self._path, threads)
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        if len(inputs) != 1 or len(outputs) != 1:
            raise BundleError(
                f"{path} must have one input and one output, but has {len(inputs)} and {len(outputs)}."
            )
        self._input, self._output = inputs[0].name, outputs[0].name
        self.input_shape = _static_shape(inputs[0], path)
        self.output_shape = _static_shape(outputs[0], path)

    def __call__(self, image: FloatArray) -> FloatArray:
        """Return the logits [1, K, H, W] of one input [1, C, H, W].

        Raises:
            BundleError: if the input has another shape than the file states, or onnxruntime cannot run it,
                such as for lack of memory.
        """
        if image.shape != self.input_shape:
            raise BundleError(f"The network takes an input {self.input_shape}, but got {image.shape}.")
        values = np.ascontiguousarray(image, dtype=np.float32)
        try:
            (logits,) = self._session.run([self._output], {self._input: values})
        except _refusals() as error:
            raise BundleError(
                f"onnxruntime cannot run {self._path}: {error}. Copy the file again or export it again."
            ) from error
        if np.shape(logits) != self.output_shape:
            raise BundleError(
                f"{self._path} states an output {self.output_shape}, but gives {np.shape(logits)}. "
                "Export it again."
            )
        return np.asarray(logits, dtype=np.float32)


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
    )


def _static_shape(value: Any, path: Union[str, os.PathLike[str]]) -> Tuple[int, ...]:
    shape = tuple(value.shape)
    if value.type != "tensor(float)" or len(shape) != 4 or not all(isinstance(size, int) for size in shape):
        raise BundleError(
            f"{value.name!r} of {path} must be float32 with four fixed sizes, but is {value.type} {shape}."
        )
    return shape
