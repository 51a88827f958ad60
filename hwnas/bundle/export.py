"""Writes bundles: directories that a vehicle can run, each with its evidence."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import onnx
from torch import nn

from hwnas.architecture import Architecture
from hwnas.bundle.directory import replaced_directory
from hwnas.bundle.engines import TENSORRT, ShippedBuilds, write_engine
from hwnas.bundle.integrations.base import Deployed
from hwnas.bundle.integrations.choice import write_integrations
from hwnas.bundle.manifest import MANIFEST_NAME, ONNXRUNTIME, entry_for, read_manifest, recommended_for
from hwnas.bundle.models import described_models
from hwnas.bundle.precision.conversion import PrecisionMaker, file_name
from hwnas.bundle.precision.latency import speed_of
from hwnas.bundle.precision.measurements import (
    PrecisionMeasurements,
    settings_for,
    with_remarks_of_speed,
)
from hwnas.bundle.purpose import ExportOptions, Purpose
from hwnas.bundle.runtime.runner import Runner
from hwnas.bundle.signing import sign_bundle
from hwnas.bundle.stated_content import WEIGHTS_NAME, file_entries, stated_content
from hwnas.bundle.trained_member import TrainedMember
from hwnas.errors import BundleError, DataError, ExportError
from hwnas.files import sha256_of_file, write_checked_json, write_json_atomically
from hwnas.io_spec import IoSpec
from hwnas.latency.measurement import LatencyMeasurement, LatencyMeter
from hwnas.onnx_graphs.export import export_onnx
from hwnas.onnx_graphs.metadata import graph_metadata
from hwnas.onnx_graphs.onnxruntime_gate import check_for_onnxruntime
from hwnas.onnx_graphs.precision.kinds import FP32, Dialect
from hwnas.onnx_graphs.tensorrt_gate import check_for_tensorrt, tensorrt_version
from hwnas.scratch import ScratchDirectory
from hwnas.search_spaces.base import SearchSpace
from hwnas.tasks.base import Task
from hwnas.training.checkpoint import load_weights

MODEL_NAME = "model.onnx"
LATENCY_NAME = "latency.json"
MEASURING_ATTEMPTS = 2


def export_bundle(
    task: Task,
    space: SearchSpace,
    member: TrainedMember,
    directory: Path,
    *,
    meter: LatencyMeter,
    options: ExportOptions | None = None,
) -> Path:
    """Write one trained network as a bundle.

    The directory appears whole or not at all. The latency it states is that of its own
    `model.onnx`: measured here, unless `member.latency` is of a file with the same SHA-256 and
    from the same target.

    Args:
        task: what the network was trained for.
        space: that builds it.
        member: the trained network.
        directory: the bundle; must not exist unless `options.force`.
        meter: of the target that the bundle is for, under the final protocol.
        options: what is written; an unsigned bundle with fp32 alone if None.

    Returns:
        `directory`.

    Raises:
        ConfigError: if what was asked for contradicts itself, see `hwnas.bundle.purpose`.
        ExportError: if the network was trained on other data, `directory` exists and may not be replaced, is
            no bundle, or the network cannot be exported or not be taken by that TensorRT or onnxruntime, or
            the key cannot be used.
        MeasurementError: if the exported file cannot be measured.
    """
    _refuse_other_data(task, member)
    options = options or ExportOptions()
    purpose = options.purpose(meter.target)
    purpose = replace(purpose, tensorrt=options.tensorrt or tensorrt_version(meter.fingerprint()))
    with replaced_directory(directory, force=options.force, marker=MANIFEST_NAME) as scratch:
        _BundleWriter(task, space, member, meter, options, purpose, scratch).write()
    return directory


def _refuse_other_data(task: Task, member: TrainedMember) -> None:
    """Refuse weights with pre- and post-processing, which follow from the data, that are not theirs.

    Raises:
        ExportError: if the network was trained on other data than the task has now.
    """
    if member.task_fingerprint != task.fingerprint():
        raise ExportError(
            f"A bundle states the data that its network was trained on, but {member.architecture.id} was "
            f"trained on others than the task {task.name!r} has now: samples, labels, settings, or "
            "how data are read. Restore them, or train the network on these."
        )


def check_network(task: Task, space: SearchSpace, architecture: Architecture, purpose: Purpose) -> None:
    """Refuse a network that cannot be written as `purpose` asks for, before anything is measured.

    Raises:
        ExportError: naming operators and modules.
    """
    if (purpose.opset, purpose.onnxruntime, purpose.tensorrt) == (None, None, None):
        return
    module = space.build(architecture)
    with ScratchDirectory("export") as scratch:
        path = Path(scratch) / MODEL_NAME
        export_onnx(module, task.io_spec(architecture), path, metadata={}, opset=purpose.opset)
        _check_file(path, None, purpose, module)


@dataclass(frozen=True)
class _BundleWriter:
    """Fills the directory of one bundle.

    Attributes:
        task: what the network was trained for.
        space: that builds it.
        member: the trained network.
        meter: of the target.
        options: what is written.
        purpose: what it is written for.
        directory: that is filled, empty.
    """

    task: Task
    space: SearchSpace
    member: TrainedMember
    meter: LatencyMeter
    options: ExportOptions
    purpose: Purpose
    directory: Path

    def write(self) -> None:
        """Write everything, the manifest last.

        Raises:
            HwnasError: see `export_bundle`.
        """
        module = self._write_model()
        shipped = ShippedBuilds(
            self.meter, self._io_spec, self.options.builds if self.options.engine == TENSORRT else 0
        )
        shipped.settle(self._model, FP32, known=self._known_builds())
        latency = self._measure()
        write_json_atomically(self.directory / LATENCY_NAME, latency.to_json())
        found = self._precisions(module, shipped)
        manifest = stated_content(self.task, self.space, self.member, self._io_spec, latency)
        manifest |= described_models(self.directory, found, self.purpose, self.options.engine)
        manifest["builds"] = shipped.made
        manifest["engines"] = self._engines(manifest["precisions"])
        manifest["integrations"] = write_integrations(self._deployed(manifest), self.options.integrations)
        manifest["files"] = file_entries(self.directory)
        write_checked_json(self.directory / MANIFEST_NAME, manifest)
        _check_runnable(self.task, self.member, self.directory)
        if self.options.key is not None:
            sign_bundle(self.directory, self.options.key)

    @cached_property
    def _io_spec(self) -> IoSpec:
        return self.task.io_spec(self.member.architecture)

    @property
    def _model(self) -> Path:
        return self.directory / MODEL_NAME

    def _write_model(self) -> nn.Module:
        member = self.member
        if not member.weights.is_file():
            raise ExportError(f"The weights {member.weights} do not exist. Run `hwnas train` again.")
        module = self.space.build(member.architecture)
        load_weights(member.weights, module)
        shutil.copyfile(member.weights, self.directory / WEIGHTS_NAME)
        metadata = graph_metadata(self.task, member.architecture)
        export_onnx(module, self._io_spec, self._model, metadata=metadata, opset=self.purpose.opset)
        _check_file(self._model, None, self.purpose, module)
        return module

    def _known_builds(self) -> Mapping[str, Any] | None:
        """Return the builds of exactly this file on exactly this target, of which one was kept there."""
        known = self.member.latency
        is_of_this = known is not None and self._is_of_model(known)
        return self.member.builds if is_of_this else None

    def _measure(self) -> LatencyMeasurement:
        """Return the latency of exactly this file on exactly this target.

        A disturbed measurement is repeated, and of disturbed ones the narrowest interval is kept.
        """
        known = self.member.latency
        measurements = [known] if known is not None and self._is_of_model(known) else []
        while len(measurements) < MEASURING_ATTEMPTS and not any(found.is_stable for found in measurements):
            measurements.append(self.meter.measure(self._model, self._io_spec))
        return min(measurements, key=lambda found: (not found.is_stable, _relative_width(found)))

    def _is_of_model(self, known: LatencyMeasurement) -> bool:
        return (
            known.model_sha256 == sha256_of_file(self._model)
            and known.target == self.meter.target
            and dict(known.fingerprint) == dict(self.meter.fingerprint())
        )

    def _precisions(self, module: nn.Module, shipped: ShippedBuilds) -> list[PrecisionMeasurements]:
        """Write, evaluate and clock the wanted precisions beside `model.onnx`; none wanted gives none."""
        settings = self.options.precision
        if settings is None or settings.wanted == (FP32,):
            return []
        found: list[PrecisionMeasurements] = []
        for dialect in self.purpose.dialects:
            is_first = dialect is self.purpose.dialects[0]
            maker = PrecisionMaker(
                self.task,
                self.member.architecture,
                module,
                self.directory,
                dialect,
                settings_for(settings, dialect, is_first=is_first),
                suffix=self.purpose.suffix(dialect),
                opset=self.purpose.opset,
            )
            for entry in maker.make():
                is_reference = entry.name == FP32
                if is_reference and found:
                    continue
                model = self.directory / file_name(entry.name)
                _check_file(model, dialect if entry.is_quantised else None, self.purpose, module)
                if not is_reference and is_first:
                    shipped.settle(model, entry.name)
                is_clocked = self.purpose.is_clocked and is_first and not is_reference
                speed = speed_of(self.meter, self._model, model, self._io_spec) if is_clocked else None
                found.append(replace(entry, speed=speed))
        return with_remarks_of_speed(found)

    def _engines(self, precisions: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Write an engine of every file that TensorRT takes and return their entries."""
        return [
            entry
            for found in precisions.values()
            if found.get("dialect") != Dialect.ONNXRUNTIME_CPU.label
            for entry in write_engine(
                self.options.engine, self.meter, self.directory / found["file"], found["precision"]
            )
        ]

    def _deployed(self, manifest: Mapping[str, Any]) -> Deployed:
        """Return the files that other programs are to load: the recommended ones of their runtime."""
        name = self.member.architecture.id
        precision = recommended_for(manifest, "tensorrt")
        plan = _plan_of(manifest["engines"], precision)
        source = entry_for(manifest, precision, "tensorrt")["file"]
        if plan is not None:
            return Deployed(self.directory, name, precision, source, self._io_spec, plan, stated=manifest)
        served = recommended_for(manifest, "onnxruntime")
        file = entry_for(manifest, served, "onnxruntime")["file"]
        return Deployed(
            self.directory, name, served, file, self._io_spec, None, (precision, source), manifest
        )


