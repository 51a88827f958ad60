"""Shapes and values that a user gives for the inputs of a model, such as `image=1x5x64x512` or `sr=16000`."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwnas.arrays import UnreadableArraysError, load_array
from hwnas.errors import ConfigError
from hwnas.io_spec import OPEN, InputValue, TensorSpec
from hwnas.text import visible

_SHAPE = re.compile(r"[0-9]+(?:x[0-9]+)*")
_MAX_DIGITS = 18
_NO_NAMES = frozenset({"None", "-1", "0"})
_HOW = (
    "An input is given as a shape (image=1x5x64x512), a value (sr=16000, scale=[0.5, 2]), or a file of numpy "
    "(image=scan.npy)"
)


@dataclass(frozen=True)
class DeclaredInput:
    """An input as a model states it.

    Attributes:
        spec: its name, type and shape, with `OPEN` for each axis that is not fixed.
        symbols: names of such axes; those that share a name have the same size. What some exporters write for
            any axis, such as `?`, is none.
        is_ranked: whether the number of axes is stated.
    """

    spec: TensorSpec
    symbols: Mapping[int, str] = field(default_factory=dict)
    is_ranked: bool = True

    def __post_init__(self) -> None:
        """Leave out what names no axis."""
        named = {
            index: symbol
            for index, symbol in self.symbols.items()
            if symbol not in _NO_NAMES and any(character.isalnum() for character in symbol)
        }
        object.__setattr__(self, "symbols", named)

    @property
    def written_shape(self) -> str:
        """Its shape for people, with the names of axes, or `?`."""
        if not self.is_ranked:
            return "unknown"
        sizes = [self.symbols.get(i, "?") if n == OPEN else str(n) for i, n in enumerate(self.spec.shape)]
        return visible("x".join(sizes), keep="") or "a single value"


@dataclass(frozen=True)
class GivenInput:
    """An input with what was given for it.

    Attributes:
        spec: with the given shape; `OPEN` where nothing was given.
        values: the given ones, None if any will do.
    """

    spec: TensorSpec
    values: NDArray[Any] | None = None

    def to_value(self) -> InputValue | None:
        """Return the given values as they go to a board."""
        return None if self.values is None else InputValue.of(self.spec.name, self.values)


def given_inputs(
    declared: Sequence[DeclaredInput], texts: Sequence[str], where: str
) -> tuple[GivenInput, ...]:
    """Return all inputs of a model with what some texts give for them.

    An axis that has a name has one size wherever the name stands: it is given once.

    Args:
        declared: inputs of the model, in its order.
        texts: `NAME=SHAPE`, `NAME=VALUE`, or `NAME=FILE.npy`, each input at most once.
        where: names the model in messages.

    Raises:
        ConfigError: if a text is none of these, names no input or one again, or does not fit the model.
    """
    by_name = {entry.spec.name: entry for entry in declared}
    given: dict[str, GivenInput] = {}
    for text in [texts] if isinstance(texts, str) else texts:  # a text is no sequence of letters
        entry, content = _split(text, by_name, where)
        if entry.spec.name in given:
            raise ConfigError(f"The input {entry.spec.name!r} is given twice; keep one.")
        given[entry.spec.name] = _given(entry, content, where)
    sizes = _sizes_of_symbols(by_name, given, where)
    return tuple(given.get(name) or GivenInput(_filled(entry, sizes)) for name, entry in by_name.items())


def refuse_open(declared: Sequence[DeclaredInput], given: Sequence[GivenInput], where: str) -> None:
    """Refuse inputs whose shapes are not fixed, all of them at once.

    Raises:
        ConfigError: naming each, and values of `inputs` that would fix them.
    """
    is_open = [
        entry
        for entry, known in zip(declared, given, strict=True)
        if known.values is None and (OPEN in known.spec.shape or not (entry.is_ranked or known.spec.shape))
    ]
    if not is_open:
        return
    named = "; ".join(f"{entry.spec.name!r} has the shape {entry.written_shape}" for entry in is_open)
    options, reported = [], set[str]()
    for entry in is_open:
        # Axes that share a name with an input before are given with that one.
        if not entry.is_ranked or any(
            size == OPEN and entry.symbols.get(index, "") not in reported
            for index, size in enumerate(entry.spec.shape)
        ):
            example = "x".join(str(max(size, 1)) for size in entry.spec.shape) if entry.is_ranked else "1x2x3"
            options.append(f"{entry.spec.name}={example}")
        reported.update(entry.symbols.values())
    raise ConfigError(
        f"Inputs of {where} are not fixed: {named}. Say what to measure, such as: {_as_argument(options)}"
    )


def _as_argument(values: Sequence[str]) -> str:
    listed = ", ".join(f"'{visible(value, keep='')}'" for value in values)
    return f"`inputs=[{listed}]`"


def refuse_undecided(declared: Sequence[DeclaredInput], given: Sequence[GivenInput], where: str) -> None:
    """Refuse inputs of one integer or truth value that has no value.

    Such a number says how often a loop runs, or which branch is taken: one drawn at random would decide what
    is measured, without a word.

    Raises:
        ConfigError: naming each, and values of `inputs` that would give them.
    """
    undecided = [
        entry
        for entry, known in zip(declared, given, strict=True)
        if known.values is None
        and entry.is_ranked
        and entry.spec.shape in {(), (1,)}
        and _kind_of(entry) in "iub"
    ]
    if not undecided:
        return
    named = ", ".join(f"{entry.spec.name!r} ({entry.spec.dtype})" for entry in undecided)
    options = [f"{entry.spec.name}={'true' if _kind_of(entry) == 'b' else 16}" for entry in undecided]
    raise ConfigError(
        f"What {where} computes may depend on its single numbers {named}: they can say how often a loop "
        f"runs. Say which to measure with, such as: {_as_argument(options)}"
    )


def _kind_of(entry: DeclaredInput) -> str:
    """Return numpy's letter for the kind of its elements, a space if numpy has none."""
    try:
        return np.dtype(entry.spec.dtype).kind
    except (TypeError, ValueError, SyntaxError):
        return " "


