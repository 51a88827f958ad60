"""What a bundle states of its network at each precision: file, quality, what is lost, speed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hwnas.bundle.manifest import Manifest
from hwnas.latency.measurement import LatencyMeasurement
from hwnas.tasks.base import Quality
from hwnas.text import figure, one_line


@dataclass(frozen=True)
class StatedPrecision:
    """The network at one precision, evaluated and clocked when the bundle was exported.

    Attributes:
        name: such as `int8`; in a second dialect followed by its name, such as `int8.tensorrt`.
        file: the ONNX file.
        backends: names of those that the file is for.
        quality: quality on the validation split, by onnxruntime; of `fp32` in a bundle without others, by
            torch.
        drop_points: points of the metric lost against fp32; negative if it gained.
        worst_class: the class that lost most; None for fp32.
        worst_class_drop_points: points it lost.
        same_decision_share: share of decisions that it takes like fp32, 0 to 1; None where nothing was
            compared.
        holds: whether it keeps the limits on what a precision may lose.
        remarks: what speaks against it.
        ratio: latency over that of fp32, clocked by turns with it; below 1 is faster. None where it was not
            clocked.
        ratio_interval: its confidence interval.
        latency: latency of this precision, without single samples; None where it was not clocked.
    """

    name: str
    file: Path
    backends: tuple[str, ...]
    quality: Quality
    drop_points: float = 0.0
    worst_class: str | None = None
    worst_class_drop_points: float = 0.0
    same_decision_share: float | None = None
    holds: bool = True
    remarks: tuple[str, ...] = ()
    ratio: float | None = None
    ratio_interval: tuple[float, float] | None = None
    latency: LatencyMeasurement | None = None

    def __repr__(self) -> str:
        """Return the figures that matter most, in a line."""
        return one_line(
            self,
            self.name,
            f"{self.quality.metric} {self.quality.value:.4f}",
            f"{figure(self.ratio)} times the latency of fp32" if self.ratio is not None else "",
            "" if self.holds else "loses too much",
        )


def stated_precisions(manifest: Manifest) -> dict[str, StatedPrecision]:
    """Return what a manifest states of every precision, by name, `fp32` first."""
    return {name: _stated(manifest, name, entry) for name, entry in manifest.precisions.items()}


def remarks_on_precisions(manifest: Manifest) -> tuple[str, ...]:
    """Return what is to be known of the choice among a bundle's precisions; sentences."""
    remarks = [str(one) for one in manifest.content.get("recommendation", {}).get("remarks", ())]
    int8 = manifest.precisions.get("int8")
    if int8 is not None and not int8["holds"] and "mixed" not in manifest.precisions:
        remarks.append("no mixture of INT8 and exact layers keeps the limits either")
    return tuple(remarks)


def _stated(manifest: Manifest, name: str, entry: Mapping[str, Any]) -> StatedPrecision:
    file, backends = manifest.directory / str(entry["file"]), tuple(str(one) for one in entry["for"])
    if "evaluation" not in entry:  # fp32 alone, which nothing was compared with
        return StatedPrecision(name, file, backends, Quality.from_json(manifest.content["quality"]))
    speed = entry.get("speed")
    low, high = speed["ratio_interval"] if speed else (0.0, 0.0)
    return StatedPrecision(
        name=name,
        file=file,
        backends=backends,
        quality=Quality.from_json(entry["evaluation"]["quality"]),
        drop_points=float(entry["drop_points"]),
        worst_class=entry["worst_class"],
        worst_class_drop_points=float(entry["worst_class_drop_points"]),
        same_decision_share=float(entry["evaluation"]["same_decision_share"]),
        holds=bool(entry["holds"]),
        remarks=tuple(str(remark) for remark in entry["remarks"]),
        ratio=float(speed["ratio"]) if speed else None,
        ratio_interval=(float(low), float(high)) if speed else None,
        latency=LatencyMeasurement.from_json({"samples_ms": (), **speed["latency"]}) if speed else None,
    )
