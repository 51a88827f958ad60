"""Parameters of a node that labels clouds: what they mean, and which values they may have."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hwnas.bundle.manifest import ONNXRUNTIME
from hwnas.bundle.runtime.engine_predictor import PRODUCTS
from hwnas.bundle.signature import Trust
from hwnas.errors import ConfigError, did_you_mean
from hwnas.robotics.cloud_points import INTENSITY_NAMES, RING_NAMES, TIME_NAMES, TIME_UNITS_S
from hwnas.text import shown

Value = bool | int | float | str | tuple[str, ...]


@dataclass(frozen=True)
class NodeParameter:
    """A parameter as a node declares it.

    Attributes:
        name: of the parameter.
        default: its type is that of all values.
        description: for people.
        range: lowest and highest number; None for any, and where it is no number.
        choices: texts that it may be; empty for any.
        is_read_only: whether it counts only when the node begins.
        is_of_network: whether a change opens the bundle anew.
    """

    name: str
    default: Value
    description: str
    range: tuple[float, float] | None = None
    choices: tuple[str, ...] = ()
    is_read_only: bool = False
    is_of_network: bool = False

    @property
    def constraints(self) -> str:
        """What `range` cannot say, for people."""
        return f"one of {', '.join(one or 'an empty text' for one in self.choices)}" if self.choices else ""

    def checked(self, value: Any) -> Value:
        """Return a value, whole numbers as such where the parameter is a float, lists as tuples.

        Raises:
            ConfigError: if it is of another type, out of range, or none of the choices.
        """
        if isinstance(self.default, tuple):
            return self._texts(value)
        if isinstance(self.default, float) and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        if type(value) is not type(self.default):
            raise ConfigError(f"`{self.name}` is {shown(value)}; expected {_KINDS[type(self.default)]}.")
        if isinstance(value, int | float) and self.range is not None:
            low, high = self.range
            if not (math.isfinite(value) and low <= value <= high):
                raise ConfigError(
                    f"`{self.name}` is {shown(value)}; expected a number from {low:g} to {high:g}."
                )
        if self.choices and value not in self.choices:
            raise ConfigError(
                f"`{self.name}` is {shown(value)}; expected {self.constraints}."
                f"{did_you_mean(str(value), [one for one in self.choices if one])}"
            )
        checked: Value = value
        return checked

    def _texts(self, value: Any) -> tuple[str, ...]:
        if isinstance(value, str) or not all(isinstance(one, str) for one in _items(value)):
            raise ConfigError(f"`{self.name}` is {shown(value)}; expected a list of texts.")
        return tuple(_items(value))


_KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}


def _items(value: Any) -> tuple[Any, ...]:
    try:
        return tuple(value)
    except TypeError:
        return (None,)  # no list: refused as one that holds something else than texts


def _field(what: str, usual: tuple[str, ...]) -> str:
    return f"Name of the field with the {what}. Empty: the first of {', '.join(usual)} that is there."


NODE_PARAMETERS: tuple[NodeParameter, ...] = (
    NodeParameter(
        "bundle",
        "",
        "Directory of the bundle, as `hwnas export` writes it. Setting it, even to the same path, opens the "
        "bundle anew; until that is done, and if it cannot be, the one before goes on.",
        is_of_network=True,
    ),
    NodeParameter(
        "precision",
        "fp32",
        "Of the network: one that the bundle holds, or recommended for what was found best on its target.",
        is_of_network=True,
    ),
    NodeParameter(
        "backend",
        ONNXRUNTIME,
        "What runs the network: onnxruntime on the CPU, or an engine of the bundle.",
        choices=(ONNXRUNTIME, *PRODUCTS),
        is_of_network=True,
    ),
    NodeParameter(
        "threads",
        1,
        "Threads of one inference on the CPU; 0: one for every core.",
        range=(0, 1024),
        is_of_network=True,
    ),
    NodeParameter(
        "allowed_signers",
        "",
        "File of OpenSSH with the keys that may have signed the bundle. Empty: unsigned ones are run, too.",
        is_of_network=True,
    ),
    NodeParameter(
        "identity",
        "",
        "Whose signature is wanted, such as fleet@example.com; with allowed_signers.",
        is_of_network=True,
    ),
    NodeParameter(
        "intensity_scale",
        1.0,
        "By which intensities are multiplied, to become what the network was trained with.",
        range=(1e-9, 1e9),
    ),
    NodeParameter("x", "x", "Name of the field with the first coordinate, in metres."),
    NodeParameter("y", "y", "Name of the field with the second coordinate, in metres."),
    NodeParameter("z", "z", "Name of the field with the third coordinate, in metres."),
    NodeParameter("intensity", "", _field("intensity", INTENSITY_NAMES)),
    NodeParameter("ring", "", _field("ring", RING_NAMES)),
    NodeParameter("time", "", _field("time of a point", TIME_NAMES)),
    NodeParameter(
        "time_unit", "", "Unit of that time. Empty: told by its type.", choices=("", *TIME_UNITS_S)
    ),
    NodeParameter(
        "visualization", True, "Publish coloured clouds while somebody listens to them: POINTS/visualization."
    ),
    NodeParameter(
        "remove_classes",
        ("",),
        "Names of classes; if there are any, POINTS/filtered holds the input without their points. Empty "
        "names do not count.",
    ),
    NodeParameter(
        "autostart",
        True,
        "Configure and activate the node as soon as it is there. false: something else does, such as a "
        "lifecycle manager.",
        is_read_only=True,
    ),
)
_BY_NAME = {one.name: one for one in NODE_PARAMETERS}
NETWORK_PARAMETERS = frozenset(one.name for one in NODE_PARAMETERS if one.is_of_network)
"""Those whose change opens the bundle anew."""
FORMAT_OPTIONS = ("x", "y", "z", "intensity", "ring", "time", "time_unit", "intensity_scale")


@dataclass(frozen=True)
class NodeSettings:
    """Values of all parameters, each checked by itself.

    Attributes:
        values: every value, by name.
    """

    values: Mapping[str, Value]

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> NodeSettings:
        """Return settings; parameters that are not given have their defaults.

        Raises:
            ConfigError: if a name is unknown, a value is not allowed, or two contradict each other.
        """
        for name in given:
            if name not in _BY_NAME:
                raise ConfigError(
                    f"The node has no parameter {shown(name)}; it has {', '.join(_BY_NAME)}."
                    f"{did_you_mean(name, _BY_NAME)}"
                )
        found = cls({one.name: one.checked(given.get(one.name, one.default)) for one in NODE_PARAMETERS})
        _ = found.trust  # refuses one of two
        return found

    @property
    def bundle(self) -> Path:
        """Directory of the bundle.

        Raises:
            ConfigError: if none is named.
        """
        path = self._text("bundle")
        if not path:
            raise ConfigError(
                "`bundle` is empty; name the directory of a bundle, as `hwnas export` writes it."
            )
        return Path(path).expanduser()

    @property
    def trust(self) -> Trust | None:
        """Who must have signed the bundle; None for anybody or nobody.

        Raises:
            ConfigError: if only one of `allowed_signers` and `identity` is given.
        """
        signers, identity = self._text("allowed_signers"), self._text("identity").strip()
        if bool(signers) != bool(identity):
            raise ConfigError(
                "`allowed_signers` and `identity` go together: the file says which keys may sign, the name "
                "says whose signature is wanted."
            )
        return Trust(Path(signers).expanduser(), identity) if signers else None

    @property
    def precision(self) -> str:
        """Of the network."""
        return self._text("precision")

    @property
    def backend(self) -> str:
        """What runs it."""
        return self._text("backend")

    @property
    def threads(self) -> int:
        """Of one inference."""
        return int(str(self.values["threads"]))

    @property
    def visualization(self) -> bool:
        """Whether coloured clouds are wanted."""
        return bool(self.values["visualization"])

    @property
    def autostart(self) -> bool:
        """Whether the node begins by itself."""
        return bool(self.values["autostart"])

    @property
    def remove_classes(self) -> tuple[str, ...]:
        """Names of classes that filtered clouds leave out."""
        names = self.values["remove_classes"]
        return tuple(one for one in names if one) if isinstance(names, tuple) else ()

    @property
    def format_options(self) -> dict[str, Any]:
        """Which fields hold what, as `CloudFields` has it; what the bundle states counts for the others."""
        defaults = {name: _BY_NAME[name].default for name in FORMAT_OPTIONS}
        return {
            name: self.values[name]
            for name in FORMAT_OPTIONS
            if self.values[name] not in ("", defaults[name])
        }

    def _text(self, name: str) -> str:
        return str(self.values[name])
