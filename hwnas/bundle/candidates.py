"""Architectures at a precision: one training gives several candidates, and the front mixes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from hwnas.onnx_graphs.precision.kinds import FP32
from hwnas.pareto import front_indices


@dataclass(frozen=True)
class Candidate:
    """One network at one precision, as its bundle states it.

    Attributes:
        architecture_id: of the network.
        precision: such as `int8`.
        metric: name of the task's metric.
        error: 1 - metric, evaluated at this precision on the validation split.
        latency_ms: of fp32 on the target, times the ratio that this precision was clocked at beside it.
        holds: whether it keeps the limits on what a precision may lose.
        remarks: what speaks against it.
    """

    architecture_id: str
    precision: str
    metric: str
    error: float
    latency_ms: float
    holds: bool
    remarks: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {**asdict(self), "remarks": list(self.remarks)}


def candidates_of(manifest: Mapping[str, Any]) -> list[Candidate]:
    """Return the candidates of a bundle's manifest; precisions that were not clocked are none.

    fp32 counts as it was evaluated beside the others, by the same backend, where there are others.
    """
    fp32_ms = float(manifest["latency"]["latency_ms"])
    found = []
    for name, entry in manifest.get("precisions", {FP32: {}}).items():
        quality = entry["evaluation"]["quality"] if "evaluation" in entry else manifest["quality"]
        speed = entry.get("speed")
        if name != FP32 and speed is None:
            continue
        found.append(
            Candidate(
                architecture_id=str(manifest["architecture_id"]),
                precision=name,
                metric=str(quality["metric"]),
                error=1.0 - float(quality["value"]),
                latency_ms=fp32_ms * (1.0 if name == FP32 else float(speed["ratio"])),
                holds=name == FP32 or bool(entry["holds"]),
                remarks=() if name == FP32 else tuple(str(remark) for remark in entry["remarks"]),
            )
        )
    return found


def front_of_candidates(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Return those that keep the limits and that no other such one dominates, by ascending latency."""
    holding = [candidate for candidate in candidates if candidate.holds]
    return [holding[index] for index in front_indices([(c.latency_ms, c.error) for c in holding])]
