"""What is known about one precision of one network, and which one to use on a target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, TypedDict, Unpack

from hwnas.bundle.precision.latency import Speed
from hwnas.errors import ConfigError
from hwnas.onnx_graphs.precision.calibration import CalibrationMethod
from hwnas.onnx_graphs.precision.kinds import (
    FP16,
    FP32,
    INT8,
    MIXED,
    PRECISIONS,
    Dialect,
    parse_precisions,
    precision_of,
)
from hwnas.tasks.batch_evaluation import Evaluation
from hwnas.text import figure
from hwnas.thread_counts import checked_threads

ONNXRUNTIME, MODELOPT = "onnxruntime", "modelopt"
QUANTIZERS = (ONNXRUNTIME, MODELOPT)
POINTS = 100.0
"""Points of the metric in its whole range 0..1."""


class PrecisionOptions(TypedDict, total=False):
    """Settings of `PrecisionSettings` by their names, see there."""

    calibration_inputs: int
    sensitivity_inputs: int
    fp16_drop_points: float
    int8_drop_points: float
    class_drop_points: float
    limit: int | None
    split: str
    threads: int
    quantizer: str


@dataclass(frozen=True)
class PrecisionSettings:
    """What is wanted, and how much may be lost.

    Attributes:
        wanted: names in `PRECISIONS`, `fp32` first.
        calibration: how ranges of activations are found.
        calibration_inputs: training samples that they are found on.
        sensitivity_inputs: how many of these the sensitivity of a layer is measured on.
        fp16_drop_points: points of the metric that `fp16` may lose.
        int8_drop_points: points that `int8` and `mixed` may lose.
        class_drop_points: points that they may lose on any class.
        limit: samples that precisions are evaluated on; None for all.
        split: split of the data that they are evaluated on.
        threads: number of threads of onnxruntime while evaluating.
        quantizer: `onnxruntime`, or `modelopt` for TensorRT.
    """

    wanted: tuple[str, ...] = (FP32,)
    calibration: CalibrationMethod = CalibrationMethod.MIN_MAX
    calibration_inputs: int = 32
    sensitivity_inputs: int = 2
    fp16_drop_points: float = 0.2
    int8_drop_points: float = 1.0
    class_drop_points: float = 2.0
    limit: int | None = None
    split: str = "val"
    threads: int = 1
    quantizer: str = ONNXRUNTIME

    @classmethod
    def of(
        cls,
        precision: str | Sequence[str],
        *,
        calibration: str = "min-max",
        **settings: Unpack[PrecisionOptions],
    ) -> PrecisionSettings:
        """Return settings from texts.

        Args:
            precision: names in `PRECISIONS`; a text has commas between them.
            calibration: `min-max`, `entropy` or `percentile`.
            settings: the others, by their names.

        Raises:
            ConfigError: if a precision, the calibration or the quantizer is unknown.
        """
        methods = [method.value for method in CalibrationMethod]
        if calibration not in methods:
            raise ConfigError(f"`calibration=` is one of {', '.join(methods)}, but got {calibration!r}.")
        names = precision if isinstance(precision, str) else ",".join(precision)
        return cls(parse_precisions(names), CalibrationMethod(calibration), **settings)

    def __post_init__(self) -> None:
        """Refuse an unknown quantizer and a wrong number of threads.

        Raises:
            ConfigError: naming what is expected.
        """
        checked_threads(self.threads)
        if self.quantizer not in QUANTIZERS:
            raise ConfigError(f"`quantizer=` is one of {', '.join(QUANTIZERS)}, but got {self.quantizer!r}.")


def settings_for(settings: PrecisionSettings, dialect: Dialect, *, is_first: bool) -> PrecisionSettings:
    """Return what is to be made in one dialect of a bundle: `fp16` has none and is made with the first."""
    wanted = tuple(name for name in settings.wanted if is_first or name != FP16)
    quantizer = settings.quantizer
    if quantizer == MODELOPT and dialect is not Dialect.TENSORRT:
        quantizer = ONNXRUNTIME
    return replace(settings, wanted=wanted, quantizer=quantizer)


@dataclass(frozen=True)
class PrecisionMeasurements:
    """What is known about one precision of one network.

    Attributes:
        name: in `PRECISIONS`; in a second dialect followed by its name, such as `int8.tensorrt`.
        evaluation: on task data.
        drop_points: points of the metric lost against fp32; negative if it gained.
        worst_class: that lost most; None for fp32.
        worst_class_drop_points: points it lost.
        band_drop_points: points lost by distance.
        holds: whether the limits hold.
        remarks: what a reader must know, such as why it is not recommended.
        details: how it was made and evaluated: calibration, layers kept, largest activation.
        speed: against fp32 on the target; None where it was not clocked.
    """

    name: str
    evaluation: Evaluation
    drop_points: float
    worst_class: str | None
    worst_class_drop_points: float
    band_drop_points: Mapping[str, float | None]
    holds: bool
    remarks: tuple[str, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)
    speed: Speed | None = None

    @property
    def is_quantised(self) -> bool:
        """Whether it has a dialect."""
        return precision_of(self.name) in {INT8, MIXED}

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        speed = self.speed.to_json() if self.speed else None
        return {**asdict(self), "evaluation": self.evaluation.to_json(), "speed": speed}


def measurements_of(
    name: str,
    evaluation: Evaluation,
    reference: Evaluation,
    settings: PrecisionSettings,
    details: Mapping[str, Any],
) -> PrecisionMeasurements:
    """Compare one precision with fp32 and with the limits of its kind."""
    drop = POINTS * (reference.quality.value - evaluation.quality.value)
    drops = {
        label: POINTS * (was - now)
        for label, was in reference.quality.per_class.items()
        if was is not None and (now := evaluation.quality.per_class[label]) is not None
    }
    worst = max(drops, key=lambda label: drops[label]) if drops and name != FP32 else None
    allowed = settings.fp16_drop_points if name == FP16 else settings.int8_drop_points
    remarks = []
    if not drop <= allowed:
        remarks.append(f"loses {drop:.2f} points, more than the {allowed:g} allowed")
    if name in {INT8, MIXED} and worst is not None and not drops[worst] <= settings.class_drop_points:
        remarks.append(
            f"loses {drops[worst]:.2f} points on {worst!r}, "
            f"more than the {settings.class_drop_points:g} allowed"
        )
    bands = {
        band: POINTS * (was - now)
        if was is not None and (now := evaluation.bands.get(band)) is not None
        else None
        for band, was in reference.bands.items()
    }
    return PrecisionMeasurements(
        name=name,
        evaluation=evaluation,
        drop_points=drop,
        worst_class=worst,
        worst_class_drop_points=drops[worst] if worst is not None else 0.0,
        band_drop_points=bands,
        holds=not remarks,
        remarks=tuple(remarks),
        details=dict(details),
    )


def recommended(found: Sequence[PrecisionMeasurements]) -> str:
    """Return the fastest precision that holds and is clearly faster than fp32; fp32 if none is."""
    faster = [
        (entry.speed.ratio, entry.name)
        for entry in found
        if entry.holds and entry.speed is not None and entry.speed.ratio_interval[1] < 1.0
    ]
    return min(faster)[1] if faster else FP32


def with_remarks_of_speed(found: Sequence[PrecisionMeasurements]) -> list[PrecisionMeasurements]:
    """Say of each precision where another one that holds is both as fast and as accurate."""
    result = []
    for entry in sorted(found, key=lambda found: PRECISIONS.index(precision_of(found.name))):
        remarks = list(entry.remarks)
        if entry.speed is not None and entry.speed.ratio_interval[0] > 1.0:
            remarks.append(f"slower than fp32 on this target ({figure(entry.speed.ratio)} times)")
        elif entry.speed is not None and entry.speed.ratio_interval[1] >= 1.0:
            remarks.append("not faster than fp32 on this target")
        remarks += [
            f"{other.name} is faster and no less accurate on this target"
            for other in found
            if other.name not in {entry.name, FP32} and other.holds and _beats(other, entry)
        ]
        result.append(replace(entry, remarks=tuple(remarks)))
    return result


def _beats(other: PrecisionMeasurements, entry: PrecisionMeasurements) -> bool:
    if other.speed is None or entry.speed is None:
        return False
    return other.speed.ratio_interval[1] < entry.speed.ratio_interval[0] and (
        other.drop_points <= entry.drop_points
    )
