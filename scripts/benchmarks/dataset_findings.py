#!/usr/bin/env python
"""Which mistakes in data sets `hwnas data info` finds, whether its remedy mends them, and false findings.

For every sensor and seed a small synthetic data set is made, then one of each kind of mistake is put into it.
`found`: the kind of finding is among errors and warnings. `mended`: the suggested `dataset.yaml` states what
was done (unit and axes exactly, origin to 0.15 m, sensor by name) and no finding is left; `-` where no
`dataset.yaml` can mend it. `false`: findings that the mistake does not explain, and all of right data sets.

    .venv/bin/python scripts/benchmarks/dataset_findings.py --seeds 2
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from hwnas.data.datasets.dataset import find_config, open_dataset
from hwnas.data.inspection.inspection import inspect_source
from hwnas.data.inspection.suggestion import suggested_config
from hwnas.data.scan_files.frames import Coordinates, axes_of_frame
from hwnas.data.synthetic import synthesize_dataset

SENSORS = ("hdl-64e", "vlp-16", "vlp-32c", "os1-64", "pandar64", "hdl-32e")
_ORIGIN_TOLERANCE_M = 0.15
Change = Callable[[np.ndarray, int], np.ndarray]


@dataclass(frozen=True)
class Mistake:
    """One kind of mistake.

    Attributes:
        kinds: findings that it may cause; the first must be found.
        change: turns records [N, columns] of the number-th scan of its sequence into wrong ones.
        coordinates: that the suggestion must state; None if it cannot mend the mistake.
        config: keys of `dataset.yaml` that are part of the mistake.
    """

    kinds: tuple[str, ...]
    change: Change = lambda values, number: values
    coordinates: Coordinates | None = None
    config: tuple[tuple[str, Any], ...] = ()


def _stored(coordinates: Coordinates) -> Change:
    columns, signs = axes_of_frame(coordinates.frame)

    def change(values: np.ndarray, number: int) -> np.ndarray:
        del number
        axes = np.empty((len(values), 3))
        axes[:, columns] = values[:, :3] * np.asarray(signs)
        axes = (axes + np.asarray(coordinates.origin_m)) / coordinates.unit_m
        return np.column_stack([axes, values[:, 3:]])

    return change


def _moved(step: Sequence[float], start: Sequence[float]) -> Change:
    def change(values: np.ndarray, number: int) -> np.ndarray:
        return np.column_stack([values[:, :3] + start + np.multiply(step, number), values[:, 3:]])

    return change


def _merged(values: np.ndarray, number: int) -> np.ndarray:
    del number
    other = values * np.r_[-1, 1, np.ones(values.shape[1] - 2)]  # another scene: the mirror image
    left, right = values.copy(), other
    left[:, 1] += 0.6
    right[:, 1] -= 0.6
    return np.concatenate([left, right])


def _with_intensity(function: Callable[[np.ndarray], np.ndarray]) -> Change:
    def change(values: np.ndarray, number: int) -> np.ndarray:
        del number
        return np.column_stack([values[:, :3], function(values[:, 3]), values[:, 4:]])

    return change


def _mistakes(sensor: str) -> dict[str, Mistake]:
    other = "vlp-16" if sensor != "vlp-16" else "hdl-64e"
    coordinates = {
        "origin on the ground": (Coordinates(origin_m=(1.2, 0.1, 1.7)), ("origin",)),
        "origin 0.8 m ahead": (Coordinates(origin_m=(0.8, 0.0, 0.0)), ("origin",)),
        "millimetres": (Coordinates(unit_m=0.001), ("unit",)),
        "centimetres": (Coordinates(unit_m=0.01), ("unit",)),
        "feet": (Coordinates(unit_m=0.3048), ("unit",)),
        "z down": (Coordinates("x -y -z"), ("axes",)),
        "camera axes": (Coordinates("z-forward"), ("axes",)),
        "axes z x y": (Coordinates("z x y"), ("axes",)),
        "y forward": (Coordinates("y-forward"), ("heading",)),
        "far, fixed origin": (Coordinates(origin_m=(8_200.0, 15_600.0, 310.0)), ("origin",)),
        "y forward, mm, ground": (
            Coordinates("y-forward", 0.001, (0.1, 1.2, 1.7)),
            ("unit", "origin", "heading"),
        ),
    }
    found = {name: Mistake(kinds, _stored(one), one) for name, (one, kinds) in coordinates.items()}
    found["UTM, moving"] = Mistake(
        ("world-frame", "precision", "origin", "sensor", "height", "tilt", "turn"),
        _moved((3.0, 1.0, 0.0), (450_000.0, 5_400_000.0, 310.0)),
    )
    found["world frame"] = Mistake(("world-frame", "turn"), _moved((3.0, 1.0, 0.0), (0, 0, 0)))
    found["two lidars merged"] = Mistake(("merged", "turn"), _merged)
    found["wrong sensor name"] = Mistake(
        ("sensor", "height"), coordinates=Coordinates(), config=(("sensor", other),)
    )
    found["constant intensity"] = Mistake(("constant-intensity",), _with_intensity(np.zeros_like))
    found["0..255 stated, 0..1 stored"] = Mistake(
        ("intensity-range",), coordinates=Coordinates(), config=(("intensity_range", [0.0, 255.0]),)
    )
    return found


@dataclass(frozen=True)
class Outcome:
    """What became of one data set; `is_mended` is None where nothing can mend it."""

    mistake: str
    sensor: str
    is_found: bool
    is_mended: bool | None
    false_kinds: tuple[str, ...]


def _examine(plain: Path, sensor: str, name: str, mistake: Mistake | None) -> Outcome:
    """Put a mistake into a copy of a data set and look at it; None looks at the data set as it is."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "scans"
        shutil.copytree(plain, path)
        config = yaml.safe_load((path / "dataset.yaml").read_text())
        config["sensor"] = sensor
        if mistake is not None:
            config.update(dict(mistake.config))
            columns = len(config.get("format_options", {}).get("columns", "1234"))
            _put_in(path, mistake.change, columns)
        (path / "dataset.yaml").write_text(yaml.safe_dump(config))
        if mistake is not None and name in ("constant intensity", "two lidars merged"):
            _forget_labels(path, config)
        source = open_dataset(path)
        found = inspect_source(source)
        kinds = {finding.kind for finding in found.findings if finding.severity != "note"}
        allowed = set() if mistake is None else set(mistake.kinds)
        is_mended = None
        if mistake is not None and mistake.coordinates is not None:
            text = suggested_config(source, find_config(path)[1], found.geometry, found.findings)
            (path / "dataset.yaml").write_text(text)
            is_mended = _is_mended(path, mistake.coordinates, sensor)
        is_found = mistake is None or mistake.kinds[0] in kinds
        return Outcome(name, sensor, is_found, is_mended, tuple(sorted(kinds - allowed)))