def _split(text: str, by_name: Mapping[str, DeclaredInput], where: str) -> tuple[DeclaredInput, str]:
    """Return the input that a text names, which may hold `=` itself, and what it gives."""
    if not text.partition("=")[0] or not text.partition("=")[2]:
        raise ConfigError(f"{_HOW}, but got {text!r}.")
    names = [name for name in by_name if text.startswith(f"{name}=")]
    if not names:
        raise ConfigError(
            f"{where} has no input {text.rpartition('=')[0]!r}; its inputs are {list(by_name)}."
        )
    name = max(names, key=len)
    return by_name[name], text[len(name) + 1 :].strip()


def _given(entry: DeclaredInput, content: str, where: str) -> GivenInput:
    if content.endswith(".npy"):
        return _with_values(entry, _array_in(Path(content), entry), where)
    if _SHAPE.fullmatch(content):
        numbers = [int(number) for number in content.split("x") if len(number) <= _MAX_DIGITS]
        if len(numbers) != content.count("x") + 1:
            raise ConfigError(f"{_HOW}, but a number in {content!r} is too large.")
        is_value = len(numbers) == 1 and entry.is_ranked and _is_single(entry)
        if not is_value:
            return GivenInput(_with_shape(entry, tuple(numbers), where))
    return _with_values(entry, _value_in(content, entry), where)


def _is_single(entry: DeclaredInput) -> bool:
    """Whether a single number is its value: it has no axes, or holds one value whatever its shape."""
    return math.prod(entry.spec.shape) == 1 and OPEN not in entry.spec.shape