def _check_file(path: Path, dialect: Dialect | None, purpose: Purpose, module: nn.Module) -> None:
    """Refuse a file that a version of a runtime it is meant for cannot take."""
    onnxruntime, tensorrt = purpose.versions_for(dialect)
    if onnxruntime is not None:
        check_for_onnxruntime(onnx.load(path), onnxruntime)
    if tensorrt is not None:
        check_for_tensorrt(onnx.load(path), tensorrt, module)


def _plan_of(engines: Sequence[Mapping[str, Any]], precision: str) -> str | None:
    """Return the file of TensorRT's engine of a precision; those of TensorRT for RTX are others."""
    wanted = (TENSORRT, precision)
    return next((e["file"] for e in engines if (e["product"], e["precision"]) == wanted), None)


def _relative_width(measurement: LatencyMeasurement) -> float:
    low, high = measurement.interval_ms
    return (high - low) / measurement.latency_ms


def _check_runnable(task: Task, member: TrainedMember, bundle: Path) -> None:
    """Refuse a bundle that the runner would refuse: every file for onnxruntime, and a raw input.

    Raises:
        ExportError: with what the runner says.
    """
    manifest = read_manifest(bundle, check_files=False)
    for name, entry in manifest.precisions.items():
        if ONNXRUNTIME not in entry["for"]:
            continue
        try:
            with Runner(bundle, precision=name) as runner:
                for raw in task.raw_inputs(member.architecture, limit=1):
                    runner.processor.check(raw)
                    runner.process(raw)
        except (BundleError, DataError) as error:
            raise ExportError(
                f"The bundle of {member.architecture.id} would not run ({name}), so it was not written: "
                f"{error}"
            ) from error
