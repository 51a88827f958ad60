"""Files of families: `FAMILY.yaml`.

One of three sections says what the members are::

    synthetic:                      # drawn when they are needed
      sensors: [os1-64, pandar64]   # of `hwnas data synthesize`, or files of sensors; all if left out
      places: [urban, rural]        # residential, urban, rural, motorway; all if left out
      heights_m: [null, 2.4]        # null: as usual for the sensor
      extinctions_per_m: [0, 0.02]  # 0: clear air; fog in which one sees V metres far has about 3 / V
      members: 24                   # of all combinations; null: all
      scans: 12                     # of each member
      seed: 0
      directory: scans              # FAMILY-scans beside the file if left out
    held_out: [os1-64-*]            # names of members that learning never sees, `*` stands for anything

    sequences:                      # every sequence of a data set is a place
      data: kitti
      names: ["00", "01", "02"]     # all that have labels if left out
    held_out: ["02"]

    data_sets:                      # each a task of its own
      - {name: ours, data: ours}
      - {name: pandaset, data: pandaset, settings: {height: 64}}
      - {name: theirs, data: theirs}
    held_out: [theirs]

`label_map: merged-8` gives all members one label map: the network tells the same classes apart in all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from hwnas.data.datasets.dataset import open_dataset
from hwnas.data.sensors import sensor_names
from hwnas.data.synthetic.dataset import MAX_EXTINCTION_PER_M
from hwnas.data.synthetic.presets import PRESETS
from hwnas.errors import ConfigError, DataError, did_you_mean
from hwnas.files import is_yaml
from hwnas.tasks.families.family import FamilyMember, TaskFamily
from hwnas.tasks.families.synthetic_members import crossed
from hwnas.text import shown
from hwnas.yaml_files.reading import YamlDocument, path_from, read_yaml
from hwnas.yaml_files.schema_problems import problems_of

Place = Literal["residential", "urban", "rural", "motorway"]
Height = Annotated[float, Field(gt=0, lt=20, allow_inf_nan=False)]
Extinction = Annotated[float, Field(ge=0, le=MAX_EXTINCTION_PER_M, allow_inf_nan=False)]
KINDS = ("synthetic", "sequences", "data_sets")


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class SyntheticSection(_Section):
    """Members that are drawn, see `hwnas.tasks.families.synthetic_members.crossed`."""

    sensors: Annotated[list[str], Field(min_length=1)] = list(sensor_names())
    places: Annotated[list[Place], Field(min_length=1)] = list(PRESETS)  # type: ignore[arg-type]
    heights_m: Annotated[list[Height | None], Field(min_length=1)] = [None]
    extinctions_per_m: Annotated[list[Extinction], Field(min_length=1)] = [0.0]
    members: Annotated[int, Field(ge=1)] | None = 24
    scans: Annotated[int, Field(ge=4)] = 12
    seed: Annotated[int, Field(ge=0)] = 0
    directory: str | None = None


class SequencesSection(_Section):
    """Members that are sequences of one data set."""

    data: str
    names: Annotated[list[str], Field(min_length=1)] | None = None


class DataSetSection(_Section):
    """One member that is a data set."""

    name: Annotated[str, Field(min_length=1)]
    data: str
    settings: dict[str, Any] = {}


class FamilySettings(_Section):
    """What a file of a family holds."""

    schema_version: Annotated[int, Field(ge=1, le=1)] = 1
    name: str | None = None
    label_map: str | None = None
    synthetic: SyntheticSection | None = None
    sequences: SequencesSection | None = None
    data_sets: Annotated[list[DataSetSection], Field(min_length=1)] | None = None
    held_out: Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=1)]

    @model_validator(mode="after")
    def _one_kind(self) -> FamilySettings:
        stated = [kind for kind in KINDS if getattr(self, kind) is not None]
        if len(stated) != 1:
            found = " and ".join(stated) or "none"
            raise ValueError(
                f"exactly one of {', '.join(KINDS)} says what the members are, but found {found}"
            )
        return self


def load_family(path: Path) -> TaskFamily:
    """Read a family; synthetic scans are not drawn yet.

    Raises:
        ConfigError: if the file is missing, not YAML, or a key or value of it is wrong, with its line; if
            members have one name, or a pattern of `held_out` fits none; if fewer than two members are left.
        DataError: if a data set with sequences cannot be used.
    """
    document = read_yaml(path, if_missing="docs/guides/adapting.md shows files of families.")
    if not isinstance(document.value, dict):
        raise ConfigError(
            f"{path} must hold one of the sections {', '.join(KINDS)}, and held_out, but holds "
            f"{shown(document.value)}."
        )
    try:
        settings = FamilySettings.model_validate(document.value)
    except ValidationError as error:
        raise ConfigError(problems_of(error, FamilySettings, document=document)) from None
    return _Reader(path, document, settings).family()


@dataclass(frozen=True)
class _Reader:
    path: Path
    document: YamlDocument
    settings: FamilySettings

    def family(self) -> TaskFamily:
        members = [
            FamilyMember(member.name, {**self._label_map(), **member.settings}, member.scans)
            for member in self._members()
        ]
        names = [member.name for member in members]
        twice = [name for place, name in enumerate(names) if name in names[:place]]
        if twice:
            raise ConfigError(
                f"{self.path}: two members are called {twice[0]!r}; give each a name of its own."
            )
        held_out = self._held_out(names)
        train = tuple(member for member in members if member.name not in held_out)
        if len(train) < 2:
            raise ConfigError(
                f"{self.document.at(('held_out',))}: of {len(names)} members {len(train)} would be left to "
                "learn over, but a family needs at least two. Hold out fewer, or add members."
            )
        name = self.settings.name or self.path.stem
        return TaskFamily(name, train, tuple(member for member in members if member.name in held_out))

    def _held_out(self, names: Sequence[str]) -> set[str]:
        held_out: set[str] = set()
        for place, pattern in enumerate(self.settings.held_out):
            fitting = {name for name in names if fits(name, pattern)}
            if not fitting:
                raise ConfigError(
                    f"{self.document.at(('held_out', place))}: no member is called {shown(pattern)}; there "
                    f"are {', '.join(names[:8])}{' and others' if len(names) > 8 else ''}."
                    f"{did_you_mean(pattern, names)}"
                )
            held_out |= fitting
        return held_out

    def _members(self) -> list[FamilyMember]:
        if self.settings.synthetic is not None:
            return self._synthetic(self.settings.synthetic)
        if self.settings.sequences is not None:
            return self._sequences(self.settings.sequences)
        return [
            self._data_set(one, ("data_sets", place))
            for place, one in enumerate(self.settings.data_sets or ())
        ]

    def _data_set(self, section: DataSetSection, location: tuple[str | int, ...]) -> FamilyMember:
        for key, value in section.settings.items():
            where = self.document.at((*location, "settings", key))
            if key == "data":
                raise ConfigError(f"{where}: `data` stands beside `settings`, not in them.")
            # Which settings are paths, the task says, and what the task is, the run: nothing is guessed here.
            if isinstance(value, str) and not Path(value).is_absolute() and _looks_like_path(value):
                raise ConfigError(
                    f"{where}: {shown(value)} looks like a path, which in `settings` of a member must be "
                    "absolute. A label map of all may stand under `label_map`; it counts from the file."
                )
        data = self._existing(section.data, (*location, "data"))
        return FamilyMember(section.name, {**section.settings, "data": data})

    def _synthetic(self, section: SyntheticSection) -> list[FamilyMember]:
        known = sensor_names()
        for place, sensor in enumerate(section.sensors):
            if sensor not in known and not is_yaml(sensor):
                raise ConfigError(
                    f"{self.document.at(('synthetic', 'sensors', place))}: the sensor {shown(sensor)} is not "
                    f"known; known are {', '.join(known)} and YAML files.{did_you_mean(sensor, known)}"
                )
        scans = crossed(
            sensors=[
                self._existing(sensor, ("synthetic", "sensors", place)) if is_yaml(sensor) else sensor
                for place, sensor in enumerate(section.sensors)
            ],
            places=section.places,
            heights_m=section.heights_m,
            extinctions_per_m=section.extinctions_per_m,
            members=section.members,
            scans=section.scans,
            seed=section.seed,
            directory=Path(path_from(section.directory or f"{self.path.stem}-scans", self.path)),
        )
        return [FamilyMember(one.name, {"data": str(one.directory)}, one) for one in scans]

    def _sequences(self, section: SequencesSection) -> list[FamilyMember]:
        data = self._existing(section.data, ("sequences", "data"))
        source = open_dataset(data, label_map=self._label_map().get("label_map"))
        there = sorted(
            {sequence for split in ("train", "val") for sequence in source.sequences_of.get(split, ())}
        )
        for place, name in enumerate(section.names or ()):
            if name not in there:
                raise DataError(
                    f"{self.document.at(('sequences', 'names', place))}: {data} has no labelled sequence "
                    f"{shown(name)}; it has {there}.{did_you_mean(name, there)}"
                )
        names = section.names or there
        if len(names) < 2:
            raise ConfigError(
                f"{self.document.at(('sequences',))}: {data} has one labelled sequence, {names}; a family of "
                "places needs several."
            )
        # A task has a validation split; that of a place is another place, and learning never looks there.
        return [
            FamilyMember(name, {"data": data, "train_sequences": [name], "val_sequences": [names[place - 1]]})
            for place, name in enumerate(names)
        ]

    def _label_map(self) -> dict[str, str]:
        label_map = self.settings.label_map
        if label_map is None:
            return {}
        return {"label_map": path_from(label_map, self.path) if is_yaml(label_map) else label_map}

    def _existing(self, text: str, location: tuple[str | int, ...]) -> str:
        found = path_from(text, self.path)
        if not Path(found).exists():
            raise ConfigError(
                f"{self.document.at(location)}: {shown(text)} means {shown(found, 400)}: there is no such "
                f"file or directory. Paths count from the file that they stand in, {self.path}."
            )
        return found


def _looks_like_path(text: str) -> bool:
    return is_yaml(text) or text.startswith(("./", "../", "~/"))


def fits(name: str, pattern: str) -> bool:
    """Return whether a name fits a pattern in which `*` stands for any text; all else for itself."""
    first, *rest = pattern.split("*")
    if not rest:
        return name == pattern
    if not name.startswith(first):
        return False
    place = len(first)
    for part in rest[:-1]:  # the first place that fits is the best one
        found = name.find(part, place)
        if found < 0:
            return False
        place = found + len(part)
    return len(name) - place >= len(rest[-1]) and name.endswith(rest[-1])
