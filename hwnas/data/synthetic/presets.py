"""Kinds of places that scenes are drawn from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, Tuple

_Range = Tuple[float, float]


@dataclass(frozen=True)
class Preset:
    """What a kind of place is made of. Lengths in metres, shares 0..1; a pair is drawn from uniformly."""

    name: str
    half_width: _Range
    lane_width: float
    dual: bool
    parking: float
    sidewalk: _Range
    sidewalk_share: float
    verge: float
    crossing: float
    curvature: float
    slope: float
    relief: float
    setback: _Range
    building_width: _Range
    building_depth: _Range
    floors: Tuple[int, int]
    building_share: float
    building_gap: _Range
    front_fence: float
    street_trees: float
    trees: int
    bushes: int
    thicket: float
    other_ground: int
    people: int
    cars: int
    speed: _Range


PRESETS: Dict[str, Preset] = {
    "residential": Preset(
        name="residential",
        half_width=(3.1, 4.3),
        lane_width=3.3,
        dual=False,
        parking=0.42,
        sidewalk=(1.4, 2.6),
        sidewalk_share=1.0,
        verge=0.25,
        crossing=0.4,
        curvature=0.0016,
        slope=0.05,
        relief=0.8,
        setback=(2.5, 8.0),
        building_width=(8, 17),
        building_depth=(8, 12),
        floors=(1, 3),
        building_share=0.85,
        building_gap=(2.0, 8.0),
        front_fence=0.75,
        street_trees=0.3,
        trees=50,
        bushes=60,
        thicket=0.6,
        other_ground=2,
        people=3,
        cars=3,
        speed=(4, 9),
    ),
    "urban": Preset(
        name="urban",
        half_width=(3.7, 6.8),
        lane_width=3.3,
        dual=False,
        parking=0.6,
        sidewalk=(2.2, 4.5),
        sidewalk_share=1.0,
        verge=0.2,
        crossing=0.7,
        curvature=0.0008,
        slope=0.025,
        relief=0.2,
        setback=(0.0, 3.0),
        building_width=(10, 26),
        building_depth=(10, 14),
        floors=(3, 6),
        building_share=0.9,
        building_gap=(0.0, 5.0),
        front_fence=0.2,
        street_trees=0.65,
        trees=24,
        bushes=26,
        thicket=0.4,
        other_ground=4,
        people=6,
        cars=4,
        speed=(4, 11),
    ),
    "rural": Preset(
        name="rural",
        half_width=(2.9, 3.7),
        lane_width=3.0,
        dual=False,
        parking=0.06,
        sidewalk=(1.2, 1.8),
        sidewalk_share=0.25,
        verge=0.8,
        crossing=0.25,
        curvature=0.0025,
        slope=0.07,
        relief=2.6,
        setback=(7.0, 18.0),
        building_width=(9, 20),
        building_depth=(9, 13),
        floors=(1, 2),
        building_share=0.16,
        building_gap=(6.0, 30.0),
        front_fence=0.35,
        street_trees=0.3,
        trees=80,
        bushes=80,
        thicket=0.6,
        other_ground=1,
        people=1,
        cars=3,
        speed=(10, 20),
    ),
    "motorway": Preset(
        name="motorway",
        half_width=(5.6, 9.5),
        lane_width=3.6,
        dual=True,
        parking=0.0,
        sidewalk=(0.0, 0.0),
        sidewalk_share=0.0,
        verge=0.0,
        crossing=0.0,
        curvature=0.0005,
        slope=0.03,
        relief=2.2,
        setback=(20.0, 40.0),
        building_width=(14, 30),
        building_depth=(10, 20),
        floors=(1, 3),
        building_share=0.06,
        building_gap=(10.0, 40.0),
        front_fence=0.0,
        street_trees=0.0,
        trees=70,
        bushes=60,
        thicket=0.6,
        other_ground=1,
        people=0,
        cars=10,
        speed=(20, 33),
    ),
}
