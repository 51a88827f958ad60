"""Writes bundles: directories that a vehicle can run, each with its evidence."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import onnx
from torch import nn

from hwnas.architecture import Architecture
from hwnas.bundle.directory import replaced_directory
from hwnas.bundle.engines import NO_ENGINE, TENSORRT, ShippedBuilds, write_engine
from hwnas.bundle.integrations.base import Deployed
from hwnas.bundle.integrations.choice import write_integrations
from hwnas.bundle.manifest import (
    MANIFEST_NAME,
    ONNXRUNTIME,
    SCHEMA_VERSION,
    entry_for,
    read_manifest,
    recommended_for,
)
from hwnas.bundle.models import described_models
from hwnas.bundle.precision.conversion import PrecisionMaker, file_name
from hwnas.bundle.precision.latency import speed_of
from hwnas.bundle.precision.measurements import (
    PrecisionMeasurements,
    PrecisionSettings,
    settings_for,
    with_remarks_of_speed,
)
from hwnas.bundle.provenance import installed_versions
from hwnas.bundle.purpose import Purpose, purpose_of
from hwnas.bundle.runtime.runner import Runner
from hwnas.bundle.signing import sign_bundle
from hwnas.errors import BundleError, DataError, ExportError
from hwnas.files import sha256_of_file, write_json_atomically
from hwnas.io_spec import IoSpec
from hwnas.latency.measurement import LatencyMeasurement, LatencyMeter
from hwnas.objectives import LATENCY
from hwnas.onnx_graphs.export import export_onnx
from hwnas.onnx_graphs.metadata import graph_metadata
from hwnas.onnx_graphs.onnxruntime_gate import check_for_onnxruntime
from hwnas.onnx_graphs.precision.kinds import FP32, Dialect
from hwnas.onnx_graphs.tensorrt_gate import check_for_tensorrt, tensorrt_version
from hwnas.plugins import distribution_of
from hwnas.scratch import ScratchDirectory
from hwnas.search_spaces.base import SearchSpace
from hwnas.tasks.base import Quality, Task
from hwnas.tasks.expectations import expectations
from hwnas.tasks.pinned import pinned_settings
from hwnas.training.checkpoint import load_weights
from hwnas.training.trainers import BY_DEFAULT, TrainerSpec

MODEL_NAME = "model.onnx"
WEIGHTS_NAME = "weights.safetensors"
LATENCY_NAME = "latency.json"
MEASURING_ATTEMPTS = 2


@dataclass(frozen=True)
class TrainedMember:
    """A network that was trained at full budget.

    Attributes:
        architecture: of the network.
        weights: safetensors file of its state.
        quality: evaluated in PyTorch after training, on the validation split.
        latency: measured on an ONNX file of this architecture; None when it was not.
        recipe: with which it was trained, as plain JSON values.
        seed: of the training.
        trainer: that trained and evaluated it.
        measurements: everything that was measured with `latency`, by name, see `hwnas.objectives`.
        cost: second objective of the run; None when it was not measured.
        builds: of its engine, of which `latency` is that of the chosen one, see
            `hwnas.latency.engines.repeated_builds`.
    """

    architecture: Architecture
    weights: Path
    quality: Quality
    latency: LatencyMeasurement | None
    recipe: Mapping[str, Any]
    seed: int
    measurements: Mapping[str, float] = field(default_factory=dict)
    cost: float | None = None
    builds: Mapping[str, Any] | None = None
    trainer: TrainerSpec = BY_DEFAULT

    @classmethod
    def from_json(cls, value: Mapping[str, Any], run: Path) -> TrainedMember:
        """Rebuild a member of `trained.json` of the run directory `run`.

        Raises:
            ExportError: if a field is missing or wrong.
        """
        try:
            latency = value.get("latency")
            return cls(
                architecture=Architecture.from_json(value["architecture"]),
                weights=run / value["checkpoint"],
                quality=Quality.from_json(value["quality"]),
                latency=LatencyMeasurement.from_json(latency) if latency else None,
                measurements=dict(value.get("measurements", {})),
                cost=value.get("cost"),
                builds=value.get("builds"),
                recipe=dict(value["recipe"]),
                seed=int(value["seed"]),
                trainer=TrainerSpec.from_json(value.get("trainer", BY_DEFAULT.to_json())),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ExportError(
                f"A trained member of {run} is not readable ({error!r}). Run `hwnas train` again."
            ) from error


def export_bundle(
    task: Task,
    space: SearchSpace,
    member: TrainedMember,
    directory: Path,
    *,
    meter: LatencyMeter,
    force: bool = False,
    tensorrt: str | None = None,
    precision: PrecisionSettings | None = None,
    integrations: Sequence[str] = (),
    key: Path | None = None,
    engine: str = NO_ENGINE,
    builds: int = 1,
    dialect: str = "",
    onnxruntime: str | None = None,
    opset: int | None = None,
) -> Path:
    """Write one trained network as a bundle.

    The directory appears whole or not at all. The latency it states is that of its own
    `model.onnx`: measured here, unless `member.latency` is of a file with the same SHA-256 and
    from the same target.

    Args:
        task: what the network was trained for.
        space: that builds it.
        member: the trained network.
        directory: the bundle; must not exist unless `force`.
        meter: of the target that the bundle is for, under the final protocol.
        force: replace an existing bundle, in one step.
        tensorrt: version that must take the graph, such as `10.3`; None asks the target for its own.
        precision: which precisions to write beside fp32, and how they are evaluated; None writes fp32 only.
        integrations: other programs that get files of their own, see `hwnas.bundle.integrations.choice`;
            they load the recommended precision.
        key: of OpenSSH, to sign the manifest with; None leaves it unsigned.
        engine: `tensorrt`, `rtx` or `none`, one for each precision, see `hwnas.bundle.engines`.
        builds: of an engine that ships, of which the fastest is kept, where they differ.
        dialect: of INT8, see `hwnas.bundle.purpose`; empty writes what the other arguments need.
        onnxruntime: version that must take the files meant for it, such as `1.16`; None asks for none.
        opset: of all files; None takes the oldest that each needs.

    Returns:
        `directory`.

    Raises:
        ConfigError: if what was asked for contradicts itself, see `hwnas.bundle.purpose`.
        ExportError: if `directory` exists and `force` is False, is no bundle, or the network cannot
            be exported or not be taken by that TensorRT or onnxruntime, or the key cannot be used.
        MeasurementError: if the exported file cannot be measured.
    """
    purpose = purpose_of(
        meter.target,
        dialect=dialect,
        engine=engine,
        integrations=integrations,
        tensorrt=tensorrt,
        onnxruntime=onnxruntime,
        opset=opset,
        precision=precision,
    )
    purpose = replace(purpose, tensorrt=tensorrt or tensorrt_version(meter.fingerprint()))
    with replaced_directory(directory, force=force, marker=MANIFEST_NAME) as scratch:
        io_spec = task.io_spec(member.architecture)
        module = _write_model(task, space, member, io_spec, scratch, purpose)
        shipped = ShippedBuilds(meter, io_spec, builds if engine == TENSORRT else 0)
        shipped.settle(scratch / MODEL_NAME, FP32, known=_known_builds(member, scratch / MODEL_NAME, meter))
        latency = _latency_of(scratch / MODEL_NAME, member.latency, meter, io_spec)
        write_json_atomically(scratch / LATENCY_NAME, latency.to_json())
        found = _precisions(task, member, module, io_spec, scratch, meter, precision, purpose, shipped)
        manifest = _manifest(task, space, member, io_spec, latency)
        manifest |= described_models(scratch, found, purpose, engine)
        manifest["builds"] = shipped.made
        manifest["engines"] = _engines(engine, meter, scratch, manifest["precisions"])
        manifest["integrations"] = write_integrations(
            _deployed(scratch, member, io_spec, manifest), integrations
        )
        manifest["files"] = _file_entries(scratch)
        write_json_atomically(scratch / MANIFEST_NAME, manifest)
        _check_runnable(task, member, scratch)
        if key is not None:
            sign_bundle(scratch, key)
    return directory


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


def _write_model(
    task: Task,
    space: SearchSpace,
    member: TrainedMember,
    io_spec: IoSpec,
    scratch: Path,
    purpose: Purpose,
) -> nn.Module:
    if not member.weights.is_file():
        raise ExportError(f"The weights {member.weights} do not exist. Run `hwnas train` again.")
    module = space.build(member.architecture)
    load_weights(member.weights, module)
    shutil.copyfile(member.weights, scratch / WEIGHTS_NAME)
    metadata = graph_metadata(task, member.architecture)
    export_onnx(module, io_spec, scratch / MODEL_NAME, metadata=metadata, opset=purpose.opset)
    _check_file(scratch / MODEL_NAME, None, purpose, module)
    return module


def _check_file(path: Path, dialect: Dialect | None, purpose: Purpose, module: nn.Module) -> None:
    """Refuse a file that a version of a runtime it is meant for cannot take."""
    onnxruntime, tensorrt = purpose.versions_for(dialect)
    if onnxruntime is not None:
        check_for_onnxruntime(onnx.load(path), onnxruntime)
    if tensorrt is not None:
        check_for_tensorrt(onnx.load(path), tensorrt, module)


def _precisions(
    task: Task,
    member: TrainedMember,
    module: nn.Module,
    io_spec: IoSpec,
    scratch: Path,
    meter: LatencyMeter,
    settings: PrecisionSettings | None,
    purpose: Purpose,
    shipped: ShippedBuilds,
) -> list[PrecisionMeasurements]:
    """Write, evaluate and clock the wanted precisions beside `model.onnx`; none wanted gives none."""
    if settings is None or settings.wanted == (FP32,):
        return []
    found: list[PrecisionMeasurements] = []
    for dialect in purpose.dialects:
        maker = PrecisionMaker(
            task,
            member.architecture,
            module,
            scratch,
            dialect,
            settings_for(settings, dialect, is_first=dialect is purpose.dialects[0]),
            suffix=purpose.suffix(dialect),
            opset=purpose.opset,
        )
        own = purpose.is_clocked and dialect is purpose.dialects[0]
        for entry in maker.make():
            is_reference = entry.name == FP32
            if is_reference and found:
                continue
            model = scratch / file_name(entry.name)
            _check_file(model, dialect if entry.is_quantised else None, purpose, module)
            if not is_reference and dialect is purpose.dialects[0]:
                shipped.settle(model, entry.name)
            speed = None if is_reference or not own else speed_of(meter, scratch / MODEL_NAME, model, io_spec)
            found.append(replace(entry, speed=speed))
    return with_remarks_of_speed(found)


def _engines(
    engine: str, meter: LatencyMeter, scratch: Path, precisions: Mapping[str, Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Write an engine of every file that TensorRT takes and return their entries."""
    return [
        entry
        for found in precisions.values()
        if found.get("dialect") != Dialect.ONNXRUNTIME_CPU.label
        for entry in write_engine(engine, meter, scratch / found["file"], found["precision"])
    ]


