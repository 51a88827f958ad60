"""Compares what `hwnas inspect` counts with what ONNX Runtime is seen to compute.

    scripts/benchmarks/inspect_counts.py scripts/benchmarks/inspect_models.txt --root DIR

Every line of the list names an ONNX file below DIR and what is given for its inputs. The file is run once by
ONNX Runtime with its profiler, which writes down the shapes of every kernel that ran, those in branches and
loops as often as they ran; the multiplications are worked out from these shapes by other formulas than those
of `hwnas inspect`. Prints a table and exits with 1 if a file differs.
"""

from __future__ import annotations

import argparse
import json
import math
import shlex
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnxruntime

sys.path.insert(0, str(Path(__file__).parents[2]))

from hwnas.errors import HwnasError
from hwnas.latency.agent.inputs import random_inputs
from hwnas.latency.measure.model_files import model_and_io
from hwnas.onnx_graphs.inspection import GraphReport, inspect_onnx

Shapes = Sequence[Sequence[int]]
SAME, UNKNOWN, DIFFERENT, NOT_RUN = "same", "said to be unknown", "DIFFERENT", "not run"
OUTCOMES = (SAME, UNKNOWN, DIFFERENT, NOT_RUN)


@dataclass(frozen=True)
class Compared:
    """One file; `ran` is what ONNX Runtime computed, None with `problem` where it did not run."""

    name: str
    report: GraphReport
    seconds: float
    ran: int | None
    problem: str = ""

    @property
    def outcome(self) -> str:
        """Whether both count the same, to the last digit."""
        if self.ran is None:
            return NOT_RUN
        if self.report.macs is None:
            return UNKNOWN
        return SAME if self.report.macs == self.ran else DIFFERENT


def main() -> int:
    """Compare and print; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("list", help="lines of: FILE [NAME=SHAPE or NAME=VALUE ...]; - reads standard input")
    parser.add_argument("--root", type=Path, default=Path(), help="directory that the files are below")
    settings = parser.parse_args()
    text = sys.stdin.read() if settings.list == "-" else Path(settings.list).read_text("utf-8")
    lines = [shlex.split(line, comments=True) for line in text.splitlines()]
    found = [compare(settings.root, words[0], words[1:]) for words in lines if words]
    print("| file | hwnas inspect, M MACs | ONNX Runtime ran, M MACs | parameters | s | |")
    print("| --- | --- | --- | --- | --- | --- |")
    for one in found:
        print(_row(one))
    outcomes = Counter(one.outcome for one in found)
    print(f"\n{len(found)} files: " + ", ".join(f"{outcomes[name]} {name}" for name in OUTCOMES))
    return int(outcomes[DIFFERENT] > 0)


def compare(root: Path, name: str, inputs: Sequence[str]) -> Compared:
    """Count a file both ways."""
    start = time.perf_counter()
    report = inspect_onnx(root / name, inputs)
    seconds = time.perf_counter() - start
    shapes = {entry.name for entry in report.inputs}
    given = [text for text in inputs if any(text.startswith(f"{known}=") for known in shapes)]
    for entry in report.inputs:
        if not any(text.startswith(f"{entry.name}=") for text in given) and entry.shape:
            given.append(f"{entry.name}={'x'.join(map(str, entry.shape))}")
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
        session = onnxruntime.InferenceSession(
            str(path),
            options,
            providers=["CPUExecutionProvider"],
            # Networks whose weights are all alike would lose branches that compute the same.
            disabled_optimizers=["CommonSubexpressionElimination"],
        )
        session.run(None, arrays)
        events = json.loads(Path(session.end_profiling()).read_text("utf-8"))
    return sum(
        _macs(event["args"]["op_name"], _shapes(event["args"], "input"), _shapes(event["args"], "output"))
        for event in events
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time")
    )


def _shapes(arguments: Mapping[str, Any], side: str) -> Shapes:
    return [shape for typed in arguments.get(f"{side}_type_shape", []) for shape in typed.values()]


_WEIGHT_OF_CONVOLUTION = {"Conv": 1, "FusedConv": 1, "ConvInteger": 1, "DeformConv": 1, "QLinearConv": 3}
_FACTORS = {
    "MatMul": (0, 1),
    "MatMulInteger": (0, 1),
    "MatMulIntegerToFloat": (0, 1),
    "DynamicQuantizeMatMul": (0, 1),
    "FusedMatMul": (0, 1),
    "QLinearMatMul": (0, 3),
}


def _macs(operator: str, inputs: Shapes, outputs: Shapes) -> int:
    """Return the multiplications of one kernel from shapes alone."""
    size = math.prod
    if operator in _WEIGHT_OF_CONVOLUTION:
        return size(outputs[0]) * size(inputs[_WEIGHT_OF_CONVOLUTION[operator]][1:])
    if operator == "ConvTranspose":
        return size(inputs[0]) * size(inputs[1][1:])
    if operator in {"Gemm", "FusedGemm"}:
        # (M K) (K N) (M N) is the square of M N K, whatever is transposed.
        return math.isqrt(size(inputs[0]) * size(inputs[1]) * size(outputs[0]))
    if operator in _FACTORS:
        first, second = _FACTORS[operator]
        return _product_macs(inputs[first], inputs[second], outputs[0])
    if operator in {"LSTM", "GRU", "RNN", "DynamicQuantizeLSTM"}:
        return inputs[0][0] * inputs[0][1] * (size(inputs[1]) + size(inputs[2]))
    return 0


def _product_macs(first: Sequence[int], second: Sequence[int], out: Sequence[int]) -> int:
    """Every value of the output is a sum over the inner axis."""
    if first[-1] != (second[-2] if len(second) > 1 else second[0]):
        raise ValueError(f"{first} and {second} are no factors")
    return math.prod(out) * first[-1]


def _row(one: Compared) -> str:
    macs = (
        f"{one.report.macs / 1e6:,.3f}" if one.report.macs is not None else f"unknown: {one.report.unknown}"
    )
    ran = f"{one.ran / 1e6:,.3f}" if one.ran is not None else f"did not run: {one.problem[:80]}"
    return f"| {one.name} | {macs} | {ran} | {one.report.parameters:,} | {one.seconds:.1f} | {one.outcome} |"


if __name__ == "__main__":
    sys.exit(main())
