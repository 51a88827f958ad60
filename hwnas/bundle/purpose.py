"""What a bundle is exported for: dialects of INT8, opset, versions of backends; conflicts among them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict, Unpack

from hwnas.bundle.engines import NO_ENGINE, TENSORRT
from hwnas.bundle.integrations.choice import ISAAC_ROS, ROS2, TRITON, parse_integrations
from hwnas.bundle.precision.measurements import MODELOPT, PrecisionSettings
from hwnas.errors import ConfigError, did_you_mean
from hwnas.latency.target import Target
from hwnas.onnx_graphs.onnxruntime_gate import support_of
from hwnas.onnx_graphs.precision.kinds import (
    HALF_SCALES_OPSET,
    INT8,
    MIXED,
    Dialect,
    backend_of,
    dialect_of,
)
from hwnas.onnx_graphs.tensorrt_gate import opsets_of
from hwnas.onnx_graphs.versions import NEWEST_OPSET, OLDEST_OPSET

DIALECTS = {"tensorrt": Dialect.TENSORRT, "onnxruntime": Dialect.ONNXRUNTIME_CPU}


@dataclass(frozen=True)
class Purpose:
    """What a bundle is exported for.

    Attributes:
        dialects: of INT8, one file each; the first is that of the target's backend, if it is among them.
        is_clocked: whether the target's backend is one of those that the bundle is for, so that its clock
            says which precision is fastest.
        backend: of the target, as `hwnas.bundle.runtime.Runner` names it.
        target: whose clock it is.
        opset: of all files; None takes the oldest that each needs.
        onnxruntime: version that must take the files meant for it; None asks for none.
        tensorrt: version of TensorRT that must take the files meant for it; None leaves that to the target.
    """

    dialects: tuple[Dialect, ...]
    is_clocked: bool
    backend: str
    target: str
    opset: int | None = None
    onnxruntime: str | None = None
    tensorrt: str | None = None

    @property
    def why_not_clocked(self) -> str:
        """Why no precision is recommended where the target's clock says nothing; empty where it does."""
        if self.is_clocked:
            return ""
        names = " and ".join(dialect.label for dialect in self.dialects)
        return (
            f"no precision is recommended: the bundle is for {names}, but the target, {self.target}, "
            f"computes with {self.backend}"
        )

    def suffix(self, dialect: Dialect) -> str:
        """Return what a precision is called in a second dialect of the same bundle, such as `.tensorrt`."""
        return "" if dialect is self.dialects[0] else f".{dialect.label}"

    def versions_for(self, dialect: Dialect | None) -> tuple[str | None, str | None]:
        """Return the versions of onnxruntime and TensorRT that must take a file.

        Args:
            dialect: of its INT8; None for files without, which all take.
        """
        is_beside = dialect is Dialect.TENSORRT and len(self.dialects) > 1
        onnxruntime = None if is_beside else self.onnxruntime
        # INT8 of the other dialect has unsigned values, which TensorRT does not take, and is not for it.
        return onnxruntime, None if dialect is Dialect.ONNXRUNTIME_CPU else self.tensorrt


class ExportKeywords(TypedDict, total=False):
    """`ExportOptions` as they are written by hand: names in a list or between commas, paths as texts."""

    precision: PrecisionSettings | str | Sequence[str]
    integrations: str | Sequence[str]
    engine: str
    tensorrt: str | None
    onnxruntime: str | None
    opset: int | None
    dialect: str
    key: str | Path | None
    force: bool


