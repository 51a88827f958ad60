"""The way of a vehicle through a scene: along the main road, round the corner, along the crossing road."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Tuple

import numpy as np
from numpy.random import Generator

from hwnas.arrays import DoubleArray, FloatArray
from hwnas.data.synthetic import classes
from hwnas.data.synthetic.ground import HALF_SIZE_M, Ground
from hwnas.data.synthetic.layout import Layout, Road
from hwnas.data.synthetic.motion import Motion

LEFT, RIGHT = 1, -1
KNOT_S = 0.01
"""Seconds between the knots of a vehicle's motion."""

_STEP_M = 0.1
_EDGE_M = HALF_SIZE_M - 8.0
_TANGENT_M = {LEFT: 10.0, RIGHT: 6.5}  # from where a turn begins to where the lanes meet
_LEAST_STRAIGHT_M = 25.0
_SIDEWAYS_MPS2 = 2.0
_BRAKING_MPS2 = 1.5
_SMOOTH_M = 3.0
_HALF_TRACK_M, _HALF_BASE_M = 0.8, 1.4  # where the ground tilts the vehicle
_HALF_WIDTH_M = 0.9
# Amplitude, frequency (Hz) of the springs: height (m), pitch and roll (rad); in full from 5 m/s on.
_SPRINGS = ((0.008, 1.3), (0.004, 1.1), (0.003, 1.7))
_FULL_SPRING_MPS = 5.0


@dataclass(frozen=True, eq=False)
class Route:
    """A way on the ground, in steps of 0.1 m.

    Attributes:
        xy: [S, 2] metres.
        yaw: [S] direction, rad, without jumps.
        turn_at: where along the way (m) the middle of the turn is.
    """

    xy: DoubleArray
    yaw: DoubleArray
    turn_at: float

    @property
    def length_m(self) -> float:
        """Of the whole way."""
        return (len(self.xy) - 1) * _STEP_M


def lane_of(road: Road) -> float:
    """Return how far (m) the lane of a road of one carriageway is from its centre line."""
    return min(road.half_width / 2, road.lane_width / 2 + 0.2)


def find_route(layout: Layout, ground: Ground, rng: Generator) -> Optional[Route]:
    """Return a way that turns into the crossing road, or None where a vehicle could not stay on the roads."""
    if layout.cross is None or layout.main.median > 0:
        return None
    for side in (int(one) for one in rng.permutation([LEFT, RIGHT])):
        route = _route(layout.main, layout.cross, side)
        if route is not None and _stays_on_road(route, ground):
            return route
    return None


def _route(main: Road, cross: Road, side: int) -> Optional[Route]:
    """Return the way that turns left or right, both on the lane on the right."""
    d_main, d_cross = -lane_of(main), -side * lane_of(cross)
    u = np.arange(-_EDGE_M, _EDGE_M, _STEP_M)
    lane = _points(main, u, d_main)
    along, beside = cross.coordinates(*lane.T.astype(np.float32))
    changes = np.flatnonzero(np.diff(np.sign(beside - d_cross)))
    if len(changes) != 1:
        return None
    meet = int(changes[0])
    begin = meet - int(_TANGENT_M[side] / _STEP_M)
    leave = side * np.arange(float(along[meet]) * side + _TANGENT_M[side], HALF_SIZE_M * 1.2, _STEP_M)
    exit_lane = _points(cross, leave, d_cross)
    exit_lane = exit_lane[np.abs(exit_lane).max(axis=1) < _EDGE_M]
    if min(begin, len(exit_lane)) * _STEP_M < _LEAST_STRAIGHT_M:
        return None
    curve = _curve(lane[begin - 1], lane[begin], exit_lane[0], exit_lane[1])
    raw = np.concatenate([lane[:begin], curve, exit_lane])
    return _even(raw, begin * _STEP_M + _TANGENT_M[side] * 0.8)


def _points(road: Road, u: DoubleArray, d: float) -> DoubleArray:
    return np.array([road.point(float(one), d)[:2] for one in u])


def _curve(before: DoubleArray, start: DoubleArray, end: DoubleArray, after: DoubleArray) -> DoubleArray:
    """Return points of a quintic Bezier curve that leaves and arrives straight: its curvature begins at 0."""
    out, into = start - before, after - end
    reach = 0.3 * np.linalg.norm(end - start)
    out, into = out / np.linalg.norm(out) * reach, into / np.linalg.norm(into) * reach
    control = np.stack([start, start + out, start + 2 * out, end - 2 * into, end - into, end])
    t = np.linspace(0, 1, 200)[1:-1, None]
    binomial = np.array([1, 5, 10, 10, 5, 1])
    power = np.arange(6)
    return np.asarray((binomial * t**power * (1 - t) ** (5 - power)) @ control)


def _even(raw: DoubleArray, turn_at: float) -> Route:
    """Return a way through points, in even steps, with a direction that changes smoothly."""
    xy = _in_steps(np.stack([_smooth(column) for column in _in_steps(raw).T], axis=1))
    yaw = np.unwrap(np.arctan2(*np.gradient(xy, axis=0).T[::-1]))
    return Route(xy, yaw, turn_at)


