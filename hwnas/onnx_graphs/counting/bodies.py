"""Nodes with bodies: If, Loop, Scan and SequenceMap."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import onnx

from hwnas.onnx_graphs.counting.values import (
    UNKNOWN,
    Value,
    as_int,
    attributes_of,
    merged,
    tensor_type,
    value_of_array,
)
from hwnas.onnx_graphs.counting.work import WorkLog

if TYPE_CHECKING:
    from hwnas.onnx_graphs.counting.interpreter import Interpreter

_MAX_NODES_UNROLLED = 5_000
"""Nodes of all runs of a body together that are gone through one by one."""


@dataclass(frozen=True)
class Surroundings:
    """Where a body stands.

    Attributes:
        values: that it may use.
        log: takes what is counted.
        place: of its node.
        prefix: of the names of its nodes.
    """

    values: Mapping[str, Value]
    log: WorkLog
    place: tuple[int, ...]
    prefix: str


Body = Callable[["Interpreter", onnx.NodeProto, Sequence[Value | None], Surroundings], list[Value]]


def run_if(
    interpreter: Interpreter, node: onnx.NodeProto, inputs: Sequence[Value | None], around: Surroundings
) -> list[Value]:
    """Count the branch that is taken, or the one with more work if that is not known."""
    chosen = as_int(inputs[0]) if inputs else None
    logs, outputs = [], []
    for index, name in ((0, "else_branch"), (1, "then_branch")):
        log = WorkLog()
        place = (*around.place, index)
        outputs.append(interpreter.run(_graph(node, name), around.values, [], log, place, around.prefix))
        logs.append(log)
    around.log.other_weights |= logs[0].weights | logs[1].weights
    if chosen is not None:
        taken = int(bool(chosen))
        around.log.join(logs[taken])
        return outputs[taken]
    larger = max((0, 1), key=lambda index: (not logs[index].is_complete, logs[index].macs))
    around.log.join(logs[larger])
    if not (logs[0].is_complete and logs[1].is_complete and logs[0].macs == logs[1].macs):
        around.log.notes.append(
            f"{around.prefix[:-1]} (If): the branch with more work is counted; then: {_said(logs[1])}, else: "
            f"{_said(logs[0])}"
        )
    pairs = zip(outputs[0], outputs[1], strict=False)
    return [merged(one, other) for one, other in pairs]


def run_loop(
    interpreter: Interpreter, node: onnx.NodeProto, inputs: Sequence[Value | None], around: Surroundings
) -> list[Value]:
    """Count a body as often as it runs, where that can be known."""
    body = _graph(node, "body")
    most = as_int(inputs[0]) if inputs and inputs[0] is not None else None
    most = None if most is None else max(most, 0)  # for(int i = 0; i < M; ++i), as ONNX has it
    is_open = not inputs or inputs[0] is None
    first = inputs[1] if len(inputs) > 1 else None
    states = [value or UNKNOWN for value in inputs[2:]]
    start = 1 if first is None else as_int(first)
    steady = _steady(interpreter, body, states, around)
    if start is not None and not start:
        most = 0
    if steady is not None and most is not None and start is not None:
        log, outputs = steady
        around.log.join(log, most)
        return _stacked(outputs, len(states), most, states if most == 0 else None)
    if steady is not None and is_open:
        most = 0 if start == 0 else None
        is_open = most == 0  # otherwise it never ends: every run asks for another one
    unrolled = _unrolled(interpreter, body, states, around, None if is_open else most, start, is_open=is_open)
    if unrolled is not None:
        return unrolled
    log, outputs = _once(interpreter, body, states, around)
    around.log.join(log, None)
    if log.macs or not log.is_complete:
        around.log.notes.append(f"{around.prefix[:-1]} (Loop): how often it runs is not known")
    return _stacked(outputs, len(states), None, None)


def run_scan(
    interpreter: Interpreter, node: onnx.NodeProto, inputs: Sequence[Value | None], around: Surroundings
) -> list[Value]:
    """Count a body once for each slice; of one that no runtime takes, nothing is known."""
    body, attributes = _graph(node, "body"), attributes_of(node)
    count = int(attributes.get("num_scan_inputs", 0))
    num_states = len(inputs) - count
    axes = attributes.get("scan_input_axes") or [0] * count
    of_outputs = attributes.get("scan_output_axes") or [0] * (len(body.output) - num_states)
    is_whole = 0 < count <= len(inputs) and (len(axes), len(of_outputs) + num_states) == (
        count,
        len(body.output),
    )
    if interpreter.opsets.get("", 1) < 9 or not is_whole or not _have_axes(inputs[num_states:], axes):
        log = WorkLog()
        interpreter.run(body, around.values, [], log, around.place, around.prefix)
        around.log.join(log, None)
        return [UNKNOWN for _ in node.output]
    states = [(value or UNKNOWN).without_data() for value in inputs[:num_states]]
    slices, times = [], None
    for value, axis in zip(inputs[num_states:], axes, strict=True):
        slices.append(_slice(value or UNKNOWN, int(axis)))
        shape = (value or UNKNOWN).shape
        times = shape[int(axis)] if shape and times is None else times
    log, outputs = _run(interpreter, body, [*states, *slices], around)
    if not _same(states, outputs):
        log, outputs = _run(interpreter, body, [*map(_vague, states), *slices], around)
    around.log.join(log, times)
    found = [
        _with_axis(value, int(axis), times)
        for value, axis in zip(outputs[len(states) :], of_outputs, strict=True)
    ]
    return [*outputs[: len(states)], *found]


def run_sequence_map(
    interpreter: Interpreter, node: onnx.NodeProto, inputs: Sequence[Value | None], around: Surroundings
) -> list[Value]:
    """Count a body that runs for each member of a sequence: nobody knows how many there are."""
    del inputs
    log = WorkLog()
    interpreter.run(_graph(node, "body"), around.values, [], log, around.place, around.prefix)
    around.log.join(log, None)
    return [UNKNOWN for _ in node.output]


BODIES: Mapping[str, Body] = {
    "If": run_if,
    "Loop": run_loop,
    "Scan": run_scan,
    "SequenceMap": run_sequence_map,
}


def _steady(
    interpreter: Interpreter, body: onnx.GraphProto, states: Sequence[Value], around: Surroundings
) -> tuple[WorkLog, list[Value]] | None:
    """Go through a body once for all of its runs; None if they may differ, or the body may end the loop."""
    log, outputs = _once(interpreter, body, states, around)
    goes_on = as_int(outputs[0]) if outputs else None
    if not goes_on or not log.is_complete or not _same(states, outputs[1:]):
        return None
    return log, outputs


def _once(
    interpreter: Interpreter, body: onnx.GraphProto, states: Sequence[Value], around: Surroundings
) -> tuple[WorkLog, list[Value]]:
    """Go through a body with whatever holds in every run: neither the number of the run nor any content."""
    counter = Value(tensor_type(onnx.TensorProto.INT64, ()))
    kept = [value.without_data() for value in states]
    inputs = [counter, value_of_array(np.array(True)), *kept]  # it runs, so the condition holds
    log, outputs = _run(interpreter, body, inputs, around)
    if _same(kept, outputs[1:]):
        return log, outputs
    return _run(interpreter, body, [*inputs[:2], *map(_vague, kept)], around)


def _unrolled(
    interpreter: Interpreter,
    body: onnx.GraphProto,
    states: Sequence[Value],
    around: Surroundings,
    most: int | None,
    start: int | None,
    *,
    is_open: bool,
) -> list[Value] | None:
    """Go through every run of a loop; None if nobody knows when it ends."""
    limit = _MAX_NODES_UNROLLED // max(len(body.node), 1)
    if (most is None and not is_open) or (most is not None and most > limit):
        return None
    log, current, condition, run = WorkLog(), [_varying(value) for value in states], start, 0
    stacked: list[Value] = []
    while condition and (most is None or run < most):
        if run >= limit:
            return None
        number = value_of_array(np.array(run, dtype=np.int64))
        inputs = [number, value_of_array(np.array(True)), *current]
        outputs = interpreter.run(body, around.values, inputs, log, around.place, around.prefix)
        condition = as_int(outputs[0])
        current, slices = (
            [_varying(value) for value in outputs[1 : 1 + len(states)]],
            outputs[1 + len(states) :],
        )
        stacked = [merged(a, b) for a, b in zip(stacked, slices, strict=True)] if run else slices
        run += 1
    if condition is None:
        return None
    around.log.join(log)
    return [*current, *(_with_axis(value, 0, run) for value in stacked)]


def _run(
    interpreter: Interpreter, body: onnx.GraphProto, inputs: Sequence[Value], around: Surroundings
) -> tuple[WorkLog, list[Value]]:
    log = WorkLog()
    return log, interpreter.run(body, around.values, inputs, log, around.place, around.prefix)


def _stacked(
    outputs: list[Value], states: int, times: int | None, unchanged: list[Value] | None
) -> list[Value]:
    """Return the outputs of a loop: its last states, and one slice for each run."""
    last = unchanged if unchanged is not None else [value.without_data() for value in outputs[1 : 1 + states]]
    return [*last, *(_with_axis(value, 0, times) for value in outputs[1 + states :])]


def _same(states: Sequence[Value], outputs: Sequence[Value]) -> bool:
    pairs = zip(states, outputs, strict=False)
    return all(before.type is not None and before.shape == after.shape for before, after in pairs)


def _varying(value: Value) -> Value:
    """Return a state, which is no constant even where its content is known: no runtime unrolls a loop."""
    return replace(value, is_constant=False)


def _vague(value: Value) -> Value:
    """Return what holds of a state whose shape changes from run to run."""
    shape = value.shape
    return Value(tensor_type(value.element, None if shape is None else [None] * len(shape)))


def _have_axes(values: Sequence[Value | None], axes: Sequence[int]) -> bool:
    """Return whether all values have the axes that are named, as far as their shapes are known."""
    shapes = [(value or UNKNOWN).shape for value in values]
    return all(
        shape is None or -len(shape) <= axis < len(shape) for shape, axis in zip(shapes, axes, strict=True)
    )


def _slice(value: Value, axis: int) -> Value:
    shape = value.shape
    if not shape:
        return UNKNOWN
    left = list(shape)
    del left[axis]
    return Value(tensor_type(value.element, left))


def _with_axis(value: Value, axis: int, size: int | None) -> Value:
    shape = value.shape
    if shape is None:
        return Value(weights=value.weights)
    sizes = list(shape)
    sizes.insert(axis if axis >= 0 else len(shape) + 1 + axis, size)
    return Value(tensor_type(value.element, sizes))


def _graph(node: onnx.NodeProto, name: str) -> onnx.GraphProto:
    return next((attribute.g for attribute in node.attribute if attribute.name == name), onnx.GraphProto())


def _said(log: WorkLog) -> str:
    return f"{log.macs:,} MACs" + ("" if log.is_complete else " and unknown ones")
