"""Verifies bundles: does a bundle hold, here and now, what its manifest states?"""

from __future__ import annotations

import contextlib
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from torch import nn

from hwnas.architecture import Architecture
from hwnas.bundle.manifest import VERIFICATION_NAME, Manifest, file_problems, read_manifest
from hwnas.bundle.provenance import installed_versions
from hwnas.bundle.runtime.onnx_predictor import OnnxPredictor
from hwnas.bundle.signature import Trust
from hwnas.bundle.verification.json_values import as_json, is_same
from hwnas.bundle.verification.latency import latency_check, measure_again
from hwnas.bundle.verification.manifest_schema import check_manifest
from hwnas.bundle.verification.parity import Parity, compare, finite_or_none
from hwnas.bundle.verification.precisions import (
    engine_checks,
    evaluated_precisions,
    precision_checks,
    speed_checks,
)
from hwnas.bundle.verification.result import Check, Verification, VerificationFacts, VerificationSettings
from hwnas.errors import BundleError, ConfigError, DataError, TrainingError
from hwnas.files import write_checked_json
from hwnas.io_spec import NetworkContract
from hwnas.latency.measurement import LatencyMeter
from hwnas.progress import Listener
from hwnas.search_spaces.base import SearchSpace, make_search_space
from hwnas.tasks.base import Predict, Quality, Task, make_task
from hwnas.tasks.evaluation import evaluate
from hwnas.training.checkpoint import load_weights
from hwnas.training.predict import torch_predict
from hwnas.training.trainers import TrainerSpec, evaluate_network


def verify_bundle(
    bundle: Path,
    meter: LatencyMeter,
    *,
    data: str | None = None,
    other_target: bool = False,
    settings: VerificationSettings | None = None,
    trust: Trust | None = None,
    progress: Listener[str] | None = None,
) -> Verification:
    """Check all that a bundle states and write `verification.json` beside its manifest.

    Args:
        bundle: directory that `hwnas export` wrote.
        meter: measures latency on the target, under the final protocol.
        data: data set to evaluate on instead of the one the network was trained with. Then the
            stated quality is compared only if it is the same data.
        other_target: the meter is meant for another device than the bundle's. Then latency is
            measured, and compared only if the devices are alike.
        settings: limits.
        trust: who must have signed the manifest; None takes unsigned ones, too.
        progress: is told what is checked next.

    Raises:
        BundleError: if the bundle is incomplete or changed, not signed as wanted, or its weights do not
            fit its architecture.
        ConfigError: if `data` is given for a task that has no setting of that name.
        DataError: if the data cannot be read.
        MeasurementError: if the target cannot be used.
    """
    settings = settings or VerificationSettings()

    def tell(what: str) -> None:
        if progress is not None:
            progress(what)

    tell("signature and hashes")
    # A verification of an earlier state must not stay beside files that were changed since.
    (bundle / VERIFICATION_NAME).unlink(missing_ok=True)
    manifest = read_manifest(bundle, check_files=False, trust=trust)
    check_manifest(manifest)
    checks, facts = [*_signature_checks(trust), _files_check(manifest)], VerificationFacts()
    if checks[-1].passed:
        tell("outputs and quality, in PyTorch and in ONNX")
        output_checks, facts = _output_checks(manifest, data, settings)
        checks += output_checks
        tell(f"latency, up to {settings.latency_attempts} times")
        measurements = measure_again(manifest, meter, settings)
        without_samples = tuple(replace(each, samples_ms=()) for each in measurements)
        facts = replace(facts, latencies=without_samples)
        checks.append(latency_check(manifest, measurements[-1], settings, other_target=other_target))
        tell("latency of other precisions")
        checks += speed_checks(manifest, meter, settings, other_target=other_target)
        checks += engine_checks(manifest)
    verification = Verification(
        str(manifest.content["architecture_id"]),
        tuple(checks),
        facts,
        installed_versions(),
        datetime.now(UTC).isoformat(timespec="seconds"),
    )
    write_checked_json(bundle / VERIFICATION_NAME, verification.to_json())
    return verification


def _signature_checks(trust: Trust | None) -> list[Check]:
    """Record whose signature was found; a wanted one that is missing or wrong ended everything before."""
    if trust is None:
        return []
    return [Check("signature", True, trust.identity, trust.identity, f"a key of {trust.allowed_signers}")]


def _files_check(manifest: Manifest) -> Check:
    expected = {name: entry["sha256"] for name, entry in manifest.content["files"].items()}
    problems = file_problems(manifest.directory, manifest.content["files"])
    found = {name: problems.get(name, digest) for name, digest in expected.items()}
    note = "nothing else was checked, since the files are not those of the export" if problems else ""
    return Check("files", not problems, expected, found, "same size and SHA-256", note)


def _output_checks(
    manifest: Manifest, data: str | None, settings: VerificationSettings
) -> tuple[list[Check], VerificationFacts]:
    """Check what the network computes, and how well."""
    task, same_data = _task_of(manifest, data)
    other_data = data is not None and not same_data
    architecture = Architecture.from_json(manifest.content["architecture"])
    onnx_predict = OnnxPredictor(manifest.model_path, settings.threads)
    space = _space_of(manifest, task.contract)
    module = _module(manifest, space, architecture)
    reference = torch_predict(module, task.io_spec(architecture))
    parity_checks, parity = _parity_checks(task, architecture, onnx_predict, reference, settings)
    quality = evaluate(task, onnx_predict, architecture, split=settings.split)
    torch_quality = evaluate(task, reference, architecture, split=settings.split)
    found = _trained_quality(manifest, task, space, module, architecture, quality, settings)
    precisions = evaluated_precisions(manifest, task, architecture, module, settings)
    checks = [
        _identity_check(manifest, task, architecture, other_data=other_data),
        *parity_checks,
        _quality_parity_check(quality, torch_quality, settings),
        _quality_check(manifest, found, settings, same_data=same_data, other_data=other_data),
        *precision_checks(manifest, precisions, settings, item=task.words.item, same_data=same_data),
    ]
    return checks, VerificationFacts(parity, found, precisions)