def _in_steps(points: DoubleArray) -> DoubleArray:
    length = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    at = np.arange(0.0, length[-1], _STEP_M)
    return np.stack([np.interp(at, length, column) for column in points.T], axis=1)


def _smooth(values: DoubleArray) -> DoubleArray:
    """Return a moving average that leaves straight lines as they are, to their ends."""
    half = round(_SMOOTH_M / _STEP_M / 2)
    padded = np.concatenate(
        [
            2 * values[0] - values[half:0:-1],
            values,
            2 * values[-1] - values[-2 : -half - 2 : -1],
        ]
    )
    return np.convolve(padded, np.full(2 * half + 1, 1 / (2 * half + 1)), "valid")


def _stays_on_road(route: Route, ground: Ground) -> bool:
    """Return whether a vehicle on the way keeps to the roads with its whole width."""
    left = np.stack([-np.sin(route.yaw), np.cos(route.yaw)], axis=1)
    for beside in (-_HALF_WIDTH_M, 0.0, _HALF_WIDTH_M):
        x, y = (route.xy + beside * left).T.astype(np.float32)
        if (ground.label.ravel()[ground.cell(x, y)] != classes.ROAD).any():
            return False
    return True


def drive(
    route: Route, ground: Ground, height_m: float, top_mps: float, duration_s: float, rng: Generator
) -> Motion:
    """Return how a sensor moves that a vehicle carries along a way, round the turn in the middle of the time.

    The vehicle brakes for the turn, and speeds up after it. Where the way is too short for the time, it
    drives slower, so that the time is that of the whole way.

    Args:
        route: the way.
        ground: under it.
        height_m: height of the sensor above the ground.
        top_mps: speed on straight stretches, m/s.
        duration_s: seconds.
        rng: decides the phases of the springs.
    """
    speed = _speeds(route, top_mps)
    needed = np.concatenate([[0.0], np.cumsum(_STEP_M / ((speed[1:] + speed[:-1]) / 2))])
    slower = max(1.0, duration_s / needed[-1])
    needed, speed = needed * slower, speed / slower
    middle = float(np.interp(route.turn_at, np.arange(len(needed)) * _STEP_M, needed))
    start = float(np.clip(middle - duration_s / 2, 0, max(needed[-1] - duration_s, 0)))
    time = np.arange(round(np.ceil(duration_s / KNOT_S)) + 1) * KNOT_S
    x, y, yaw, pace = (np.interp(start + time, needed, one) for one in (*route.xy.T, route.yaw, speed))
    z, pitch, roll = _stand(ground, x, y, yaw)
    share = np.minimum(pace / _FULL_SPRING_MPS, 1)
    swing = [share * size * np.sin(2 * np.pi * (hertz * time + rng.uniform())) for size, hertz in _SPRINGS]
    position = np.stack([x, y, z + height_m + swing[0]], axis=1)
    return Motion(time, position, np.stack([yaw, pitch + swing[1], roll + swing[2]], axis=1))


def _speeds(route: Route, top_mps: float) -> DoubleArray:
    """Return speeds [S] that neither sideways acceleration nor brakes forbid."""
    curvature = np.abs(np.gradient(route.yaw)) / _STEP_M
    speed = np.minimum(top_mps, np.sqrt(_SIDEWAYS_MPS2 / np.maximum(curvature, 1e-6)))
    gain = 2 * _BRAKING_MPS2 * _STEP_M
    for order in (range(1, len(speed)), range(len(speed) - 2, -1, -1)):
        step = 1 if order.step > 0 else -1
        for k in order:
            speed[k] = min(speed[k], float(np.sqrt(speed[k - step] ** 2 + gain)))
    return _smooth(speed)


def _stand(
    ground: Ground, x: DoubleArray, y: DoubleArray, yaw: DoubleArray
) -> Tuple[DoubleArray, DoubleArray, DoubleArray]:
    """Return height, pitch and roll of a vehicle on the coarse surface."""

    def height(forward: float, left: float) -> DoubleArray:
        px = x + forward * np.cos(yaw) - left * np.sin(yaw)
        py = y + forward * np.sin(yaw) + left * np.cos(yaw)
        level: FloatArray = ground.base_heights(px.astype(np.float32), py.astype(np.float32))
        return level.astype(np.float64)

    rise = height(_HALF_BASE_M, 0) - height(-_HALF_BASE_M, 0)
    bank = height(0, _HALF_TRACK_M) - height(0, -_HALF_TRACK_M)
    # A long vehicle does not follow every crease of the ground.
    return tuple(  # type: ignore[return-value]
        _settled(one)
        for one in (height(0, 0), np.arctan(rise / (2 * _HALF_BASE_M)), np.arctan(bank / (2 * _HALF_TRACK_M)))
    )


def _settled(values: DoubleArray) -> DoubleArray:
    """Return values averaged over 0.3 s."""
    half = round(0.15 / KNOT_S)
    padded = np.pad(values, half, mode="reflect", reflect_type="odd")
    return np.convolve(padded, np.full(2 * half + 1, 1 / (2 * half + 1)), "valid")
