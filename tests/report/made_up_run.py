"""Writes run directories as a search and a training would leave them, without running either."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from hwnas.architecture import Architecture
from hwnas.config import parse_config, save_config
from hwnas.files import write_checked_json
from hwnas.io_spec import NetworkContract, dense_logits
from hwnas.search.failure import Failure
from hwnas.search.front import ParetoFront
from hwnas.search.run_directory import SCHEMA_VERSION, RunDirectory
from hwnas.search.trial_summary import TrialSummary
from hwnas.search_spaces.base import SearchSpace, make_search_space, sample_choices
from hwnas.training.checkpoint import save_weights

CLASSES = ("vehicle", "person", "road", "sidewalk", "structure", "vegetation", "terrain", "pole-sign")
BUDGET_MS = 12.0
SMALL = {
    "num_stages": [2, 3],
    "stem_width": [16],
    "decoder_width": [16],
    **{
        f"stage{stage}_{gene}": [value]
        for stage in (1, 2, 3)
        for gene, value in (("depth", 2), ("width", 16))
    },
}


def space_of_run() -> SearchSpace:
    return make_search_space(
        "range-unet", NetworkContract(5, 64, (256, 512), dense_logits(8), cyclic_width=True), SMALL
    )


def latency(median_ms: float) -> dict[str, Any]:
    return {
        "latency_ms": median_ms,
        "interval_ms": [0.98 * median_ms, 1.03 * median_ms],
        "confidence": 0.95,
        "samples_ms": [[median_ms]],
        "percentiles_ms": {"p90": 1.1 * median_ms, "p95": 1.2 * median_ms, "p99": None},
        "is_stable": median_ms < 5,
        "remark": "" if median_ms < 5 else "19% of the samples <slow>",
        "warmup_s": [0.1],
        "model_sha256": "0" * 64,
        "target": "local?backend=onnxruntime-cpu&threads=1",
        "fingerprint": {"cpu_model": "A <fast> CPU", "backend_versions": {"onnxruntime": "1.2.3"}},
        "protocol": {"processes": 2, "confidence": 0.95},
    }


def quality(value: float, classes: tuple[str, ...] = CLASSES) -> dict[str, Any]:
    shares = np.clip(value + np.linspace(-0.3, 0.3, len(classes)), 0, 1)
    per_class: dict[str, float | None] = dict(zip(classes, shares.tolist(), strict=True))
    per_class[classes[1]] = None
    return {
        "metric": "mIoU",
        "value": value,
        "per_class": per_class,
        "num_samples": 5,
        "num_items": 80_000,
        "items_per_class": {name: 0 if each is None else 10_000 for name, each in per_class.items()},
    }


def write_run(
    directory: Path, data: Path, *, num_trained: int = 12, classes: tuple[str, ...] = CLASSES
) -> RunDirectory:
    """A finished search: trained candidates, three over the budget, one repeated, one failed."""
    run = RunDirectory(directory)
    run.make()
    config = {
        "task": {"name": "lidar-segmentation", "data": str(data), "label_map": "merged-8"},
        "space": {"name": "range-unet", "choices": SMALL},
        "budget": {"latency_ms": BUDGET_MS},
    }
    save_config(parse_config(config), run.config)
    space, rng = space_of_run(), np.random.default_rng(0)
    trials = []
    for number in range(num_trained + 3):
        architecture = space.decode(sample_choices(space, rng))
        trained = number < num_trained
        # Slower networks are more accurate on the whole, so that the front has several members.
        median_ms = float(rng.uniform(1, 11)) if trained else BUDGET_MS * float(rng.uniform(1.1, 6))
        error = float(0.3 + 0.4 / median_ms + rng.uniform(0, 0.1))
        trials.append(_trial(number, architecture, error, median_ms, trained=trained))
        if trained:
            _write_record(run, number, architecture, quality(1 - error, classes), latency(median_ms))
    repeated = trials[0]
    trials.append(
        _trial(len(trials), repeated.architecture, repeated.error, repeated.latency_ms, duplicate_of=0)
    )
    trials.append(
        TrialSummary(
            len(trials),
            "FAIL",
            None,
            None,
            None,
            None,
            {},
            None,
            Failure("loss <b>not</b> a number"),
            3.0,
            500.0,
        )
    )
    front = ParetoFront(run, parse_config(config).budget.objectives("latency_ms"))
    front.update(trials)
    front.write(trials)
    return run


def write_trained(run: RunDirectory) -> list[Architecture]:
    """Full training of the first two members of the front, with fresh weights."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    space, entries, architectures = space_of_run(), [], []
    for member in run.read_front()["members"][:2]:
        architecture = Architecture.from_json(member["architecture"])
        architectures.append(architecture)
        checkpoint = run.checkpoint(architecture.id) / "weights.safetensors"
        checkpoint.parent.mkdir(parents=True)
        save_weights(checkpoint, space.build(architecture))
        names = tuple(member["quality"]["per_class"])
        entries.append(
            {
                "architecture": member["architecture"],
                "checkpoint": str(checkpoint.relative_to(run.path)),
                "recipe": {"steps": 1800},
                "task_fingerprint": "f",
                "seed": 0,
                "quality": quality(min(1.0, 1.1 - member["error"]), names),
                "latency": latency(1.05 * member["latency_ms"]),
                "cost": 1.05 * member["latency_ms"],
                "train_s": 12.5,
                "on_front": True,
            }
        )
    write_checked_json(run.trained, {"schema_version": SCHEMA_VERSION, "members": entries})
    return architectures


def _trial(
    number: int,
    architecture: Architecture | None,
    error: float | None,
    median_ms: float | None,
    *,
    trained: bool = True,
    duplicate_of: int | None = None,
) -> TrialSummary:
    state = "COMPLETE" if trained else "PRUNED"
    value = error if trained else None
    return TrialSummary(
        number=number,
        state=state,
        architecture=architecture,
        error=value,
        latency_ms=median_ms,
        cost=median_ms,
        measurements={"latency_ms": median_ms},
        duplicate_of=duplicate_of,
        failure=None,
        seconds=30.0,
        elapsed_s=30.0 * (number + 1),
    )


def _write_record(
    run: RunDirectory,
    number: int,
    architecture: Architecture,
    evaluated: dict[str, Any],
    measured: dict[str, Any],
) -> None:
    run.trial(number).mkdir(parents=True)
    record = {
        "schema_version": SCHEMA_VERSION,
        "number": number,
        "architecture": architecture.to_json(),
        "latency": measured,
        "measurements": {"latency_ms": measured["latency_ms"]},
        "quality": evaluated,
        "parameters": 12_345,
    }
    write_checked_json(run.trial_record(number), record)
