"""Trained networks under the final protocol: exported, built and clocked."""

from __future__ import annotations

from pathlib import Path

from hwnas.architecture import Architecture
from hwnas.latency.engines.repeated_builds import Builds, keep_fastest_build
from hwnas.latency.measure.measurements import CandidateMeasurements, measure_candidate
from hwnas.latency.measurement import LatencyMeter
from hwnas.objectives import Objectives
from hwnas.onnx_graphs.export import export_onnx
from hwnas.onnx_graphs.metadata import graph_metadata
from hwnas.search.objectives import end_to_end_job
from hwnas.search_spaces.base import SearchSpace
from hwnas.tasks.base import Task
from hwnas.training.checkpoint import load_weights


def export_trained(
    architecture: Architecture, space: SearchSpace, task: Task, weights: Path, path: Path
) -> None:
    """Write a trained network of a space as an ONNX file.

    Raises:
        StudyError: if the weights are damaged or of another network.
        ExportError: if the network cannot be translated.
    """
    module = space.build(architecture).eval()
    load_weights(weights, module)
    export_onnx(module, task.io_spec(architecture), path, metadata=graph_metadata(task, architecture))


def measured_finally(
    meter: LatencyMeter,
    model: Path,
    architecture: Architecture,
    task: Task,
    objectives: Objectives,
    *,
    builds: int,
) -> tuple[CandidateMeasurements, Builds | None]:
    """Return what the final protocol measures of a trained network, and the engines built for it.

    Args:
        meter: of the target, under the final protocol.
        model: ONNX file of the network.
        architecture: of the network.
        task: that it does.
        objectives: what is measured of it.
        builds: of its engine, of which the fastest is kept; see `keep_fastest_build`.

    Raises:
        MeasurementError: if it cannot be measured.
    """
    io_spec = task.io_spec(architecture)
    made = keep_fastest_build(meter, model, io_spec, builds)
    end_to_end = end_to_end_job(task, architecture, objectives, is_trained=True)
    return measure_candidate(meter, model, io_spec, objectives.metrics, end_to_end=end_to_end), made
