"""Data sets of synthetic scans in the layout of SemanticKITTI."""

from __future__ import annotations

import os
from concurrent.futures import as_completed
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

import numpy as np

from hwnas.data import CONFIG_NAME
from hwnas.data.sensors import Sensor, load_sensor, sensor_names
from hwnas.data.synthetic.presets import PRESETS
from hwnas.data.synthetic.scene import preset_of
from hwnas.data.synthetic.scene import scans as scans_of_scene
from hwnas.errors import ConfigError, DataError, did_you_mean
from hwnas.files import write_bytes
from hwnas.progress import CountStatus, Listener
from hwnas.scratch import ScratchDirectory
from hwnas.worker_pool import worker_pool
from hwnas.yaml_files.writing import dump_yaml

_MAX_SEQUENCES = 20
_VALIDATION_SHARE = 0.22
# Beams above this may see nothing but sky; then nobody can tell which of the beams are those that do see.
_RING_COLUMN_ABOVE_DEG = 5.0


MAX_EXTINCTION_PER_M = 0.5
"""Above it nothing comes back from more than a few metres."""
_MAX_HEIGHT_M = 20.0


@dataclass(frozen=True)
class Conditions:
    """Where and how synthetic scans are taken.

    Attributes:
        place: kind of place, one of `PRESETS`; None for all in turn.
        height_m: height of the sensor above the road, above 0 and below 20; None for that of its table.
        extinction_per_m: extinction coefficient of the air, 0 to 0.5: 0 is clear; fog in which one sees V
            metres far has about 3 / V (the meteorological optical range: 5 % of the light is left).
    """

    place: Optional[str] = None
    height_m: Optional[float] = None
    extinction_per_m: float = 0.0

    def __post_init__(self) -> None:
        """Check all of them.

        Raises:
            ConfigError: naming what is wrong, what it may be and what it is.
        """
        if self.place is not None and self.place not in PRESETS:
            raise ConfigError(
                f"place: expected one of {sorted(PRESETS)}, found {self.place!r}."
                f"{did_you_mean(self.place, list(PRESETS))}"
            )
        if self.height_m is not None and not 0 < self.height_m < _MAX_HEIGHT_M:
            raise ConfigError(
                f"height_m: expected metres above 0 and below {_MAX_HEIGHT_M:g}, found {self.height_m}; give "
                "the height of the sensor above the road"
            )
        if not 0 <= self.extinction_per_m <= MAX_EXTINCTION_PER_M:
            raise ConfigError(
                f"extinction_per_m: expected 0 to {MAX_EXTINCTION_PER_M:g}, found {self.extinction_per_m}; "
                "fog in which one sees V metres far has about 3 / V"
            )

    def mounted(self, sensor: Sensor) -> Sensor:
        """Return a sensor at this height."""
        return sensor if self.height_m is None else replace(sensor, height_m=self.height_m)


@dataclass(frozen=True)
class _Job:
    """One scene to render: where its scans go and what decides them."""

    directory: str
    sensor: str
    conditions: Conditions
    seed: int
    scene: int
    sequence: str
    first_frame: int
    count: int

    def load_sensor(self) -> Sensor:
        """Return the sensor, mounted as the conditions say."""
        return self.conditions.mounted(load_sensor(self.sensor))


def synthesize_dataset(
    directory: str | os.PathLike[str],
    *,
    scans: int = 100,
    sensor: str = "hdl-64e",
    scans_per_scene: int = 5,
    seed: int = 0,
    place: Optional[str] = None,
    height_m: Optional[float] = None,
    extinction_per_m: float = 0.0,
    workers: int = 1,
    progress: Optional[Listener[CountStatus]] = None,
) -> Path:
    """Write a data set of labelled synthetic scans that `open_dataset` reads.

    Scan files hold x, y, z and remission as float32 like those of SemanticKITTI. For sensors that look far
    up, whose top beams may have no point at all, a fifth column holds the ring. A sensor file is copied into
    the data set, whose description names it.

    The bytes depend on the arguments except `workers`. A sequence holds the scans of one or several whole
    scenes, so no scene is in both splits; about the last fifth of the sequences is the split `val`.

    Args:
        directory: the directory to write to; must not exist or be an empty directory.
        scans: how many in all, at least 1.
        sensor: name of a sensor of `hwnas.data.sensors`, or a sensor YAML file.
        seed: decides every scene, >= 0.
        scans_per_scene: scans along the way through one scene, at least 1.
        place: kind of place, see `Conditions`; None for all in turn.
        height_m: height of the sensor above the road; None for that of its table.
        extinction_per_m: extinction coefficient of the air, see `Conditions`.
        workers: processes that draw scenes; 1 draws in this process.
        progress: is told how many scans are written.

    Returns:
        `directory`.

    Raises:
        ConfigError: for numbers out of range.
        DataError: if `directory` holds something already, or the sensor is unknown.
    """
    for name, value, least in (
        ("scans", scans, 1),
        ("scans_per_scene", scans_per_scene, 1),
        ("workers", workers, 1),
        ("seed", seed, 0),
    ):
        if value < least:
            raise ConfigError(f"{name}: expected at least {least}, found {value}; choose a larger number")
    directory = Path(directory)
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise DataError(
            f"{directory}: expected a new or empty directory, found files; name another or remove it"
        )
    conditions = Conditions(place, height_m, extinction_per_m)
    used = load_sensor(sensor)
    directory.parent.mkdir(parents=True, exist_ok=True)
    with ScratchDirectory("synthesize", parent=str(directory.parent)) as scratch:
        temporary = Path(scratch, "result")
        temporary.mkdir()  # the one around it is private; a result is as readable as any other of the user
        jobs = _jobs(temporary, scans, sensor, conditions, seed, scans_per_scene)
        _run(jobs, workers, progress)
        _describe(temporary, jobs, used, copied_sensor(sensor, temporary) or used.name)
        os.replace(temporary, directory)
    return directory


