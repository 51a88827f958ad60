"""The ranges of activations, from task data, by the calibrators of onnxruntime."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import onnx

from hwnas.arrays import FloatArray
from hwnas.errors import ExportError
from hwnas.onnx_graphs.precision.checking import onnxruntime_module, silent
from hwnas.scratch import ScratchDirectory

PERCENTILE = 99.999
"""Share of values inside a range, in percent; the rest is clipped."""
_HISTOGRAM_BINS = 2048


class CalibrationMethod(Enum):
    """How a range follows from values.

    Attributes:
        MIN_MAX: all of them lie inside.
        ENTROPY: the range whose quantised histogram has least divergence from the true one (Migacz, "8-bit
            inference with TensorRT", GTC 2017).
        PERCENTILE: `PERCENTILE` of them lie inside.
    """

    MIN_MAX = "min-max"
    ENTROPY = "entropy"
    PERCENTILE = "percentile"


@dataclass(frozen=True)
class Ranges:
    """Ranges of the activations of one model.

    Attributes:
        method: by which they were found.
        num_inputs: task inputs that were run.
        tensors: onnxruntime's own record of them, by name.
    """

    method: CalibrationMethod
    num_inputs: int
    tensors: Any


def calibrate(
    model: onnx.ModelProto,
    inputs: Iterable[Mapping[str, FloatArray]],
    method: CalibrationMethod,
    *,
    symmetric: bool,
) -> Ranges:
    """Run `model` in float32 on task inputs and return the ranges of its activations.

    Args:
        model: that computes them.
        inputs: of the network, by name; memory holds the activations of one sample at a time.
        method: see `CalibrationMethod`.
        symmetric: whether ranges are to be centred at zero.

    Raises:
        ExportError: if onnxruntime is missing, or there is no input.
    """
    module = onnxruntime_module("onnxruntime.quantization.calibrate")
    methods = {
        CalibrationMethod.MIN_MAX: module.CalibrationMethod.MinMax,
        CalibrationMethod.ENTROPY: module.CalibrationMethod.Entropy,
        CalibrationMethod.PERCENTILE: module.CalibrationMethod.Percentile,
    }
    options: dict[str, Any] = {"symmetric": symmetric}
    if method is CalibrationMethod.PERCENTILE:
        options |= {"num_bins": _HISTOGRAM_BINS, "percentile": PERCENTILE}
    count = 0
    with ScratchDirectory("calibration") as scratch, silent():
        path = Path(scratch) / "model.onnx"
        onnx.save(model, path)
        calibrator = module.create_calibrator(
            path,
            augmented_model_path=str(Path(scratch) / "augmented.onnx"),
            calibrate_method=methods[method],
            extra_options=options,
        )
        calibrator.set_execution_providers(["CPUExecutionProvider"])
        for arrays in inputs:
            calibrator.collect_data(_OneInput(dict(arrays)))
            count += 1
        if not count:
            raise ExportError("Calibrating needs task inputs, but the split has none.")
        tensors = calibrator.compute_data()
    return Ranges(method, count, tensors)


class _OneInput:
    """A data reader of one entry, so that activations of no second one wait in memory."""

    def __init__(self, feed: dict[str, FloatArray]) -> None:
        self._feed: dict[str, FloatArray] | None = feed

    def get_next(self) -> dict[str, FloatArray] | None:
        """Return the entry, then None."""
        feed, self._feed = self._feed, None
        return feed

    def __iter__(self) -> _OneInput:
        return self

    def __next__(self) -> dict[str, FloatArray]:
        feed = self.get_next()
        if feed is None:
            raise StopIteration
        return feed