def _value_in(content: str, entry: DeclaredInput) -> NDArray[Any]:
    try:
        value = json.loads(content)
        array = np.asarray(value)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{_HOW}, but {entry.spec.name!r} was given {content!r}.") from error
    wanted = _dtype(entry)
    kinds = {"f": "fiu", "i": "iu", "u": "iu", "b": "b"}.get(wanted.kind, "")
    if array.dtype.kind not in kinds:
        raise ConfigError(
            f"The input {entry.spec.name!r} is of {entry.spec.dtype}, but was given {content!r}."
        )
    converted = array.astype(wanted)
    if wanted.kind in "iu" and not np.array_equal(converted, array):
        raise ConfigError(f"The value {content!r} of {entry.spec.name!r} does not fit {entry.spec.dtype}.")
    if converted.ndim == 0 and entry.is_ranked and _is_single(entry):
        return converted.reshape(entry.spec.shape)
    return converted


def _array_in(path: Path, entry: DeclaredInput) -> NDArray[Any]:
    try:
        array = load_array(str(path))
    except (OSError, UnreadableArraysError) as error:
        raise ConfigError(
            f"{str(path)!r} for the input {entry.spec.name!r} is no array of numpy: {error}."
        ) from error
    if not isinstance(array, np.ndarray) or array.dtype != _dtype(entry):
        raise ConfigError(
            f"The input {entry.spec.name!r} is of {entry.spec.dtype}, but {str(path)!r} holds "
            f"{getattr(array, 'dtype', 'several arrays')}. Save it with that type."
        )
    return array


def _dtype(entry: DeclaredInput) -> np.dtype[Any]:
    try:
        return np.dtype(entry.spec.dtype)
    except (TypeError, ValueError, SyntaxError) as error:  # by what numpy takes for a list of fields
        raise ConfigError(
            f"The input {entry.spec.name!r} is of {entry.spec.dtype}, of which values cannot be given; give "
            "its shape."
        ) from error


def _with_values(entry: DeclaredInput, values: NDArray[Any], where: str) -> GivenInput:
    return GivenInput(_with_shape(entry, values.shape, where, may_be_empty=True), values)


def _with_shape(
    entry: DeclaredInput, shape: tuple[int, ...], where: str, *, may_be_empty: bool = False
) -> TensorSpec:
    own = entry.spec.shape
    fits = not entry.is_ranked or (
        len(shape) == len(own) and all(size in (OPEN, given) for size, given in zip(own, shape, strict=True))
    )
    is_empty = 0 in shape and 0 not in own  # a model that fixes an axis at 0 is taken at its word
    if not fits or (is_empty and not may_be_empty):
        raise ConfigError(
            f"The input {entry.spec.name!r} of {where} has the shape {entry.written_shape}, but "
            f"`inputs=` gives {'x'.join(map(str, shape)) or 'a single value'}."
        )
    return replace(entry.spec, shape=shape)


def _sizes_of_symbols(
    by_name: Mapping[str, DeclaredInput], given: Mapping[str, GivenInput], where: str
) -> dict[str, int]:
    sizes: dict[str, tuple[int, str]] = {}
    for name, found in given.items():
        for index, symbol in by_name[name].symbols.items():
            if by_name[name].spec.shape[index] != OPEN:
                continue
            size = found.spec.shape[index]
            before, other = sizes.setdefault(symbol, (size, name))
            if before != size:
                raise ConfigError(
                    f"The axis {symbol!r} of {where} must have one size, but {other!r} gives {before} and "
                    f"{name!r} gives {size}."
                )
    return {symbol: size for symbol, (size, _) in sizes.items()}


def _filled(entry: DeclaredInput, sizes: Mapping[str, int]) -> TensorSpec:
    shape = tuple(
        sizes.get(entry.symbols.get(index, ""), OPEN) if size == OPEN else size
        for index, size in enumerate(entry.spec.shape)
    )
    return replace(entry.spec, shape=shape)


def values_of(given: Iterable[GivenInput]) -> tuple[InputValue, ...]:
    """Return the values among what was given."""
    return tuple(value for value in (entry.to_value() for entry in given) if value is not None)
