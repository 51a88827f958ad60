"""What a manifest says about the ONNX files of a bundle, and which of them it recommends for what."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnx

from hwnas.bundle.engines import BACKENDS, NO_ENGINE
from hwnas.bundle.precision.conversion import file_name
from hwnas.bundle.precision.measurements import PrecisionMeasurements, recommended
from hwnas.bundle.purpose import Purpose, backends_of
from hwnas.onnx_graphs.precision.kinds import FP32, INT8, MIXED, Dialect, precision_of
from hwnas.onnx_graphs.versions import opset_of


def described_models(
    directory: Path, found: Sequence[PrecisionMeasurements], purpose: Purpose, engine: str
) -> dict[str, Any]:
    """Return the sections of a manifest about ONNX files.

    Args:
        directory: that holds them.
        found: figures of all precisions; empty where there is fp32 alone.
        purpose: what the bundle is for.
        engine: that the bundle will hold, see `hwnas.bundle.engines`.

    Returns:
        `model` (fp32), `precisions` (each with file, opset, IR version, backends that it is for, and
        figures), `recommended_precision` and `recommendation` (for which backend, clocked where, and what is
        not known).
    """
    measurements = {entry.name: entry.to_json() for entry in found}
    precisions = {
        name: {**_described(directory, name, purpose), **measurements.get(name, {})}
        for name in {FP32: None, **measurements}
    }
    fp32 = precisions[FP32]
    versions = {key: fp32[key] for key in ("opset", "ir_version")}
    return {
        "model": {"file": fp32["file"], "format": "onnx", "precision": "float32", **versions},
        "precisions": precisions,
        "recommended_precision": recommended(found),
        "recommendation": {
            "backend": purpose.backend if purpose.is_clocked else "",
            "clocked_on": purpose.target if purpose.is_clocked else "",
            "remarks": _not_known(found, purpose, engine),
        },
    }


def _described(directory: Path, name: str, purpose: Purpose) -> dict[str, Any]:
    model = onnx.load(directory / file_name(name), load_external_data=False)
    dialect = _dialect_of(name, purpose)
    return {
        "file": file_name(name),
        "precision": precision_of(name),
        "dialect": dialect.label if dialect is not None else None,
        "opset": opset_of(model),
        "ir_version": int(model.ir_version),
        "for": backends_of(dialect),
    }


def _dialect_of(name: str, purpose: Purpose) -> Dialect | None:
    for dialect in purpose.dialects:
        if name in _quantised_names(purpose.suffix(dialect)):
            return dialect
    return None


def _quantised_names(suffix: str) -> tuple[str, ...]:
    """Return what quantised precisions are called in the dialect with a suffix."""
    return INT8 + suffix, MIXED + suffix


def _not_known(found: Sequence[PrecisionMeasurements], purpose: Purpose, engine: str) -> list[str]:
    """Say where the clock of the target says nothing about speed; nothing where there is no choice."""
    if not found:
        return []
    if not purpose.is_clocked:
        return [purpose.why_not_clocked]
    product = BACKENDS.get(engine, "")
    if engine != NO_ENGINE and product != purpose.backend:
        return [
            f"no precision is recommended for engines of {product}: they were not clocked on their device, "
            f"only {purpose.backend} was, on {purpose.target}"
        ]
    return []