def _trained_quality(
    manifest: Manifest,
    task: Task,
    space: SearchSpace,
    module: nn.Module,
    architecture: Architecture,
    quality: Quality,
    settings: VerificationSettings,
) -> Quality:
    """Return what is to be compared with the stated quality.

    That of the exported file, unless the trainer adapts a network before it evaluates it: then the bundle
    states what becomes of its weights.
    """
    training = manifest.content["training"]
    trainer = TrainerSpec.from_json(training["trainer"]).make(task, space)
    if not trainer.adapts:
        return quality
    seed = int(training["seed"])
    return evaluate_network(trainer, module, architecture, seed=seed, split=settings.split)


def _identity_check(manifest: Manifest, task: Task, architecture: Architecture, *, other_data: bool) -> Check:
    """Compare what the manifest says about the network with what its task makes of its architecture."""
    found = {
        "architecture_id": architecture.id,
        "class_names": list(task.class_names),
        "io": task.io_spec(architecture).to_json(),
        "deployment": dict(task.deployment(architecture)),
    }
    note = ""
    if other_data:
        # Another data set may come from another sensor; classes and shapes must be the same.
        del found["deployment"]
        note = "sensor, intensity range and pre-processing are not compared, since other data was given"
    expected = {key: manifest.content[key] for key in found}
    return Check("identity", is_same(expected, as_json(found)), expected, as_json(found), "equal", note)


def _task_of(manifest: Manifest, data: str | None) -> tuple[Task, bool]:
    """Make the task as it was for training, or on other data; return whether the data is the same."""
    entry = manifest.content["task"]
    name, settings = str(entry["name"]), dict(entry["settings"])
    if data is None:
        task = make_task(name, settings)
        return task, task.fingerprint() == manifest.content["data_fingerprint"]
    if "data" not in settings:
        raise ConfigError(
            f"The task {name!r} has no setting `data` (it has {sorted(settings)}), "
            "so other data cannot be given. Leave `data=` out."
        )
    with contextlib.suppress(DataError):  # such as for splits that other data does not have
        task = make_task(name, {**settings, "data": data})
        if task.fingerprint() == manifest.content["data_fingerprint"]:
            return task, True
    return make_task(name, {**settings, **entry.get("pinned_settings", {}), "data": data}), False


def _space_of(manifest: Manifest, contract: NetworkContract) -> SearchSpace:
    entry = manifest.content["space"]
    return make_search_space(str(entry["name"]), contract, entry["restrictions"])


def _module(manifest: Manifest, space: SearchSpace, architecture: Architecture) -> nn.Module:
    """Rebuild the network in PyTorch from the bundle's weights."""
    module = space.build(architecture)
    try:
        load_weights(manifest.weights_path, module)
    except TrainingError as error:
        raise BundleError(
            f"The weights in {manifest.directory} do not fit its architecture: {error}"
        ) from error
    return module


def _parity_checks(
    task: Task,
    architecture: Architecture,
    onnx_predict: Predict,
    reference: Predict,
    settings: VerificationSettings,
) -> tuple[list[Check], Parity]:
    inputs = task.inputs(architecture, split=settings.split, limit=settings.parity_inputs)
    parity = compare(onnx_predict, reference, inputs, task.decisions)
    checks = [
        Check(
            "same decisions as PyTorch",
            parity.same_decision_share >= settings.min_same_decision_share,
            1.0,
            parity.same_decision_share,
            f"at least {settings.min_same_decision_share} of {parity.num_decisions}",
        ),
        Check(
            "outputs as PyTorch",
            parity.relative_l2 <= settings.max_relative_l2,
            0.0,
            finite_or_none(parity.relative_l2),
            f"relative L2 at most {settings.max_relative_l2}",
        ),
    ]
    return checks, parity


def _quality_parity_check(onnx: Quality, torch: Quality, settings: VerificationSettings) -> Check:
    return Check(
        f"{onnx.metric} as PyTorch",
        abs(onnx.value - torch.value) <= settings.max_quality_difference,
        torch.value,
        onnx.value,
        f"difference at most {settings.max_quality_difference}",
    )


def _quality_check(
    manifest: Manifest, quality: Quality, settings: VerificationSettings, *, same_data: bool, other_data: bool
) -> Check:
    stated = Quality.from_json(manifest.content["quality"])
    name, limit = f"{stated.metric} as stated", f"difference at most {settings.max_quality_difference}"
    if same_data:
        passed = abs(quality.value - stated.value) <= settings.max_quality_difference
        return Check(name, passed, stated.value, quality.value, limit, _scope_note(quality))
    if other_data:
        scope = _scope_note(quality)
        note = "not compared: the manifest is about other data" + (f"; {scope}" if scope else "")
        return Check(name, None, stated.value, quality.value, limit, note)
    note = (
        "the data set is no longer the one that the manifest is about; "
        "restore it, or evaluate on other data with `data=`"
    )
    return Check(name, False, stated.value, quality.value, limit, note)


def _scope_note(quality: Quality) -> str:
    """Return which classes the metric says nothing of; empty where it is over all."""
    absent = ", ".join(quality.absent_classes)
    return f"{quality.scope}: the ground truth holds no {absent}" if absent else ""
