"""Compares what `hwnas inspect` counts with what ONNX Runtime is seen to compute.

    scripts/benchmarks/inspect_counts.py scripts/benchmarks/inspect_models.txt --root DIR

Every line of the list names an ONNX file below DIR and what is given for its inputs. The file is run once by ONNX
Runtime with its profiler, which writes down the shapes of every kernel that ran, those in branches and loops as often
as they ran; the multiplications are worked out from these shapes by other formulas than those of `hwnas inspect`.
Prints a table and exits with 1 if a file differs.
"""

from __future__ import annotations

import argparse
import json
import math
import shlex
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[2]))

from hwnas.errors import HwnasError
from hwnas.latency.agent.inputs import random_inputs
from hwnas.latency.model_files import model_and_io
from hwnas.onnx_graphs.inspection import GraphReport, inspect_onnx

Shapes = Sequence[Sequence[int]]


@dataclass(frozen=True)
class Compared:
    """One file; `ran` is what ONNX Runtime computed, None with `problem` where it did not run."""

    name: str
    report: GraphReport
    seconds: float
    ran: int | None
    problem: str = ""

    @property
    def agrees(self) -> bool:
        """Whether both count the same."""
        return self.report.macs is not None and self.report.macs == self.ran


def main() -> int:
    """Compare and print; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("list", type=Path, help="lines of: FILE [NAME=SHAPE or NAME=VALUE ...]")
    parser.add_argument("--root", type=Path, help="directory that the files are below; that of the list")
    settings = parser.parse_args()
    root = settings.root or settings.list.parent
    lines = [shlex.split(line, comments=True) for line in settings.list.read_text("utf-8").splitlines()]
    found = [compare(root, words[0], words[1:]) for words in lines if words]
    print("| file | hwnas inspect, M MACs | ONNX Runtime ran, M MACs | parameters | s | |")
    print("| --- | --- | --- | --- | --- | --- |")
    for one in found:
        print(_row(one))
    agreeing = sum(one.agrees for one in found)
    print(f"\n{agreeing} of {len(found)} files agree to the last digit.")
    return int(agreeing < len(found))


def compare(root: Path, name: str, inputs: Sequence[str]) -> Compared:
    """Count a file both ways."""
    start = time.perf_counter()
    report = inspect_onnx(root / name, inputs)
    seconds = time.perf_counter() - start
    shapes = {entry["name"] for entry in report.inputs}
    given = [text for text in inputs if any(text.startswith(f"{known}=") for known in shapes)]
    for entry in report.inputs:
        if not any(text.startswith(f"{entry['name']}=") for text in given) and entry["shape"]:
            given.append(f"{entry['name']}={'x'.join(map(str, entry['shape']))}")
    try:
        return Compared(name, report, seconds, macs_that_ran(root / name, given))
    except (HwnasError, RuntimeError, ValueError) as error:
        return Compared(name, report, seconds, None, str(error))


def macs_that_ran(path: Path, inputs: Sequence[str]) -> int:
    """Run a file once and return the multiplications of the kernels that ran."""
    _, io_spec = model_and_io(path, inputs)
    arrays = random_inputs(io_spec.inputs, 0) | {value.name: value.to_array() for value in io_spec.values}
    with tempfile.TemporaryDirectory() as directory:
        options = onnxruntime.SessionOptions()
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(directory) / "trace")
        options.log_severity_level = 4
        # Constants are folded, as everywhere; nothing is fused into kernels of other shapes.
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.add_session_config_entry("session.disable_prepacking", "1")  # packed weights have no shape
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        session.run(None, arrays)
        events = json.loads(Path(session.end_profiling()).read_text("utf-8"))
    return sum(
        _macs(event["args"]["op_name"], _shapes(event["args"], "input"), _shapes(event["args"], "output"))
        for event in events
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time")
    )


def _shapes(arguments: Mapping[str, Any], side: str) -> Shapes:
    return [shape for typed in arguments.get(f"{side}_type_shape", []) for shape in typed.values()]


def _macs(operator: str, inputs: Shapes, outputs: Shapes) -> int:
    """Return the multiplications of one kernel from shapes alone."""
    size = math.prod
    if operator in {"Conv", "FusedConv", "ConvInteger", "DeformConv"}:
        return size(outputs[0]) * size(inputs[1][1:])
    if operator == "QLinearConv":
        return size(outputs[0]) * size(inputs[3][1:])
    if operator == "ConvTranspose":
        return size(inputs[0]) * size(inputs[1][1:])
    if operator in {"Gemm", "FusedGemm"}:
        # (M K) (K N) (M N) is the square of M N K, whatever is transposed.
        return math.isqrt(size(inputs[0]) * size(inputs[1]) * size(outputs[0]))
    if operator in {
        "MatMul",
        "MatMulInteger",
        "DynamicQuantizeMatMul",
        "MatMulIntegerToFloat",
        "FusedMatMul",
    }:
        return _product_macs(inputs[0], inputs[1], outputs[0])
    if operator == "QLinearMatMul":
        return _product_macs(inputs[0], inputs[3], outputs[0])
    if operator in {"LSTM", "GRU", "RNN"}:
        return inputs[0][0] * inputs[0][1] * (size(inputs[1]) + size(inputs[2]))
    if operator == "DynamicQuantizeLSTM":
        return inputs[0][0] * inputs[0][1] * (size(inputs[1]) + size(inputs[2]))
    return 0


def _product_macs(first: Sequence[int], second: Sequence[int], out: Sequence[int]) -> int:
    """Multiply made-up matrices of these shapes and count, without their batches."""
    rows: NDArray[np.uint8] = np.zeros(first[-2:], np.uint8)
    columns: NDArray[np.uint8] = np.zeros(second[-2:], np.uint8)
    inner = rows.shape[-1]
    if inner != columns.shape[0 if columns.ndim == 1 else -2]:
        raise ValueError(f"{first} and {second} are no factors")
    return math.prod(out) * inner


def _row(one: Compared) -> str:
    macs = (
        f"{one.report.macs / 1e6:,.3f}" if one.report.macs is not None else f"unknown: {one.report.unknown}"
    )
    ran = f"{one.ran / 1e6:,.3f}" if one.ran is not None else f"did not run: {one.problem[:80]}"
    verdict = "same" if one.agrees else "DIFFERS"
    return f"| {one.name} | {macs} | {ran} | {one.report.parameters:,} | {one.seconds:.1f} | {verdict} |"


if __name__ == "__main__":
    sys.exit(main())