def _deployed(scratch: Path, member: TrainedMember, io_spec: IoSpec, manifest: Mapping[str, Any]) -> Deployed:
    """Return the files that other programs are to load: the recommended ones of their runtime."""
    architecture_id = member.architecture.id
    precision = recommended_for(manifest, "tensorrt")
    plan = _plan_of(manifest["engines"], precision)
    source = entry_for(manifest, precision, "tensorrt")["file"]
    if plan is not None:
        return Deployed(scratch, architecture_id, precision, source, io_spec, plan)
    served = recommended_for(manifest, "onnxruntime")
    file = entry_for(manifest, served, "onnxruntime")["file"]
    return Deployed(scratch, architecture_id, served, file, io_spec, None, (precision, source))


def _plan_of(engines: Sequence[Mapping[str, Any]], precision: str) -> str | None:
    """Return the file of TensorRT's engine of a precision; those of TensorRT for RTX are others."""
    wanted = (TENSORRT, precision)
    return next((e["file"] for e in engines if (e["product"], e["precision"]) == wanted), None)


def _latency_of(
    model: Path, known: LatencyMeasurement | None, meter: LatencyMeter, io_spec: IoSpec
) -> LatencyMeasurement:
    """Return the latency of exactly this file on exactly this target.

    A disturbed measurement is repeated, and of disturbed ones the narrowest interval is kept.
    """
    measurements = [known] if known is not None and _is_of(known, model, meter) else []
    while len(measurements) < MEASURING_ATTEMPTS and not any(found.is_stable for found in measurements):
        measurements.append(meter.measure(model, io_spec))
    return min(measurements, key=lambda found: (not found.is_stable, _relative_width(found)))