def _put_in(path: Path, change: Change, columns: int) -> None:
    for sequence in sorted((path / "sequences").iterdir()):
        for number, file in enumerate(sorted((sequence / "velodyne").iterdir())):
            values = np.fromfile(file, "<f4").reshape(-1, columns).astype(np.float64)
            change(values, number).astype("<f4").tofile(file)


def _forget_labels(path: Path, config: dict[str, Any]) -> None:
    """Leave labels out where they no longer belong to the points."""
    for labels in path.glob("sequences/*/labels"):
        shutil.rmtree(labels)
    config = {**config, "splits": {"test": [one.name for one in sorted((path / "sequences").iterdir())]}}
    (path / "dataset.yaml").write_text(yaml.safe_dump(config))


def _is_mended(path: Path, wanted: Coordinates, sensor: str) -> bool:
    source = open_dataset(path)
    stated = source.coordinates
    left = [finding for finding in inspect_source(source).findings if finding.severity != "note"]
    apart_m = np.abs(np.subtract(stated.origin_m, wanted.origin_m)).max()
    return (
        not left
        and source.sensor == sensor
        and axes_of_frame(stated.frame) == axes_of_frame(wanted.frame)
        and bool(np.isclose(stated.unit_m, wanted.unit_m))
        and bool(apart_m <= _ORIGIN_TOLERANCE_M)
    )


