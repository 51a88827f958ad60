"""Do the precisions of a bundle still lose what, and take the time that, its manifest states?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from hwnas.architecture import Architecture
from hwnas.bundle.manifest import Manifest
from hwnas.bundle.precision.latency import speed_of
from hwnas.bundle.runtime.onnx_predictor import OnnxPredictor
from hwnas.bundle.verification.result import Check, VerificationSettings
from hwnas.json_values import JsonValue
from hwnas.latency.measurement import LatencyMeter
from hwnas.onnx_graphs.precision.kinds import FP16, FP32
from hwnas.tasks.base import Predict, Task
from hwnas.tasks.batch_evaluation import Evaluation, evaluate_together
from hwnas.text import plural
from hwnas.training.half import HalfNetwork


def evaluated_precisions(
    manifest: Manifest,
    task: Task,
    architecture: Architecture,
    module: nn.Module,
    settings: VerificationSettings,
) -> Mapping[str, Evaluation]:
    """Evaluate every precision again that the manifest states figures of, by name; `fp32` beside them.

    `fp16` is evaluated in half arithmetic as at export, and its file as `fp16 file`.
    """
    stated = _stated(manifest)
    if not stated:
        return {}
    # The very file of each entry: a precision may have two, one for each dialect.
    predicts: dict[str, Predict] = {
        name: OnnxPredictor(manifest.directory / str(manifest.precisions[name]["file"]), settings.threads)
        for name in {FP32, *stated}
    }
    if FP16 in predicts:
        predicts["fp16 file"], predicts[FP16] = (
            predicts[FP16],
            HalfNetwork(module, task.io_spec(architecture)),
        )
    return evaluate_together(task, predicts, architecture, reference=FP32, split=settings.split)


def precision_checks(
    manifest: Manifest,
    found: Mapping[str, Evaluation],
    settings: VerificationSettings,
    *,
    item: str,
    same_data: bool,
) -> list[Check]:
    """Compare what `evaluated_precisions` found with the manifest, which may be about other data.

    The file of `fp16` must besides label like fp32.

    Args:
        manifest: of the bundle.
        found: evaluations.
        settings: limits.
        item: what the task decides on.
        same_data: whether the manifest is about the same data.
    """
    checks = []
    for name, entry in _stated(manifest).items():
        if name != FP32:
            checks += _evaluation_checks(name, entry, found[name], settings, same_data=same_data)
    if "fp16 file" in found:
        share = found["fp16 file"].same_decision_share
        limit = f"at least {settings.min_same_decision_share_fp16} of the {plural(item)}"
        checks.append(
            Check(
                "fp16: file decides like fp32",
                share >= settings.min_same_decision_share_fp16,
                1.0,
                share,
                limit,
            )
        )
    return checks


def _stated(manifest: Manifest) -> dict[str, Mapping[str, Any]]:
    return {name: entry for name, entry in manifest.precisions.items() if entry.get("evaluation")}


def _evaluation_checks(
    name: str, entry: Mapping[str, Any], found: Evaluation, settings: VerificationSettings, *, same_data: bool
) -> list[Check]:
    stated = Evaluation.from_json(entry["evaluation"])
    note = "" if same_data else "not compared: the manifest is about other data"
    value, share = abs(found.quality.value - stated.quality.value), found.same_decision_share
    near = abs(share - stated.same_decision_share) <= settings.max_same_decision_difference
    return [
        Check(
            f"{name}: {stated.quality.metric} as stated",
            value <= settings.max_quality_difference if same_data else None,
            stated.quality.value,
            found.quality.value,
            f"difference at most {settings.max_quality_difference}",
            note,
        ),
        Check(
            f"{name}: decisions as stated",
            near if same_data else None,
            stated.same_decision_share,
            share,
            f"share of decisions like fp32 differs by at most {settings.max_same_decision_difference}",
            note,
        ),
    ]


def speed_checks(
    manifest: Manifest, meter: LatencyMeter, settings: VerificationSettings, *, other_target: bool
) -> list[Check]:
    """Clock every precision by turns with fp32 again; on another target the ratio is told, not compared.

    A meter that cannot clock two models verifies none, and the checks say so.
    """
    checks = []
    for name, entry in manifest.precisions.items():
        if not entry.get("speed"):
            continue
        stated = entry["speed"]
        check = f"{name}: latency against fp32 as stated"
        limit = f"intervals overlap, or ratios within {settings.latency_tolerance:.0%}"
        model = manifest.directory / str(entry["file"])
        found = speed_of(meter, manifest.model_path, model, manifest.io_spec)
        if found is None:
            note = f"not verified: the meter of {meter.target!r} cannot clock two models by turns"
            checks.append(Check(check, None, stated["ratio"], None, limit, note))
            continue
        (low, high), (now_low, now_high) = stated["ratio_interval"], found.ratio_interval
        is_near = abs(found.ratio / stated["ratio"] - 1.0) <= settings.latency_tolerance
        agrees = is_near or (now_low <= high and low <= now_high)
        checks.append(
            Check(
                check,
                None if other_target else agrees,
                stated["ratio"],
                found.ratio,
                limit,
                "not compared: the manifest is about another target" if other_target else "",
            )
        )
    return checks


def engine_checks(manifest: Manifest) -> list[Check]:
    """Say of the engines, if there are any, that nothing but their hashes was compared."""
    files: list[JsonValue] = [str(entry["file"]) for entry in manifest.content.get("engines", [])]
    if not files:
        return []
    note = (
        "not verified: whether they load, what they compute and how long they take. The models that they "
        "were built from are verified; run an engine on its GPU to verify it"
    )
    return [Check("engines", None, files, files, "size and SHA-256 alone", note)]