@dataclass(frozen=True)
class ExportOptions:
    """What is written into a bundle, and for what.

    Attributes:
        precision: the precisions to write beside fp32, and how they are evaluated; None writes fp32 only.
        integrations: other programs that get files of their own: `triton`, `isaac-ros`, `ros2`; they load the
            recommended precision.
        engine: `tensorrt` (built on the target), `rtx` (for RTX GPUs) or `none`, one for each precision.
        builds: how often an engine that ships is built; the fastest is kept, where they differ.
        tensorrt: version that must take the graph, such as `10.3`; None asks the target for its own.
        onnxruntime: version that must take the files meant for it, such as `1.16`; None asks for none.
        opset: ONNX opset of all files; None takes the oldest that each needs.
        dialect: dialect of INT8: `tensorrt`, `onnxruntime`, or both with a comma; empty writes what the other
            options need, and the target decides where nothing else does.
        key: OpenSSH key to sign the manifest with; None leaves it unsigned.
        force: replace an existing bundle, in one step.
    """

    precision: PrecisionSettings | None = None
    integrations: Sequence[str] = ()
    engine: str = NO_ENGINE
    builds: int = 1
    tensorrt: str | None = None
    onnxruntime: str | None = None
    opset: int | None = None
    dialect: str = ""
    key: Path | None = None
    force: bool = False

    @classmethod
    def of(cls, **options: Unpack[ExportKeywords]) -> ExportOptions:
        """Return options from how they are written by hand.

        Raises:
            ConfigError: if a precision or an integration is unknown.
        """
        given: dict[str, Any] = {**options}
        precision, key = given.get("precision"), given.get("key")
        if precision is not None and not isinstance(precision, PrecisionSettings):
            given["precision"] = PrecisionSettings.of(precision)
        given["integrations"] = parse_integrations(given.get("integrations", ()))
        given["key"] = None if key is None else Path(key)
        return cls(**given)

    def purpose(self, target_url: str) -> Purpose:
        """Return what a bundle with these options is for.

        Args:
            target_url: URL of the target that the run was made for.

        Raises:
            ConfigError: if two of the options contradict each other.
            ExportError: if a version of TensorRT is malformed.
        """
        target = Target.parse(target_url)
        own = dialect_of(target.backend, dict(target.options))
        asked, served, stated = self._asked(), self._served(), _stated(self.dialect)
        if stated:
            _check_dialects(stated, {**asked, **served}, quantises=self._quantises)
        # `integrations` come beside what the target computes; the others say what all of it is for.
        wanted = stated or tuple({*(asked.values() or [own]), *served.values()})
        dialects = tuple(sorted(wanted, key=lambda each: (each is not own, each.value)))
        _check_opset(self.opset, self.onnxruntime, self.tensorrt, dialects, quantises=self._quantises)
        if self._quantises and self.precision is not None and self.precision.quantizer == MODELOPT:
            _check_quantizer(dialects)
        return Purpose(
            dialects,
            own in dialects,
            backend_of(target.backend),
            target_url,
            self.opset,
            self.onnxruntime,
            self.tensorrt,
        )

    @property
    def _quantises(self) -> bool:
        return self.precision is not None and bool({INT8, MIXED} & set(self.precision.wanted))

    def _asked(self) -> dict[str, Dialect]:
        """Return the dialect that each option needs, by the argument as a user gives it."""
        asked = {}
        if self.engine != NO_ENGINE:
            asked[f"engine={self.engine}"] = Dialect.TENSORRT
        if self.tensorrt is not None:
            asked[f"tensorrt={self.tensorrt}"] = Dialect.TENSORRT
        if self.onnxruntime is not None:
            asked[f"onnxruntime={self.onnxruntime}"] = Dialect.ONNXRUNTIME_CPU
        return asked

    def _served(self) -> dict[str, Dialect]:
        """Return the dialect that each integration loads.

        `isaac-ros` builds an engine from a file; `triton` and `ros2` run one by onnxruntime, or an engine of
        TensorRT where there is one.
        """
        served = {}
        if ISAAC_ROS in self.integrations:
            served[f"integrations={ISAAC_ROS}"] = Dialect.TENSORRT
        for name in (TRITON, ROS2):
            if name in self.integrations and self.engine != TENSORRT:
                served[f"integrations={name}"] = Dialect.ONNXRUNTIME_CPU
        return served


def _stated(text: str) -> tuple[Dialect, ...]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in DIALECTS:
            raise ConfigError(
                f"`dialect=` is one or both of {', '.join(DIALECTS)}, but got {name!r}."
                f"{did_you_mean(name, list(DIALECTS))}"
            )
    return tuple(dict.fromkeys(DIALECTS[name] for name in names))


def _check_dialects(stated: Sequence[Dialect], asked: dict[str, Dialect], *, quantises: bool) -> None:
    """Refuse INT8 that TensorRT could not take; onnxruntime takes both dialects."""
    if Dialect.TENSORRT in stated:
        return
    needing = [option for option, dialect in asked.items() if dialect is Dialect.TENSORRT]
    options = [option for option in needing if option.startswith("engine=") or quantises]
    if options:
        raise ConfigError(
            f"`dialect=onnxruntime` writes INT8 that TensorRT cannot take, but `{'` and `'.join(options)}` "
            f"need{'s' * (len(options) == 1)} it. Leave `dialect=` out, or give "
            "`dialect=tensorrt,onnxruntime` for a file of each."
        )


def _check_quantizer(dialects: Sequence[Dialect]) -> None:
    if Dialect.TENSORRT not in dialects:
        raise ConfigError(
            "`quantizer=modelopt` quantises for TensorRT, but this export is for onnxruntime. Leave it "
            "out, or add `dialect=tensorrt`."
        )


def _check_opset(
    opset: int | None,
    onnxruntime: str | None,
    tensorrt: str | None,
    dialects: Sequence[Dialect],
    *,
    quantises: bool,
) -> None:
    if opset is not None and not OLDEST_OPSET <= opset <= NEWEST_OPSET:
        raise ConfigError(f"`opset=` is {OLDEST_OPSET} to {NEWEST_OPSET}, but got {opset}.")
    needs_halves = quantises and Dialect.TENSORRT in dialects
    if needs_halves and opset is not None and opset < HALF_SCALES_OPSET:
        raise ConfigError(
            f"INT8 in TensorRT's dialect needs opset {HALF_SCALES_OPSET}, but `opset={opset}` was given. "
            f"Ask for {HALF_SCALES_OPSET}, or for `dialect=onnxruntime`."
        )
    if onnxruntime is not None:
        highest = support_of(onnxruntime).opset
        if opset is not None and opset > highest:
            raise ConfigError(
                f"onnxruntime {onnxruntime} takes opsets up to {highest}, but `opset={opset}` was given."
            )
        if needs_halves and len(dialects) == 1 and highest < HALF_SCALES_OPSET:
            raise ConfigError(
                f"onnxruntime {onnxruntime} takes opsets up to {highest}, but INT8 in TensorRT's dialect "
                f"needs {HALF_SCALES_OPSET}. Add `dialect=onnxruntime`, or name 1.15 or later."
            )
    if tensorrt is not None:
        first, last = opsets_of(tensorrt)
        if opset is not None and not first <= opset <= last:
            raise ConfigError(
                f"TensorRT {tensorrt} takes opsets {first} to {last}, but `opset={opset}` was given."
            )


def backends_of(dialect: Dialect | None) -> list[str]:
    """Return the backends that a file is for: those of its dialect, or all for one without INT8."""
    engines = ["tensorrt", "tensorrt-rtx"]
    if dialect is None:
        return ["onnxruntime", *engines]
    return engines if dialect is Dialect.TENSORRT else ["onnxruntime"]
