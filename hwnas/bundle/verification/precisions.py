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
from hwnas.latency.measurement import LatencyMeter
from hwnas.onnx_graphs.precision.kinds import FP16, FP32
from hwnas.tasks.base import Predict, Task
from hwnas.tasks.batch_evaluation import Evaluation, evaluate_together
from hwnas.text import plural
from hwnas.training.half import HalfNetwork


def precision_checks(
    manifest: Manifest,
    task: Task,
    architecture: Architecture,
    module: nn.Module,
    settings: VerificationSettings,
    *,
    same_data: bool,
    facts: dict[str, Any],
) -> list[Check]:
    """Evaluate every precision again; on other data than that of the manifest, figures become facts only.

    `fp16` is evaluated in half arithmetic as at export, and its file must besides label like fp32.
    """
    stated = {name: entry for name, entry in manifest.precisions.items() if "evaluation" in entry}
    if not stated:
        return []
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
    found = evaluate_together(task, predicts, architecture, reference=FP32, split=settings.split)
    facts["precisions"] = {name: evaluation.to_json() for name, evaluation in found.items()}
    checks = []
    for name, entry in stated.items():
        if name != FP32:
            checks += _evaluation_checks(name, entry, found[name], settings, same_data=same_data)
    if "fp16 file" in found:
        share = found["fp16 file"].same_decision_share
        limit = f"at least {settings.min_same_decision_share_fp16} of the {plural(task.words.item)}"
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
    """Clock every precision by turns with fp32 again; on another target the ratio is told, not compared."""
    checks = []
    for name, entry in manifest.precisions.items():
        if not entry.get("speed"):
            continue
        stated = entry["speed"]
        model = manifest.directory / str(entry["file"])
        found = speed_of(meter, manifest.model_path, model, manifest.io_spec)
        if found is None:
            continue
        (low, high), (now_low, now_high) = stated["ratio_interval"], found.ratio_interval
        is_near = abs(found.ratio / stated["ratio"] - 1.0) <= settings.latency_tolerance
        agrees = is_near or (now_low <= high and low <= now_high)
        checks.append(
            Check(
                f"{name}: latency against fp32 as stated",
                None if other_target else agrees,
                stated["ratio"],
                found.ratio,
                f"intervals overlap, or ratios within {settings.latency_tolerance:.0%}",
                "not compared: the manifest is about another target" if other_target else "",
            )
        )
    return checks
