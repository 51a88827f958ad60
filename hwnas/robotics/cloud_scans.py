"""Scans as the rest of hwnas knows them, out of point-cloud messages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields as attributes_of
from typing import Any

import numpy as np
import numpy.typing as npt

from hwnas.data.scan_files.formats import RawScan
from hwnas.errors import DataError, PointCloudError, did_you_mean
from hwnas.robotics.cloud_points import INTENSITY_NAMES, CloudFields, points_of_cloud
from hwnas.robotics.point_cloud2 import PointCloud2
from hwnas.robotics.point_fields import FLOAT32
from hwnas.text import shown

LABEL_NAMES = ("class_id", "label")
CLOUD_OPTIONS = tuple(one.name for one in attributes_of(CloudFields))
"""Keys of format_options that say which fields hold what."""


def cloud_fields_of(options: Mapping[str, Any]) -> CloudFields:
    """Return what format_options say of the fields of clouds; other keys are left to others.

    Raises:
        DataError: if a value is of another kind, or means nothing.
    """
    given = {name: options[name] for name in CLOUD_OPTIONS if options.get(name) is not None}
    for name, value in given.items():
        is_scale = name == "intensity_scale"
        if is_scale and isinstance(value, int | float) and not isinstance(value, bool):
            given[name] = float(value)
        elif is_scale or not isinstance(value, str):
            expected = "a number" if is_scale else "the name of a field"
            raise DataError(f"format_options.{name} is {shown(value)}; expected {expected}.")
    return CloudFields(**given)


def refuse_unknown_options(options: Mapping[str, Any], known: tuple[str, ...], what: str) -> None:
    """Refuse keys of format_options that nobody reads.

    Raises:
        DataError: if there is one.
    """
    for key in options:
        if key not in known:
            raise DataError(
                f"Unknown key {shown(key)} in format_options of {what}; known are {list(known)}."
                f"{did_you_mean(str(key), known)}"
            )


def label_ids_of(cloud: PointCloud2, name: str | None = None) -> npt.NDArray[np.uint32]:
    """Return the label ids [N] that a cloud holds.

    Args:
        cloud: with labels.
        name: of the field; None for the first of `LABEL_NAMES` that is there.

    Raises:
        PointCloudError: if there is no such field, or it holds anything else than whole numbers.
    """
    known = cloud.field_names
    found = name or _usual_label_field(cloud)
    if found is None or found not in known:
        raise PointCloudError(
            f"The cloud has no field with labels (looked for {found or list(LABEL_NAMES)}); it has "
            f"{list(known)}. Name it: `label_field` in format_options."
        )
    column = cloud.column(found)
    if column.ndim != 1 or column.dtype.kind not in "iu" or (len(column) and int(column.min()) < 0):
        raise PointCloudError(
            f"The field {shown(found)} is {column.dtype} {column.shape[1:] or ''}; expected whole numbers, "
            "none negative."
        )
    return column.astype(np.uint32)


def _usual_label_field(cloud: PointCloud2) -> str | None:
    """Return the first of `LABEL_NAMES` with whole numbers; a field of this name may hold anything."""
    is_whole = {one.name: one.datatype < FLOAT32 for one in cloud.fields}
    return next((name for name in LABEL_NAMES if is_whole.get(name, False)), None)


def scan_of_cloud(cloud: PointCloud2, fields: CloudFields, label_field: str | None = None) -> RawScan:
    """Return every point of a cloud, those that are not finite, too: labels belong to all.

    Args:
        cloud: the message.
        fields: which fields hold what.
        label_field: of label ids, if the cloud has one, and no other; None for the usual names.

    Raises:
        PointCloudError: if there is no point, or no intensity.
    """
    found = points_of_cloud(cloud, fields)
    if found.intensity is None:
        raise PointCloudError(
            f"The cloud has no field for the intensity (looked for {list(INTENSITY_NAMES)}); it has "
            f"{list(cloud.field_names)}. Name the field that holds it: `intensity` in format_options."
        )
    label_field = label_field or _usual_label_field(cloud)
    labels = label_ids_of(cloud, label_field) if label_field in cloud.field_names else None
    return RawScan(found.points, found.intensity, found.ring, labels, found.organised, found.time_s)
