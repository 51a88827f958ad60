"""Makes the precisions of an exported network and evaluates each on task data."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from torch import nn

from hwnas.architecture import Architecture
from hwnas.bundle.precision.measurements import (
    MODELOPT,
    PrecisionMeasurements,
    PrecisionSettings,
    measurements_of,
)
from hwnas.bundle.runtime.onnx_predictor import OnnxPredictor
from hwnas.errors import ExportError
from hwnas.files import write_bytes_atomically
from hwnas.onnx_graphs.precision.calibration import Ranges, calibrate
from hwnas.onnx_graphs.precision.half import LARGEST_HALF, half_precision
from hwnas.onnx_graphs.precision.int8 import layers_of, quantised
from hwnas.onnx_graphs.precision.kinds import FP16, FP32, INT8, MIXED, Dialect
from hwnas.onnx_graphs.precision.modelopt_int8 import check_modelopt, quantised_by_modelopt
from hwnas.onnx_graphs.versions import at_opset, with_oldest_versions
from hwnas.tasks.base import Arrays, Predict, Task
from hwnas.tasks.batch_evaluation import Evaluation, evaluate_together
from hwnas.training.half import HalfNetwork


def file_name(precision: str) -> str:
    """Return the name of the model file of a precision in a bundle."""
    return "model.onnx" if precision == FP32 else f"model.{precision}.onnx"


class PrecisionMaker:
    """Makes and evaluates the precisions of one network."""

    def __init__(
        self,
        task: Task,
        architecture: Architecture,
        module: nn.Module,
        directory: Path,
        dialect: Dialect,
        settings: PrecisionSettings,
        *,
        suffix: str = "",
        opset: int | None = None,
    ) -> None:
        """Take a network whose `model.onnx` (fp32) lies in `directory`, where the others will.

        Args:
            task: that evaluates.
            architecture: of the network.
            module: the network.
            directory: that holds `model.onnx`.
            dialect: of INT8.
            settings: what is wanted.
            suffix: of the names of quantised precisions, where the bundle holds another dialect, too.
            opset: of all files; None takes the oldest that each needs.
        """
        self._task, self._architecture, self._module = task, architecture, module
        self._directory, self._dialect, self._settings = directory, dialect, settings
        self._suffix, self._opset = suffix, opset
        self._model = onnx.load(directory / file_name(FP32))
        self._inputs: list[Arrays] = []
        self._ranges: Ranges | None = None

    def make(self) -> list[PrecisionMeasurements]:
        """Write the wanted files and return the figures of each, fp32 first.

        If `int8` exceeds its limits, `mixed` is searched for, requested or not.

        Raises:
            ExportError: if a precision cannot be made.
            DataError: if the data cannot be read.
        """
        wanted = self._settings.wanted
        self._check_quantizer()
        predicts: dict[str, Predict] = {FP32: self._predictor(FP32)}
        half: HalfNetwork | None = None
        if FP16 in wanted:
            self._write(FP16, half_precision(self._model))
            predicts[FP16] = half = HalfNetwork(self._module, self._task.io_spec(self._architecture))
        if INT8 in wanted or MIXED in wanted:
            self._write(INT8, self._quantised(()))
            predicts[INT8] = self._predictor(INT8)
        evaluations = self._evaluate(predicts)
        found = [self._measurements(name, evaluations[name], evaluations[FP32]) for name in predicts]
        found = [self._with_half_details(entry, half) if entry.name == FP16 else entry for entry in found]
        if INT8 in predicts and not found[-1].holds:
            found += self._mixed(evaluations[FP32])
        if INT8 not in wanted and MIXED in wanted and len(found) > 1:
            found = self._without_int8(found)
        return [replace(entry, name=self._name(entry.name)) for entry in found]

    def _name(self, precision: str) -> str:
        """Return what a precision is called in the bundle; only quantised ones have a dialect."""
        return precision + (self._suffix if precision in {INT8, MIXED} else "")

    def _path(self, precision: str) -> Path:
        return self._directory / file_name(self._name(precision))

    def _without_int8(self, found: list[PrecisionMeasurements]) -> list[PrecisionMeasurements]:
        """Leave `int8` out when only `mixed` was asked for and found."""
        if not any(entry.name == MIXED for entry in found):
            return found
        self._path(INT8).unlink()
        return [entry for entry in found if entry.name != INT8]

    def _mixed(self, reference: Evaluation) -> list[PrecisionMeasurements]:
        """Keep the most sensitive layers out of INT8, as few of them as the limits allow."""
        layers = self._by_sensitivity()
        best: PrecisionMeasurements | None = None
        low, high = 0, len(layers)  # with `low` kept the limits do not hold, with `high` nothing is INT8
        step = 1
        while low + 1 < high:
            count = min(low + step, high - 1) if best is None else (low + high) // 2
            keep = layers[:count]
            self._write(MIXED, self._quantised(keep))
            evaluations = self._evaluate({FP32: self._predictor(FP32), MIXED: self._predictor(MIXED)})
            measurements = self._measurements(MIXED, evaluations[MIXED], reference, kept_layers=keep)
            if measurements.holds:
                best, high = measurements, count
            else:
                low, step = count, step * 2
        if best is None:
            self._path(MIXED).unlink(missing_ok=True)
            return []
        self._write(MIXED, self._quantised(best.details["kept_layers"]))
        return [best]

    def _by_sensitivity(self) -> list[str]:
        """Return the layers, that first whose quantisation alone changes the outputs most."""
        layers = layers_of(self._model)
        images = self._calibration_inputs()[: self._settings.sensitivity_inputs]
        reference = self._predictor(FP32)
        expected = [reference(image) for image in images]
        errors = {}
        probe = self._directory / "probe.onnx"
        for layer in layers:
            # Always by onnxruntime, which takes a fraction of a second where ModelOpt takes many.
            model = self._by_onnxruntime([name for name in layers if name != layer])
            write_bytes_atomically(probe, model.SerializeToString(deterministic=True))
            predict = OnnxPredictor(probe, self._settings.threads)
            error = sum(
                float(np.linalg.norm(array - outputs[name]))
                for image, outputs in zip(images, expected, strict=True)
                for name, array in predict(image).items()
            )
            # Sorting takes what is not a number for anything; nothing changes outputs more.
            errors[layer] = error if math.isfinite(error) else math.inf
        probe.unlink(missing_ok=True)
        return sorted(layers, key=lambda layer: -errors[layer])

    def _check_quantizer(self) -> None:
        """Refuse ModelOpt where it cannot be used.

        Raises:
            ExportError: if the target has another backend than TensorRT, or ModelOpt is missing.
        """
        if self._settings.quantizer != MODELOPT or not {INT8, MIXED} & set(self._settings.wanted):
            return
        if self._dialect is not Dialect.TENSORRT:
            raise ExportError(
                f"ModelOpt quantises for TensorRT, but the target computes INT8 in the dialect of "
                f"{self._dialect.value}. Leave out `quantizer=modelopt`, or export for a TensorRT target."
            )
        check_modelopt(self._settings.calibration)

    def _quantised(self, keep: Sequence[str]) -> onnx.ModelProto:
        if self._settings.quantizer != MODELOPT:
            return self._by_onnxruntime(keep)
        images = self._calibration_inputs()
        return quantised_by_modelopt(self._model, images, self._settings.calibration, keep=keep)

    def _by_onnxruntime(self, keep: Sequence[str]) -> onnx.ModelProto:
        if self._ranges is None:
            symmetric = self._dialect is Dialect.TENSORRT
            self._ranges = calibrate(
                self._model, self._calibration_inputs(), self._settings.calibration, symmetric=symmetric
            )
        return quantised(self._model, self._ranges, self._dialect, keep=keep)

    def _calibration_inputs(self) -> list[Arrays]:
        if not self._inputs:
            count = self._settings.calibration_inputs
            self._inputs = list(self._task.inputs(self._architecture, split="train", limit=count))
        return self._inputs

    def _evaluate(self, predicts: Mapping[str, Predict]) -> Mapping[str, Evaluation]:
        settings = self._settings
        return evaluate_together(
            self._task,
            predicts,
            self._architecture,
            reference=FP32,
            split=settings.split,
            limit=settings.limit,
        )

    def _measurements(
        self, name: str, evaluation: Evaluation, reference: Evaluation, *, kept_layers: Sequence[str] = ()
    ) -> PrecisionMeasurements:
        settings = self._settings
        details: dict[str, Any] = {}
        if name in {INT8, MIXED}:
            details = {
                "dialect": self._dialect.value,
                "quantizer": settings.quantizer,
                "calibration": settings.calibration.value,
                "calibration_inputs": len(self._calibration_inputs()),
                "layers": len(layers_of(self._model)),
                "kept_layers": list(kept_layers),
            }
            if self._dialect is Dialect.TENSORRT:
                details["scales"] = "float32"
        return measurements_of(name, evaluation, reference, settings, details)

    def _with_half_details(
        self, measurements: PrecisionMeasurements, half: HalfNetwork | None
    ) -> PrecisionMeasurements:
        if half is None:
            return measurements
        largest = half.largest_activation
        details = {"evaluated_in": "half arithmetic", "largest_activation": min(largest, 1e30)}
        remarks = list(measurements.remarks)
        if not self._dialect.has_fast_half:
            remarks.append("this target computes halves in single precision; for GPUs")
        if not largest <= LARGEST_HALF:
            remarks.append(
                f"activations reach {largest:.3g}, more than the {LARGEST_HALF:g} that a half holds"
            )
        return replace(
            measurements,
            details=details,
            remarks=tuple(remarks),
            holds=measurements.holds and largest <= LARGEST_HALF,
        )

    def _predictor(self, precision: str) -> OnnxPredictor:
        return OnnxPredictor(self._path(precision), self._settings.threads)

    def _write(self, precision: str, model: onnx.ModelProto) -> None:
        stamped = with_oldest_versions(model) if self._opset is None else at_opset(model, self._opset)
        write_bytes_atomically(self._path(precision), stamped.SerializeToString(deterministic=True))