def _jobs(
    directory: Path, num_scans: int, sensor: str, conditions: Conditions, seed: int, scans_per_scene: int
) -> List[_Job]:
    # Two scenes at least, so that there is something to validate on.
    per_scene = min(scans_per_scene, -(-num_scans // 2))
    scenes = -(-num_scans // per_scene)
    sequences = min(scenes, _MAX_SEQUENCES)
    jobs: List[_Job] = []
    frames = [0] * sequences
    for scene in range(scenes):
        number = scene * sequences // scenes
        count = min(per_scene, num_scans - scene * per_scene)
        sequence = f"{number:02d}"
        jobs.append(_Job(str(directory), sensor, conditions, seed, scene, sequence, frames[number], count))
        frames[number] += count
    for sequence in sorted({job.sequence for job in jobs}):
        for part in ("velodyne", "labels"):
            (directory / "sequences" / sequence / part).mkdir(parents=True)
    return jobs


def _run(jobs: List[_Job], workers: int, progress: Optional[Listener[CountStatus]]) -> None:
    done, wanted = 0, sum(job.count for job in jobs)
    report = progress or (lambda _: None)
    if workers == 1:
        for job in jobs:
            done += _render(job)
            report(CountStatus(done, wanted))
        return
    with worker_pool(min(workers, len(jobs))) as pool:
        for future in as_completed([pool.submit(_render, job) for job in jobs]):
            done += future.result()
            report(CountStatus(done, wanted))


def _render(job: _Job) -> int:
    """Draw one scene and write its scans; the scene's own seed makes it independent of all others."""
    rng = np.random.default_rng([job.seed, job.scene])
    sequence = Path(job.directory) / "sequences" / job.sequence
    sensor, conditions = job.load_sensor(), job.conditions
    preset = preset_of(job.scene) if conditions.place is None else PRESETS[conditions.place]
    drawn = scans_of_scene(preset, rng, sensor, job.count, extinction_per_m=conditions.extinction_per_m)
    for k, returns in enumerate(drawn):
        columns = [returns.points, returns.remission[:, None]]
        if _has_ring_column(sensor):
            columns.append(returns.ring[:, None].astype(np.float32))
        frame = f"{job.first_frame + k:06d}"
        points = np.concatenate(columns, axis=1).astype("<f4")
        write_bytes(sequence / "velodyne" / f"{frame}.bin", points.tobytes())
        write_bytes(sequence / "labels" / f"{frame}.label", returns.label.astype("<u4").tobytes())
    return job.count


def _has_ring_column(sensor: Sensor) -> bool:
    return sensor.is_rotating and sensor.elevation_deg[0] > _RING_COLUMN_ABOVE_DEG


def copied_sensor(sensor: str, directory: Path) -> Optional[str]:
    """Copy the file of a sensor that does not come with hwnas into the data set; return its name there."""
    if sensor in sensor_names():
        return None
    source = Path(sensor)
    name = source.name if source.name != CONFIG_NAME else f"sensor-{source.name}"
    write_bytes(directory / name, source.read_bytes())
    return name


def _describe(directory: Path, jobs: List[_Job], sensor: Sensor, named: str) -> None:
    sequences = sorted({job.sequence for job in jobs})
    validation = 0 if len(sequences) == 1 else max(1, round(_VALIDATION_SHARE * len(sequences)))
    cut = len(sequences) - validation
    splits = {"train": sequences[:cut], "val": sequences[cut:]}
    description: Dict[str, Any] = {
        "schema_version": 1,
        "name": f"synthetic driving scenes, {_in_words(jobs[0])}",
        "sensor": named,
        "label_map": "semantickitti-19",
        "intensity_range": [0.0, 1.0],
        "splits": {split: members for split, members in splits.items() if members},
    }
    height_m = jobs[0].conditions.height_m
    if height_m is not None:
        description["sensor_height_m"] = height_m
    if _has_ring_column(sensor):
        description["format_options"] = {"columns": ["x", "y", "z", "intensity", "ring"]}
    text = dump_yaml(description)
    write_bytes(directory / CONFIG_NAME, text.encode("utf-8"))


def _in_words(job: _Job) -> str:
    conditions = job.conditions
    parts: Tuple[str, ...] = (f"seed {job.seed}",)
    if conditions.place is not None:
        parts += (conditions.place,)
    if conditions.height_m is not None:
        parts += (f"{conditions.height_m:g} m above the road",)
    if conditions.extinction_per_m:
        parts += (f"extinction {conditions.extinction_per_m:g} per metre",)
    return ", ".join(parts)
