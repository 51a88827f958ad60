"""The roads of a scene and the strips beside them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Optional, Tuple

import numpy as np
from numpy.random import Generator

from hwnas.arrays import FloatArray
from hwnas.data.synthetic.presets import Preset


@dataclass(frozen=True)
class Road:
    """A road whose centre line is y = bend * u^2 + sway * sin(u / 23) in a frame turned by `heading`.

    Attributes:
        heading: direction (rad) of growing u in the world.
        shift: distance (m) of the frame's origin from the world's, along +x of the world.
        bend: curvature term, 1/m.
        sway: amplitude of the gentle winding, m.
        half_width: half the width of the carriageway (of each one, if `median` > 0), m.
        median: distance (m) from the centre line to the inner edges of two carriageways; 0 for just one.
        lane_width: width of a lane, m.
    """

    heading: float
    shift: float
    bend: float
    sway: float
    half_width: float
    median: float
    lane_width: float

    @property
    def outer_edge(self) -> float:
        """Distance from the centre line to the outer edge of the road, m."""
        return self.median + 2 * self.half_width if self.median > 0 else self.half_width

    def point(self, u: float, d: float) -> Tuple[float, float, float]:
        """Return (x, y, yaw) in the world of the place `d` metres to the left of the centre line at `u`."""
        slope = 2 * self.bend * u + self.sway / 23 * np.cos(u / 23)
        angle = np.arctan(slope)
        along = u - d * np.sin(angle)
        across = self.bend * u * u + self.sway * np.sin(u / 23) + d * np.cos(angle)
        cosine, sine = np.cos(self.heading), np.sin(self.heading)
        x, y = along * cosine - across * sine + self.shift, along * sine + across * cosine
        return float(x), float(y), float(angle + self.heading)

    def coordinates(self, x: FloatArray, y: FloatArray) -> Tuple[FloatArray, FloatArray]:
        """Return (u, d) of places (x, y): metres along, and metres to the left of the centre line."""
        cosine, sine = np.float32(np.cos(self.heading)), np.float32(np.sin(self.heading))
        dx = x - np.float32(self.shift)
        u = dx * cosine + y * sine
        v = y * cosine - dx * sine
        winding = u * np.float32(1 / 23)
        centre = np.float32(self.bend) * u * u + np.float32(self.sway) * np.sin(winding)
        slope = np.float32(2 * self.bend) * u + np.float32(self.sway / 23) * np.cos(winding)
        return u, np.asarray((v - centre) / np.sqrt(1 + slope * slope), np.float32)

    def edge_distance(self, d: FloatArray) -> FloatArray:
        """Return metres outside the carriageway (negative on it) for lateral positions `d`."""
        if self.median > 0:
            return np.abs(np.abs(d) - np.float32(self.median + self.half_width)) - np.float32(self.half_width)
        return np.abs(d) - np.float32(self.half_width)


@dataclass(frozen=True)
class Bay:
    """A row of parking places along the main road.

    Attributes:
        side: +1 left, -1 right of the main road.
        start: where it begins along the road, m.
        end: where it ends, m.
        width: 2.2 m or so for parking along the road, 5 m for parking across.
    """

    side: int
    start: float
    end: float
    width: float


@dataclass(frozen=True)
class Layout:
    """Roads of one scene and the strips beside them.

    Attributes:
        preset: the kind of place.
        main: the road that the sensor drives along.
        cross: a road that crosses it, or None.
        strip: width (m) of the parking strip on the (left, right) side of the main road; 0 without.
        bays: the parking rows.
        sidewalk: width (m) of the sidewalk on the (left, right) side; 0 without.
        verge: width (m) of the grass between parking strip and sidewalk.
        curb: height of the curb, m.
    """

    preset: Preset
    main: Road
    cross: Optional[Road]
    strip: Tuple[float, float]
    bays: Tuple[Bay, ...]
    sidewalk: Tuple[float, float]
    verge: float
    curb: float

    def frontage(self, side: int) -> float:
        """Return metres from the road's edge to where plots begin, on the left (+1) or right (-1)."""
        index = 0 if side > 0 else 1
        verge = self.verge if self.sidewalk[index] > 0 else 0.0
        return self.strip[index] + verge + self.sidewalk[index]


def draw_layout(preset: Preset, rng: Generator) -> Layout:
    """Draw roads, parking and sidewalks for a place of the kind `preset`."""
    main = Road(
        heading=0.0,
        shift=0.0,
        bend=float(rng.normal(0, preset.curvature)),
        sway=float(rng.uniform(-1.5, 1.5)) if preset.curvature > 0.001 else 0.0,
        half_width=float(rng.uniform(*preset.half_width)),
        median=float(rng.uniform(1.2, 3.0)) if preset.dual else 0.0,
        lane_width=preset.lane_width,
    )
    cross = _cross_road(preset, rng) if rng.random() < preset.crossing else None
    strip = [0.0, 0.0]
    bays: List[Bay] = []
    for index, side in enumerate((1, -1)):
        if rng.random() < preset.parking:
            strip[index] = (
                float(rng.uniform(4.8, 5.3)) if rng.random() < 0.2 else float(rng.uniform(2.0, 2.6))
            )
            bays += _bays(side, strip[index], cross, rng)
    sidewalk = tuple(
        float(rng.uniform(*preset.sidewalk)) if rng.random() < preset.sidewalk_share else 0.0
        for _ in range(2)
    )
    return Layout(
        preset=preset,
        main=main,
        cross=cross,
        strip=(strip[0], strip[1]),
        bays=tuple(bays),
        sidewalk=(sidewalk[0], sidewalk[1]),
        verge=float(rng.uniform(0.8, 2.2)) if rng.random() < preset.verge else 0.0,
        curb=float(rng.uniform(0.07, 0.16)),
    )


def _cross_road(preset: Preset, rng: Generator) -> Road:
    return Road(
        heading=float(np.pi / 2 + rng.uniform(-0.35, 0.35)),
        shift=float(rng.uniform(-40, 40)),
        bend=float(rng.normal(0, 0.0005)),
        sway=0.0,
        half_width=float(rng.uniform(*preset.half_width) * 0.9),
        median=0.0,
        lane_width=preset.lane_width,
    )


def _bays(side: int, width: float, cross: Optional[Road], rng: Generator) -> List[Bay]:
    bays: List[Bay] = []
    start = -95.0 + float(rng.uniform(0, 8))
    while start < 90:
        end = start + float(rng.uniform(14, 45))
        bays.append(Bay(side, start, min(end, 95.0), width))
        start = end + float(rng.uniform(3, 12))
    if cross is None:
        return bays
    return [bay for bay in bays if bay.end < cross.shift - 16 or bay.start > cross.shift + 16]
