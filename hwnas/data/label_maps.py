"""From the label ids in files to the classes that networks learn, and back.

Python 3.8 syntax, numpy only (YAML is read on demand): this module travels to boards.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, List, Mapping, Sequence, Tuple, Union

import numpy as np
import numpy.typing as npt

from hwnas.data.scan import IGNORED_LABEL
from hwnas.errors import DataError, did_you_mean

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
        to_raw = np.zeros(256, np.uint32)
        for train_id, raw_ids in enumerate(self.raw_ids):
            to_train[list(raw_ids)] = train_id
            to_raw[train_id] = raw_ids[0]
        object.__setattr__(self, "_to_train", to_train)
        object.__setattr__(self, "_to_raw", to_raw)

    @property
    def num_classes(self) -> int:
        """Number of classes; ignored points are not one of them."""
        return len(self.class_names)

    def to_train(self, raw: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint8]:
        """Return train ids [N] of raw labels [N]; the upper 16 bits (the instance) are dropped.

        Raises:
            DataError: if a raw id is in neither a class nor `ignored_raw_ids`.
        """
        semantic = (raw & np.uint32(0xFFFF)).astype(np.uint16)
        train = self._to_train[semantic]
        if train.size and int(train.min()) == _UNKNOWN:
            unknown, counts = np.unique(semantic[train == _UNKNOWN], return_counts=True)
            pairs = zip(unknown[:5], counts[:5])  # noqa: B905 - Python 3.8
            found = ", ".join(f"{raw_id} ({count} points)" for raw_id, count in pairs)
            raise DataError(
                f"Unknown label id: {found}. Expected one of the ids in the label map {self.name!r}; "
                "add the id to one of its classes or to its ignored_raw_ids."
            )
        return train.astype(np.uint8)

    def to_raw(self, train: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint32]:
        """Return the first raw id of each train id [N]; 255 becomes 0."""
        return self._to_raw[train]

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

        Raises:
            DataError: if a key is missing, unknown or of the wrong type, or ids are used twice.
        """
        _check_keys(value, ("name", "ignored_raw_ids", "classes"), "a label map")
        classes: List[Mapping[str, Any]] = list(value["classes"])
        for entry in classes:
            _check_keys(entry, ("name", "raw_ids", "color"), "a class of a label map")
        try:
            return cls(
                name=str(value["name"]),
                class_names=tuple(str(entry["name"]) for entry in classes),
                raw_ids=tuple(_ints(entry["raw_ids"]) for entry in classes),
                ignored_raw_ids=_ints(value["ignored_raw_ids"]),
                colors=tuple(_color(entry["color"]) for entry in classes),
            )
        except (TypeError, ValueError) as error:
            raise DataError(
                f"The label map {value['name']!r} holds a value of the wrong type: {error}"
            ) from error


def load_label_map(name_or_path: Union[str, Path]) -> LabelMap:
    """Return a label map that ships with hwnas, by name, or one from a YAML file.

    Raises:
        DataError: if there is no such map or file, or its content is not a label map.
    """
    import yaml

    path = Path(name_or_path)
    if path.suffix not in (".yaml", ".yml"):
        path = LABEL_MAP_DIRECTORY / f"{name_or_path}.yaml"
    if not path.is_file():
        known = sorted(file.stem for file in LABEL_MAP_DIRECTORY.glob("*.yaml"))
        raise DataError(
            f"There is no label map {str(name_or_path)!r}; known are {known} and paths of YAML files."
            + did_you_mean(str(name_or_path), known)
        )
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise DataError(f"The label map {path} is not YAML: {error}") from error
    return LabelMap.from_json(content)


def _check_keys(value: Any, keys: Sequence[str], what: str) -> None:
    if not isinstance(value, Mapping):
        raise DataError(f"Expected {what} with the keys {list(keys)}, found {value!r}.")
    if set(value) != set(keys):
        raise DataError(
            f"Expected {what} with the keys {list(keys)}, found the keys {sorted(map(str, value))}."
        )


def _ints(values: Sequence[Any]) -> Tuple[int, ...]:
    return tuple(int(value) for value in values)


def _color(values: Sequence[Any]) -> Color:
    red, green, blue = _ints(values)
    return red, green, blue


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
