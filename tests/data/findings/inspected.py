"""Inspections of data sets, checked to be plain JSON."""

from __future__ import annotations

import json
from pathlib import Path

from hwnas.data.datasets.dataset import find_config, open_dataset
from hwnas.data.inspection.dataset_report import DatasetReport
from hwnas.data.inspection.inspection import Inspection, inspect_source
from hwnas.data.inspection.suggestion import suggested_config
from hwnas.data.scan_files.frames import Coordinates
from tests.data.scenes import Transform, in_file


def inspect(path: Path) -> Inspection:
    found = inspect_source(open_dataset(path))
    json.dumps(DatasetReport.of(open_dataset(path), found, find_config(path)[1]).to_json(), allow_nan=False)
    return found


def severe(found: Inspection) -> set[str]:
    return {finding.kind for finding in found.findings if finding.severity != "note"}


def suggest(path: Path, found: Inspection) -> str:
    return suggested_config(open_dataset(path), find_config(path)[1], found.geometry, found.findings)


def stored_as(coordinates: Coordinates) -> Transform:
    return lambda points, number: in_file(points, coordinates)
