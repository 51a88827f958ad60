"""`dataset.yaml`: what people write to say how their own scans are stored.

```yaml
sensor: vlp-32c                # a network is made for one sensor: one that hwnas has a table of, a YAML file
                               # beside this one that describes it, or any other name
sensor_height_m: 1.85          # above the ground; bundles state it (default: usual for a sensor that we know)
frame: y-forward               # how the axes point: x-forward (x forward, y left, z up; the default),
                               # y-forward (x right, y forward, z up), z-forward (x right, y down, z forward)
scans: drives/{sequence}/lidar/{scan}.bin     # a pattern, or a list of {points, labels, sequence}
format: bin                    # or pcd, or what a plug-in registers
format_options: {columns: [x, y, z, intensity, {ring: uint16}], dtype: float32}
intensity_range: [0, 255]      # becomes remission 0..1; values outside are refused
labels: drives/{sequence}/labels/{scan}.label # or `embedded`: a column `label` of the scan file
label_dtype: uint32
label_map: classes.yaml        # a file beside this one, or semantickitti-19, merged-8
splits: {train: ["01", "02"], val: ["03"]}    # by sequence; quoted, since YAML reads 01 as a number
```

Everything has a default; an empty file describes a SemanticKITTI directory.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, StrictStr, ValidationError, model_validator
from pydantic_core import ErrorDetails

from hwnas.errors import DataError, did_you_mean

CONFIG_NAME = "dataset.yaml"
EMBEDDED_LABELS = "embedded"
SPLITS = ("train", "val", "test")
SEMANTICKITTI_SCANS = "sequences/{sequence}/velodyne/{scan}.bin"
SEMANTICKITTI_LABELS = "sequences/{sequence}/labels/{scan}.label"

Frame = Literal["x-forward", "y-forward", "z-forward"]
Finite = Annotated[float, Field(allow_inf_nan=False)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ScanEntry(_Section):
    """One scan of a list: its file, its label file, and the sequence it belongs to."""

    points: StrictStr
    labels: StrictStr | None = None
    sequence: StrictStr = "all"


class SplitSection(_Section):
    """Sequences of each split."""

    train: tuple[StrictStr, ...] | None = None
    val: tuple[StrictStr, ...] | None = None
    test: tuple[StrictStr, ...] | None = None


class DatasetConfig(_Section):
    """How a data set is stored; see the module's example.

    File names count from the directory of `dataset.yaml`. In patterns, `{sequence}` and `{scan}`
    stand for any text without `/`.
    """

    schema_version: Literal[1] = 1
    name: StrictStr | None = None
    sensor: StrictStr = "hdl-64e"
    sensor_height_m: Annotated[Finite, Field(gt=0, lt=20)] | None = None
    frame: Frame = "x-forward"
    scans: StrictStr | tuple[ScanEntry, ...] = SEMANTICKITTI_SCANS
    format: StrictStr = "bin"
    format_options: dict[str, Any] = {}
    intensity_range: tuple[Finite, Finite] = (0.0, 1.0)
    labels: StrictStr | None = None
    label_dtype: Literal["uint8", "uint16", "uint32", "int16", "int32", "int64"] = "uint32"
    label_map: StrictStr = "semantickitti-19"
    splits: SplitSection = SplitSection()

    @model_validator(mode="after")
    def _check(self) -> DatasetConfig:
        low, high = self.intensity_range
        if low >= high:
            raise ValueError(f"intensity_range is [{low}, {high}]; the first number must be the smaller one")
        if isinstance(self.scans, str):
            if "{scan}" not in self.scans:
                raise ValueError(f"scans is {self.scans!r}; a pattern must contain {{scan}}")
            if self.labels not in (None, EMBEDDED_LABELS):
                _check_labels_pattern(self.scans, str(self.labels))
        elif self.labels not in (None, EMBEDDED_LABELS):
            raise ValueError("labels is a pattern, but scans is a list: give each scan its own labels there")
        return self

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
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise DataError(f"{path} is not YAML: {error}") from error
    if content is None:
        content = {}
    if not isinstance(content, dict):
        raise DataError(f"{path} must hold keys and values, such as 'sensor: hdl-64e'; found {content!r}.")
    try:
        return DatasetConfig.model_validate(content)
    except ValidationError as error:
        problems = "\n".join(f"  - {_explain(detail)}" for detail in error.errors())
        raise DataError(f"{path} is not a valid description of a data set:\n{problems}") from error


def _check_labels_pattern(scans: str, labels: str) -> None:
    for placeholder in ("{sequence}", "{scan}"):
        if (placeholder in scans) != (placeholder in labels):
            raise ValueError(f"scans and labels must both contain {placeholder}, or neither")


def _explain(detail: ErrorDetails) -> str:
    where = ".".join(str(part) for part in detail["loc"] if part not in {"str", "tuple[ScanEntry, ...]"})
    if detail["type"] == "extra_forbidden":
        key = str(detail["loc"][-1])
        known = _known_keys(detail["loc"][:-1])
        return f"unknown key {where!r}; valid keys are {known}.{did_you_mean(key, known)}"
    message = detail["msg"].removeprefix("Value error, ")
    if detail["loc"] and detail["loc"][0] == "splits" and isinstance(detail["input"], int):
        message += '; write sequence names in quotes, such as "01"'
    return f"{where}: {message} (found {detail['input']!r})" if where else message


def _known_keys(location: tuple[int | str, ...]) -> list[str]:
    sections: dict[str, type[_Section]] = {"splits": SplitSection, "scans": ScanEntry}
    section = sections.get(str(location[0]), DatasetConfig) if location else DatasetConfig
    return list(section.model_fields)
