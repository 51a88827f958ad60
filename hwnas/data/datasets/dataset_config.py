"""`dataset.yaml`: what people write to say how their own scans are stored.

```yaml
sensor: vlp-32c                # a network is made for one sensor: one that hwnas has a table of, a YAML file
                               # beside this one that describes it, or any other name; `unknown` or null
                               # where nobody knows (default: hdl-64e)
sensor_height_m: 1.85          # above the ground; bundles state it (default: usual for a sensor that we know)
frame: y-forward               # how the axes point: x-forward (x forward, y left, z up; the default),
                               # y-forward (x right, y forward, z up), z-forward (x right, y down, z forward),
                               # or the axes that point forward, left and up, such as "x -y -z"
unit_m: 0.001                  # metres in a unit of the coordinates (here millimetres); default 1
origin_m: [0.8, 0.0, 1.7]      # where the sensor stands in the coordinates of the files: their axes, metres;
                               # default 0 0 0. Recorded in bundles, which read scan files alike
scans: drives/{sequence}/lidar/{scan}.bin     # a pattern, or a list of {points, labels, sequence}
format: bin                    # or pcd, or what a plug-in registers (default: how scans' names end)
format_options: {columns: [x, y, z, intensity, {ring: uint16}], dtype: float32}
intensity_range: [0, 255]      # becomes remission 0..1; values outside are refused
labels: drives/{sequence}/labels/{scan}.label # or `embedded`: a column `label` of the scan file
label_dtype: uint32
label_map: classes.yaml        # a file beside this one, or semantickitti-19, merged-8
splits: {train: ["01", "02"], val: ["03"]}    # by sequence; quoted, since YAML reads 01 as a number
```

Everything has a default; an empty file describes a SemanticKITTI directory.
docs/reference/dataset-yaml.md has every key.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StrictInt,
    StrictStr,
    ValidationError,
    field_validator,
    model_validator,
)

from hwnas.data.datasets.minimal_config import DOCS_PAGE
from hwnas.data.scan_files.frames import MAX_UNIT_M, MIN_UNIT_M, Coordinates, axes_of_frame
from hwnas.data.sensors import load_sensor
from hwnas.errors import DataError
from hwnas.files import is_yaml
from hwnas.text import shown
from hwnas.yaml_files.reading import YamlDocument, path_from, read_yaml
from hwnas.yaml_files.schema_problems import problems_of

EMBEDDED_LABELS = "embedded"
UNKNOWN_SENSOR = "unknown"
"""A name that no table has: beams and field of view are taken from the training scans."""
SPLITS = ("train", "val", "test")
SEMANTICKITTI_SCANS = "sequences/{sequence}/velodyne/{scan}.bin"
SEMANTICKITTI_LABELS = "sequences/{sequence}/labels/{scan}.label"

_MAX_BYTES = 32 << 20
"""A file may list a hundred thousand scans."""

Finite = Annotated[float, Field(allow_inf_nan=False)]
# Files hold lists where these are tuples; everything else must be of the very type.
Sequences = Annotated[tuple[StrictStr, ...], Field(strict=False)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class ScanEntry(_Section):
    """One scan of a list: its file, its label file, and the sequence it belongs to."""

    points: StrictStr
    labels: StrictStr | None = None
    sequence: StrictStr = "all"


class SplitSection(_Section):
    """Sequences of each split."""

    train: Sequences | None = None
    val: Sequences | None = None
    test: Sequences | None = None


class DatasetConfig(_Section):
    """How a data set is stored; see the module's example.

    File names count from the directory of `dataset.yaml`; `~` is the home directory. In patterns,
    `{sequence}` and `{scan}` stand for any text without `/`.
    """

    schema_version: Annotated[StrictInt, Field(ge=1, le=1)] = 1
    name: StrictStr | None = None
    sensor: StrictStr = "hdl-64e"
    sensor_height_m: Annotated[Finite, Field(gt=0, lt=20)] | None = None
    frame: StrictStr = "x-forward"
    unit_m: Annotated[Finite, Field(ge=MIN_UNIT_M, le=MAX_UNIT_M)] = 1.0
    origin_m: Annotated[tuple[Finite, Finite, Finite], Field(strict=False)] = (0.0, 0.0, 0.0)
    scans: StrictStr | Annotated[tuple[ScanEntry, ...], Field(strict=False, fail_fast=True)] = (
        SEMANTICKITTI_SCANS
    )
    format: StrictStr | None = None
    format_options: dict[str, Any] = {}
    intensity_range: Annotated[tuple[Finite, Finite], Field(strict=False)] = (0.0, 1.0)
    labels: StrictStr | None = None
    label_dtype: Literal["uint8", "uint16", "uint32", "int16", "int32", "int64"] = "uint32"
    label_map: StrictStr = "semantickitti-19"
    splits: SplitSection = SplitSection()

    @field_validator("sensor", mode="before")
    @classmethod
    def _named_or_unknown(cls, sensor: Any) -> Any:
        return UNKNOWN_SENSOR if sensor is None else sensor

    @field_validator("frame")
    @classmethod
    def _known_frame(cls, frame: str) -> str:
        axes_of_frame(frame)
        return frame

    @model_validator(mode="after")
    def _check(self) -> DatasetConfig:
        low, high = self.intensity_range
        if low >= high:
            raise ValueError(f"intensity_range is [{low}, {high}]; the first number must be the smaller one")
        if isinstance(self.scans, str):
            if "{scan}" not in self.scans and "{sequence}" not in self.scans:  # one of them, for bags
                raise ValueError(lacks_scan(self.scans))
            if self.labels not in (None, EMBEDDED_LABELS):
                _check_labels_pattern(self.scans, str(self.labels))
        elif self.labels not in (None, EMBEDDED_LABELS):
            raise ValueError(
                "labels is a pattern, but scans is a list: give each scan its own labels there, such as "
                f"{{points: a.bin, labels: a.label}}; see {DOCS_PAGE}"
            )
        return self

    @property
    def coordinates(self) -> Coordinates:
        """What the numbers of the scan files mean."""
        return Coordinates(self.frame, self.unit_m, self.origin_m)

    @property
    def label_pattern(self) -> str | None:
        """The pattern of label files, `embedded`, or None where there are no labels."""
        if self.labels is None and self.scans == SEMANTICKITTI_SCANS:
            return SEMANTICKITTI_LABELS
        return self.labels


def read_dataset_config(path: Path) -> DatasetConfig:
    """Read and check a `dataset.yaml`.

    Raises:
        DataError: if it is not YAML, or a key is unknown or has a wrong value; says which and what is valid.
    """
    document = read_yaml(path, error=DataError, max_bytes=_MAX_BYTES)
    content = {} if document.value is None else document.value
    if not isinstance(content, dict):
        raise DataError(
            f"{path} must hold keys and values, such as 'sensor: hdl-64e'; found {shown(content)}."
        )
    try:
        config = DatasetConfig.model_validate(content)
    except ValidationError as error:
        raise DataError(problems_of(error, DatasetConfig, document=document)) from None
    if is_yaml(config.sensor):
        _refuse_wrong_sensor_file(config.sensor, path, document)
    if is_yaml(config.label_map):
        return config.model_copy(update={"label_map": path_from(config.label_map, path)})
    return config


def _refuse_wrong_sensor_file(name: str, path: Path, document: YamlDocument) -> None:
    where = document.at(("sensor",))
    beside = path.parent / Path(name).expanduser()
    if not beside.is_file():
        raise DataError(
            f"{where}: `sensor` is {shown(name)}: there is no such file {shown(str(beside), 400)}. Paths "
            "count from the file that they stand in; `sensor: unknown` does without a table."
        )
    try:
        load_sensor(beside)
    except DataError as error:
        raise DataError(f"{where}: `sensor` is {shown(name)}, which describes no sensor: {error}") from None


def lacks_scan(pattern: str) -> str:
    """Return what is wrong with a pattern of scans that should contain `{scan}`, and what to write."""
    return (
        f"scans is {shown(pattern)}; a pattern must contain {{scan}} where the names of the scans differ, "
        f"such as {_with_scan(pattern)!r}; see {DOCS_PAGE}"
    )


def _with_scan(pattern: str) -> str:
    """Return an example: what a pattern without `{scan}` most likely is meant to be."""
    above, name = os.path.split(pattern)
    stem, ending = os.path.splitext(name)
    if not ending and stem:  # a directory
        above, ending = os.path.join(above, stem), ".bin"
    return os.path.join(above, "{scan}" + ending) if ending else SEMANTICKITTI_SCANS


def _check_labels_pattern(scans: str, labels: str) -> None:
    for placeholder in ("{sequence}", "{scan}"):
        if (placeholder in scans) != (placeholder in labels):
            raise ValueError(
                f"scans and labels must both contain {placeholder}, or neither, such as "
                f"{SEMANTICKITTI_SCANS!r} and {SEMANTICKITTI_LABELS!r}; found {scans!r} and {labels!r}; "
                f"see {DOCS_PAGE}"
            )
