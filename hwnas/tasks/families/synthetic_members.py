"""Members of families that are drawn: sensors, kinds of places, mounting heights and weather, crossed."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from hwnas.data.synthetic import synthesize_dataset
from hwnas.errors import ConfigError
from hwnas.files import is_yaml, read_checked_json, sha256_of_file, write_checked_json
from hwnas.scratch import ScratchDirectory

_SCANS_PER_SCENE = 2
_STATED = "drawn.json"


@dataclass(frozen=True)
class SyntheticScans:
    """Labelled scans that `synthesize_dataset` draws.

    Attributes:
        directory: where they are, or will be.
        scans: how many.
        seed: of the scenes.
        sensor: that sees them.
        place: kind of place.
        height_m: height of the sensor; None for that of its table.
        extinction_per_m: extinction coefficient of the air.
    """

    directory: Path
    scans: int
    seed: int
    sensor: str
    place: str
    height_m: float | None
    extinction_per_m: float

    @property
    def name(self) -> str:
        """Sensor, place, and what is not as usual, with hyphens between them."""
        height = "" if self.height_m is None else f"-{self.height_m:g}m"
        weather = "" if not self.extinction_per_m else f"-extinction-{self.extinction_per_m:g}"
        return f"{Path(self.sensor).stem}-{self.place}{height}{weather}"

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values of all that decides the scans, wherever they lie."""
        content = {key: value for key, value in asdict(self).items() if key != "directory"}
        if is_yaml(self.sensor):
            content["sensor"] = f"{Path(self.sensor).name} of SHA-256 {sha256_of_file(Path(self.sensor))}"
        return content

    def draw(self, *, workers: int = 1) -> None:
        """Draw the scans, unless they are there.

        Raises:
            ConfigError: if something else lies there.
        """
        kept = self.directory / _STATED
        if kept.is_file():
            self._refuse_others(kept)
            return
        if self.directory.exists():
            raise ConfigError(
                f"{self.directory} is where scans of the family belong, but holds something else. Move it "
                "away, or state another `directory` under `synthetic`."
            )
        self.directory.parent.mkdir(parents=True, exist_ok=True)
        # What tells these scans from others is part of them before they appear under their name.
        with ScratchDirectory("family", parent=str(self.directory.parent)) as scratch:
            drawn = synthesize_dataset(
                Path(scratch, "scans"),
                scans=self.scans,
                sensor=self.sensor,
                scans_per_scene=_SCANS_PER_SCENE,
                seed=self.seed,
                place=self.place,
                height_m=self.height_m,
                extinction_per_m=self.extinction_per_m,
                workers=workers,
            )
            write_checked_json(drawn / _STATED, self.to_json())
            drawn.replace(self.directory)

    def _refuse_others(self, kept: Path) -> None:
        try:
            found = read_checked_json(kept)
        except ValueError as error:
            raise ConfigError(
                f"{kept} is damaged ({error}). Remove {self.directory}; its scans are drawn again."
            ) from error
        if found != self.to_json():
            differing = sorted(key for key, value in self.to_json().items() if found.get(key) != value)
            raise ConfigError(
                f"{self.directory} holds scans of another {' and '.join(differing)} ({found}) than the "
                f"family asks for ({self.to_json()}). Remove it, or state another `directory` under "
                "`synthetic`."
            )


def crossed(
    *,
    sensors: Sequence[str],
    places: Sequence[str],
    heights_m: Sequence[float | None],
    extinctions_per_m: Sequence[float],
    members: int | None,
    scans: int,
    seed: int,
    directory: Path,
) -> Iterator[SyntheticScans]:
    """Yield members with every combination of what is given, or with some that hold all values equally often.

    Args:
        sensors: names, or files of sensors.
        places: kinds of places.
        heights_m: of the sensor above the road; None for that of its table.
        extinctions_per_m: of the air.
        members: how many combinations; None for all.
        scans: of each member.
        seed: of the scenes, and of the choice of combinations; each member has scenes of its own.
        directory: that gets a directory for each member.
    """
    every = list(itertools.product(sensors, places, heights_m, extinctions_per_m))
    order = [int(place) for place in np.random.default_rng([seed, 1]).permutation(len(every))]
    chosen: list[int] = []
    seen: Counter[tuple[int, Any]] = Counter()
    while order and (members is None or len(chosen) < members):
        rarest = min(order, key=lambda place: sum(seen[axis] for axis in enumerate(every[place])))
        order.remove(rarest)
        chosen.append(rarest)
        seen.update(enumerate(every[rarest]))
    for place in sorted(chosen):
        sensor, kind, height_m, extinction_per_m = every[place]
        one = SyntheticScans(
            directory, scans, seed * 100_003 + place, sensor, kind, height_m, extinction_per_m
        )
        yield replace(one, directory=directory / one.name)