def _is_of(known: LatencyMeasurement, model: Path, meter: LatencyMeter) -> bool:
    return (
        known.model_sha256 == sha256_of_file(model)
        and known.target == meter.target
        and dict(known.fingerprint) == dict(meter.fingerprint())
    )


def _known_builds(member: TrainedMember, model: Path, meter: LatencyMeter) -> Mapping[str, Any] | None:
    """Return the builds of exactly this file on exactly this target, of which one was kept there."""
    is_of_this = member.latency is not None and _is_of(member.latency, model, meter)
    return member.builds if is_of_this else None


def _relative_width(measurement: LatencyMeasurement) -> float:
    low, high = measurement.interval_ms
    return (high - low) / measurement.latency_ms


def _measurements(member: TrainedMember, latency: LatencyMeasurement) -> dict[str, float]:
    """Return the figures of this file on this target, each under the name of its clock."""
    known = member.latency
    is_of_this = (
        known is not None
        and known.model_sha256 == latency.model_sha256
        and known.target == latency.target
        and dict(known.fingerprint) == dict(latency.fingerprint)
    )
    return {**(member.measurements if is_of_this else {}), LATENCY: latency.latency_ms}


def _file_entries(directory: Path) -> dict[str, Any]:
    """Return size and SHA-256 of every file below a directory, by its path there."""
    return {
        path.relative_to(directory).as_posix(): {"sha256": sha256_of_file(path), "bytes": path.stat().st_size}
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


def _plugins(task: Task, space: SearchSpace, member: TrainedMember) -> dict[str, Any]:
    """Return what a bundle came from, and who ships it: name and distribution with its version, by group."""
    names = {
        "hwnas.tasks": task.name,
        "hwnas.search_spaces": space.name,
        "hwnas.processors": task.processor,
        "hwnas.trainers": member.trainer.name,
    }
    return {
        group: {"name": name, "distribution": distribution_of(group, name)} for group, name in names.items()
    }


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
                    runner.run(raw)
        except (BundleError, DataError) as error:
            raise ExportError(
                f"The bundle of {member.architecture.id} would not run ({name}), so it was not written: "
                f"{error}"
            ) from error


def _manifest(
    task: Task,
    space: SearchSpace,
    member: TrainedMember,
    io_spec: IoSpec,
    latency: LatencyMeasurement,
) -> dict[str, Any]:
    # The samples are evidence, in a file of their own; people read the manifest.
    stated_latency = latency.to_json(with_samples=False)
    return {
        "schema_version": SCHEMA_VERSION,
        "architecture_id": member.architecture.id,
        "weights": WEIGHTS_NAME,
        "io": io_spec.to_json(),
        "class_names": list(task.class_names),
        "deployment": dict(task.deployment(member.architecture)),
        "processor": task.processor,
        "plugins": _plugins(task, space, member),
        "expects": expectations(task, member.architecture),
        "quality": member.quality.to_json(),
        "latency": stated_latency,
        "measurements": _measurements(member, latency),
        "data_fingerprint": task.fingerprint(),
        "task": {
            "name": task.name,
            "settings": dict(task.settings),
            "pinned_settings": pinned_settings(task, member.architecture),
            "contract": task.contract.to_json(),
            "words": task.words.to_json(),
        },
        "space": {
            "name": space.name,
            "restrictions": {gene: list(values) for gene, values in space.choices.items()},
        },
        "architecture": member.architecture.to_json(),
        "training": {
            "recipe": dict(member.recipe),
            "seed": member.seed,
            "trainer": member.trainer.to_json(),
        },
        "versions": installed_versions(),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }
