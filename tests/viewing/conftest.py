"""The bundle of the small LiDAR, and a data set of its scans."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml

from tests.bundle.small_lidar import LABELS, make_scan
from tests.robotics.conftest import bundle as bundle  # noqa: PLC0414 - a fixture

SEEDS = (0, 1, 2)


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three scans with labels, in the classes of the bundle."""
    path = tmp_path_factory.mktemp("viewing") / "data"
    for part in ("points", "labels"):
        (path / "drive" / part).mkdir(parents=True)
    for seed in SEEDS:
        points, intensity, labels = make_scan(seed)
        np.column_stack([points, intensity]).astype("<f4").tofile(path / f"drive/points/{seed}.bin")
        LABELS.to_raw(labels).astype("<u4").tofile(path / f"drive/labels/{seed}.label")
    classes = {
        "name": "heights",
        "classes": [
            {"name": name, "raw_ids": list(ids), "color": list(color)}
            for name, ids, color in zip(LABELS.class_names, LABELS.raw_ids, LABELS.colors, strict=True)
        ],
        "ignored_raw_ids": list(LABELS.ignored_raw_ids),
    }
    (path / "classes.yaml").write_text(yaml.safe_dump(classes))
    description = {
        "sensor": "unknown",
        "scans": "{sequence}/points/{scan}.bin",
        "labels": "{sequence}/labels/{scan}.label",
        "label_map": "classes.yaml",
        "intensity_range": [0, 255],
    }
    (path / "dataset.yaml").write_text(yaml.safe_dump(description))
    return path