def _all_of(job: tuple[str, int, str]) -> list[Outcome]:
    sensor, seed, directory = job
    plain = synthesize_dataset(
        Path(directory) / f"{sensor}-{seed}", scans=4, sensor=sensor, seed=seed, scans_per_scene=2
    )
    outcomes = [_examine(plain, sensor, "none (right)", None)]
    outcomes += [_examine(plain, sensor, name, mistake) for name, mistake in _mistakes(sensor).items()]
    return outcomes


def _real(shared: Path) -> list[str]:
    """Return a table of what is found in real scans, as they are."""
    sets = {
        "HDL-64E (SemanticKITTI)": (shared / "kitti", {}),
        "HDL-32E (nuScenes)": (
            shared / "hdl32e",
            {
                "sensor": "hdl-32e",
                "intensity_range": [0, 255],
                "format_options": {"columns": ["x", "y", "z", "intensity", "ring"]},
            },
        ),
        "Pandar64 (PandaSet), named hdl-64e": (shared / "pandaset", {"intensity_range": [0, 255]}),
        "Pandar64 (PandaSet)": (shared / "pandaset", {"sensor": "pandar64", "intensity_range": [0, 255]}),
    }
    lines = [
        "| real scans | scans | beams meet at, m | sensor above ground, m | found |",
        "|---|---|---|---|---|",
    ]
    for name, (path, config) in sets.items():
        if not (path / "sequences").is_dir():
            lines.append(f"| {name} | - | - | - | not on this machine |")
            continue
        lines.append(_real_line(name, path, config))
    return lines


def _real_line(name: str, path: Path, config: dict[str, Any]) -> str:
    with tempfile.TemporaryDirectory() as directory:
        (Path(directory) / "sequences").symlink_to(path / "sequences")
        if (path / "label_map.yaml").is_file():
            shutil.copy(path / "label_map.yaml", directory)
            config = {**config, "label_map": "label_map.yaml"}
        config = {**config, "labels": "sequences/{sequence}/labels/{scan}.label"}
        (Path(directory) / "dataset.yaml").write_text(yaml.safe_dump(config))
        found = inspect_source(open_dataset(directory))
        geometry = found.geometry
        kinds = ", ".join(
            f"{finding.kind} {dict(finding.settings) or ''}".strip()
            for finding in found.findings
            if finding.severity != "note"
        )
        place = height = "-"
        if geometry is not None and geometry.origin_m is not None:
            place = "{:.2f} {:.2f} {:.2f}".format(*geometry.origin_m)
        if geometry is not None and geometry.sensor_height_m is not None:
            height = f"{geometry.sensor_height_m:.2f}"
        return f"| {name} | {found.num_scans} | {place} | {height} | {kinds or 'nothing'} |"


def main() -> None:
    """Print two tables as Markdown."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--sensors", nargs="+", default=list(SENSORS))
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--real", type=Path, help="directory with kitti, hdl32e and pandaset")
    options = parser.parse_args()
    outcomes: list[Outcome] = []
    with tempfile.TemporaryDirectory() as directory:
        jobs = [(sensor, seed, directory) for seed in range(options.seeds) for sensor in options.sensors]
        with ProcessPoolExecutor(options.workers) as pool:
            for number, found in enumerate(pool.map(_all_of, jobs), start=1):
                outcomes += found
                print(f"{number} of {len(jobs)} data sets", file=sys.stderr)
    print("\n".join(_table(outcomes)))
    if options.real is not None:
        print()
        print("\n".join(_real(options.real)))


def _table(outcomes: Sequence[Outcome]) -> list[str]:
    by_mistake: dict[str, list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        by_mistake[outcome.mistake].append(outcome)
    lines = [
        "| mistake | data sets | found | mended | false findings | missed or not mended |",
        "|---|---|---|---|---|---|",
    ]
    for name, found in by_mistake.items():
        mended = [one for one in found if one.is_mended is not None]
        false = [f"{one.sensor}: {', '.join(one.false_kinds)}" for one in found if one.false_kinds]
        num_found = sum(one.is_found for one in found)
        missed = [one.sensor for one in found if not one.is_found or one.is_mended is False]
        lines.append(
            f"| {name} | {len(found)} | {num_found if name != 'none (right)' else '-'} | "
            f"{sum(bool(one.is_mended) for one in mended) if mended else '-'} | {'; '.join(false) or 0} | "
            f"{', '.join(missed) or '-'} |"
        )
    return lines


if __name__ == "__main__":
    main()
