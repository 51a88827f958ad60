"""From the label ids in files to the classes that networks learn, and back.

Python 3.8 syntax, numpy only (YAML is read on demand): this module travels to boards.
"""

from __future__ import annotations

import colorsys
import itertools
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, Mapping, Sequence, Tuple, Union

import numpy as np
import numpy.typing as npt

from hwnas.data.scan_files.whole_numbers import LABEL_LIMITS, expected_within, is_whole_within
from hwnas.errors import DataError, did_you_mean
from hwnas.files import checked_path, is_yaml
from hwnas.labels import IGNORED_LABEL
from hwnas.text import shown

LABEL_MAP_DIRECTORY = Path(__file__).parent / "label_maps"
MAX_CLASSES = 254
_RAW_IDS = 1 << 16
_UNKNOWN = -1

Color = Tuple[int, int, int]


@dataclass(frozen=True)
class LabelMap:
    """Merges raw label ids into classes.

    Attributes:
        name: how settings refer to the map.
        class_names: name of each train id, in order.
        raw_ids: raw ids merged into each class; predictions are written as the first.
        ignored_raw_ids: raw ids that become 255.
        colors: red, green and blue (0..255) of each class.
    """

    name: str
    class_names: Tuple[str, ...]
    raw_ids: Tuple[Tuple[int, ...], ...]
    ignored_raw_ids: Tuple[int, ...]
    colors: Tuple[Color, ...]
    _to_train: npt.NDArray[np.int16] = field(init=False, repr=False, compare=False)
    _to_raw: npt.NDArray[np.uint32] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        _check_map(self)
        to_train = np.full(_RAW_IDS, _UNKNOWN, np.int16)
        to_train[list(self.ignored_raw_ids)] = IGNORED_LABEL
        to_raw = np.full(256, _raw_id_of_none(self), np.uint32)
        for train_id, raw_ids in enumerate(self.raw_ids):
            to_train[list(raw_ids)] = train_id
            to_raw[train_id] = raw_ids[0]
        object.__setattr__(self, "_to_train", to_train)
        object.__setattr__(self, "_to_raw", to_raw)

    @property
    def num_classes(self) -> int:
        """Number of classes; ignored points are not one of them."""
        return len(self.class_names)

    def to_train(self, raw: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
        """Return train ids [N] of raw labels [N], of 32 bits; the upper 16 (the instance) are dropped.

        Raises:
            DataError: if a label is no whole number of 32 bits, or a raw id is in neither a class nor
                `ignored_raw_ids`.
        """
        raw = _as_labels(raw)
        semantic = (raw & np.uint32(0xFFFF)).astype(np.uint16)
        train = self._to_train[semantic]
        if train.size and int(train.min()) == _UNKNOWN:
            unknown, counts = np.unique(semantic[train == _UNKNOWN], return_counts=True)
            pairs = zip(unknown[:5], counts[:5])  # noqa: B905 - Python 3.8
            found = ", ".join(f"{raw_id} ({count} points)" for raw_id, count in pairs)
            minus = " 65535 is -1 of a signed type: write 65535." if 0xFFFF in unknown else ""
            raise DataError(
                f"Unknown label id: {found}.{minus} Expected one of the ids in the label map {self.name!r}; "
                "add the id to one of its classes or to its ignored_raw_ids, or name the map of these labels "
                "as `label_map`: in dataset.yaml, or in the settings of a task that name another one."
            )
        return train.astype(np.uint8)

    def to_raw(self, train: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint32]:
        """Return the first raw id of each train id [N].

        255 becomes 0, or, where 0 is a raw id of a class, the first ignored raw id, or one that no class has.

        Raises:
            DataError: if one is no whole number from 0 to 255.
        """
        train = np.asarray(train)
        is_whole = train.dtype.kind in "iu" or not train.size
        if not is_whole or (train.size and not 0 <= int(train.min()) <= int(train.max()) <= IGNORED_LABEL):
            found = f", {train.min()} to {train.max()}" if is_whole else ""
            raise DataError(
                f"Labels are indices of classes from 0, and 255 for none, but are of the type "
                f"{train.dtype}{found}."
            )
        return self._to_raw[train.astype(np.uint8, copy=False)]

    def to_json(self) -> Dict[str, Any]:
        """Return plain JSON values, the same as a label map file holds."""
        classes = zip(self.class_names, self.raw_ids, self.colors)  # noqa: B905 - Python 3.8
        return {
            "name": self.name,
            "ignored_raw_ids": list(self.ignored_raw_ids),
            "classes": [
                {"name": name, "raw_ids": list(raw_ids), "color": list(color)}
                for name, raw_ids, color in classes
            ],
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> LabelMap:
        """Rebuild from `to_json` or from the content of a label map file.

        Args:
            value: a mapping with `name`, `ignored_raw_ids` and `classes`; each class has `name`, `raw_ids`
                and, if it wants a certain one, `color`: `[255, 0, 0]` or `"#ff0000"`.

        Raises:
            DataError: if a key is missing, unknown or of the wrong type, or ids are used twice.
        """
        try:
            return _parsed(value)
        except _WrongValueError as error:
            raise DataError(f"In the label map, {error}") from error


def _as_labels(raw: npt.NDArray[Any]) -> npt.NDArray[np.uint32]:
    """Return labels as uint32; wider ones and negative ones would become others."""
    if raw.dtype == np.uint32:
        return raw
    fits = is_whole_within(raw, LABEL_LIMITS)
    if not fits.all():
        first = int(np.flatnonzero(~fits)[0])
        raise DataError(
            f"The label of point {first} is {raw[first]}; {expected_within(LABEL_LIMITS)}. Are the labels of "
            "the type that is stated (`label_dtype`)?"
        )
    return raw.astype(np.uint32)


def load_label_map(name_or_path: Union[str, Path]) -> LabelMap:
    """Return a label map that ships with hwnas, by name, or one from a YAML file.

    Raises:
        DataError: if there is no such map or file, or its content is not a label map.
    """
    path = checked_path(name_or_path, "The label map", DataError)
    if not is_yaml(path):
        path = LABEL_MAP_DIRECTORY / f"{name_or_path}.yaml"
    if not path.is_file():
        known = sorted(file.stem for file in LABEL_MAP_DIRECTORY.glob("*.yaml"))
        raise DataError(
            f"There is no label map {shown(str(name_or_path))}; known are {known} and paths of YAML files."
            + did_you_mean(str(name_or_path), known)
        )
    from hwnas.yaml_files.reading import read_yaml  # boards need no YAML

    document = read_yaml(path, error=DataError)
    try:
        return _parsed(document.value)
    except _WrongValueError as error:
        raise DataError(f"{document.at(error.location)}: {error}") from error
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


class _WrongValueError(DataError):
    """A value of a label map is wrong; says where it stands."""

    def __init__(self, message: str, *location: Union[int, str]) -> None:
        super().__init__(message)
        self.location = location


def _parsed(value: Any) -> LabelMap:
    keys = ("name", "ignored_raw_ids", "classes")
    _check_keys(value, keys, keys, "a label map")
    classes = value["classes"]
    if not isinstance(classes, (list, tuple)):
        raise _WrongValueError(f"`classes` must be a list, found {shown(classes)}.", "classes")
    seen: Dict[int, str] = {}
    ignored = _ids(value["ignored_raw_ids"], seen, "ignored_raw_ids")
    names, raw_ids, colors = [], [], []
    for number, entry in enumerate(classes):
        place = ("classes", number)
        _check_keys(entry, ("name", "raw_ids"), ("name", "raw_ids", "color"), "a class", *place)
        names.append(_text(entry["name"], *place, "name"))
        raw_ids.append(_ids(entry["raw_ids"], seen, *place, "raw_ids"))
        default = _default_color(number)
        colors.append(_color(entry["color"], *place, "color") if "color" in entry else default)
    return LabelMap(_text(value["name"], "name"), tuple(names), tuple(raw_ids), ignored, tuple(colors))


def _check_keys(
    value: Any, needed: Sequence[str], known: Sequence[str], what: str, *location: Union[int, str]
) -> None:
    if not isinstance(value, Mapping):
        raise _WrongValueError(f"{what} must have the keys {list(needed)}, found {shown(value)}.", *location)
    for key in value:
        if key not in known:
            hint = did_you_mean(str(key), known)
            raise _WrongValueError(
                f"unknown key {shown(key)} in {what}; known are {list(known)}.{hint}", *location, key
            )
    missing = [key for key in needed if key not in value]
    if missing:
        of = f" {shown(value['name'])}" if "name" in value else ""
        raise _WrongValueError(f"{what}{of} lacks the key {missing[0]!r}; give it a value.", *location)


def _text(value: Any, *location: Union[int, str]) -> str:
    if not isinstance(value, str) or not value:
        raise _WrongValueError(f"`{_dotted(location)}` must be text, found {shown(value)}.", *location)
    return value


def _ids(values: Any, seen: Dict[int, str], *location: Union[int, str]) -> Tuple[int, ...]:
    """Return raw ids, each of which may stand in one place; `seen` holds the places of those before."""
    where = f"`{_dotted(location)}`"
    if not isinstance(values, (list, tuple)):
        raise _WrongValueError(f"{where} must be a list of whole numbers, found {shown(values)}.", *location)
    for number, value in enumerate(values):
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < _RAW_IDS:
            raise _WrongValueError(
                f"{where} holds {shown(value)}; expected whole numbers from 0 to {_RAW_IDS - 1}."
                f"{' Files hold -1 as 65535.' if value == -1 else ''}",
                *location,
                number,
            )
        if value in seen:
            raise _WrongValueError(
                f"{where} holds {value}, which stands in `{seen[value]}` already; every raw id belongs to "
                "one class or is ignored.",
                *location,
                number,
            )
        seen[value] = _dotted(location)
    return tuple(values)


def _color(value: Any, *location: Union[int, str]) -> Color:
    if isinstance(value, str) and re.match(r"#[0-9a-fA-F]{6}\Z", value):
        return int(value[1:3], 16), int(value[3:5], 16), int(value[5:7], 16)
    parts = value if isinstance(value, (list, tuple)) else ()
    if len(parts) == 3 and all(type(part) is int and 0 <= part <= 255 for part in parts):
        return parts[0], parts[1], parts[2]
    hint = " In YAML, # begins a comment: put the colour in quotes." if value is None else ""
    raise _WrongValueError(
        f"`{_dotted(location)}` must be [red, green, blue] from 0 to 255 or '#rrggbb', found {shown(value)}."
        f"{hint}",
        *location,
    )


def _default_color(number: int) -> Color:
    """Return a colour for a class without one; hues a golden angle apart are all different."""
    red, green, blue = colorsys.hsv_to_rgb(number * 0.61803398875 % 1.0, 0.65, 0.95 if number % 2 else 0.75)
    return round(255 * red), round(255 * green), round(255 * blue)


def _raw_id_of_none(label_map: LabelMap) -> int:
    """Return the raw id that says that a point has no class."""
    taken = {raw_id for raw_ids in label_map.raw_ids for raw_id in raw_ids}
    candidates = itertools.chain((0,), label_map.ignored_raw_ids, range(_RAW_IDS))
    return next(raw_id for raw_id in candidates if raw_id not in taken)


def _dotted(location: Sequence[Union[int, str]]) -> str:
    return ".".join(map(str, location))


def _check_map(label_map: LabelMap) -> None:
    where = f"The label map {label_map.name!r}"
    names = label_map.class_names
    if not 1 <= len(names) <= MAX_CLASSES:
        raise DataError(f"{where} has {len(names)} classes; expected 1 to {MAX_CLASSES}.")
    if len(set(names)) != len(names):
        raise DataError(f"{where} names a class twice: {sorted(names)}.")
    if not all(label_map.raw_ids):
        raise DataError(f"{where} has a class without raw_ids; give every class at least one.")
    ids = [*label_map.ignored_raw_ids, *(raw_id for raw_ids in label_map.raw_ids for raw_id in raw_ids)]
    if any(not 0 <= raw_id < _RAW_IDS for raw_id in ids):
        raise DataError(f"{where} holds a raw id outside 0..{_RAW_IDS - 1}.")
    twice = sorted(raw_id for raw_id, count in Counter(ids).items() if count > 1)
    if twice:
        raise DataError(f"{where} uses raw ids twice: {twice}; every id belongs to one class or is ignored.")
    if any(not 0 <= value <= 255 for color in label_map.colors for value in color):
        raise DataError(f"{where} holds a colour outside 0..255.")
