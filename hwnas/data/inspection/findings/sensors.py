"""Whether the beams of a data set are those of the sensor that it names, and what to name instead."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from hwnas.data.datasets.dataset import DataSource
from hwnas.data.inspection.estimates import GeometryEstimate
from hwnas.data.inspection.findings.finding import ERROR, NOTE, WARNING, ContentFacts, Finding
from hwnas.data.inspection.sensor_draft import draft_of_sensor, free_name
from hwnas.data.inspection.sensor_match import SensorMatch, better_than, match_sensors

_NO_FIT = 0.5
_MISCOUNTED = 0.1


def sensor_findings(source: DataSource, geometry: GeometryEstimate, facts: ContentFacts) -> Iterator[Finding]:
    """Yield what is wrong with the name of the sensor.

    Args:
        source: the data set.
        geometry: what its scans show of the beams.
        facts: what was counted over all scans; the draft of a sensor file takes figures from it.
    """
    table = source.sensor_table
    if table is not None and not table.is_rotating:
        return
    if not geometry.beams_deg:
        yield Finding(
            "beams",
            WARNING,
            "No beams are told apart: the points are not in the frame of the sensor, were corrected for the "
            "motion of the vehicle, or come in no order from a sensor whose beams overlap. Bundles then tell "
            "other sensors by field of view, ground, distances and, at best, the spacing of beams only.",
            "Give points in the frame of the sensor and in the order in which it measured them, or the ring "
            "of each point.",
        )
    matches = matches_of(source, geometry)
    own = next((match for match in matches if match.sensor == source.sensor), None)
    better = better_than(matches, source.sensor)
    if better is not None:
        yield Finding(
            "sensor",
            NOTE if table is None else ERROR,
            f"{_naming(source)}, but the beams are those of {better.sensor}: {describe_beams(geometry)}; "
            f"{better.score:.0%} of that table fit"
            f"{'' if own is None else f', {own.score:.0%} of {own.sensor}'}.",
            "Name the sensor; height and field of view of the range image follow from it.",
            {"sensor": better.sensor},
        )
    elif own is not None and (own.score < _NO_FIT or own.is_contradicted):
        yield _without_table(source, geometry, facts, own)


def _without_table(
    source: DataSource, geometry: GeometryEstimate, facts: ContentFacts, own: SensorMatch
) -> Finding:
    """Return the finding that neither the sensor's own table nor any other fits."""
    found = len(geometry.beams_deg)
    counted = (
        f"; {own.num_missing} of them have no beam in the table of {own.sensor}" if own.num_missing else ""
    )
    message = (
        f"{_naming(source)}, but no table fits, this one to {own.score:.0%}: {describe_beams(geometry)}"
        f"{counted}."
    )
    # Where the files do not state rings, some too many may be miscounted.
    is_miscount = (
        not geometry.rings_are_stated and own.score >= _NO_FIT and own.num_missing <= _MISCOUNTED * found
    )
    is_sure = geometry.beams_are_given and geometry.origin_is_confirmed
    severity = WARNING if is_miscount or not is_sure else ERROR
    is_doubtful = geometry.rings_contradict or not geometry.origin_is_confirmed
    if not geometry.beams_are_given or found < 2 or is_doubtful:
        return Finding(
            "sensor",
            severity,
            message,
            "Describe your sensor in a YAML file beside dataset.yaml (`elevation_deg` from its data sheet) "
            "and name that file as `sensor`, or write `sensor: unknown`: beams and field of view are then "
            "taken from the training scans.",
        )
    name = free_name(source.path, f"sensor-{found}-beams")
    return Finding(
        "sensor",
        severity,
        message,
        "Describe your sensor: `hwnas data info --suggest` drafts a sensor file from the beams that were "
        "measured; correct it by the data sheet.",
        {"sensor": name},
        {name: draft_of_sensor(geometry, facts, source.intensity_range)},
    )


def _naming(source: DataSource) -> str:
    if source.sensor_is_stated:
        return f"The sensor is said to be {source.sensor}"
    return f"No sensor is named; {source.sensor} is assumed"


def matches_of(source: DataSource, geometry: GeometryEstimate) -> tuple[SensorMatch, ...]:
    """Return how well every sensor table fits, that of the data set included, the best first."""
    own = None if source.sensor_table is None else (source.sensor, source.sensor_table)
    return match_sensors(
        geometry.beams_deg, geometry.elevations_deg, are_given=geometry.beams_are_given, own=own
    )


def describe_beams(geometry: GeometryEstimate) -> str:
    """Return number, edges and spacing of the beams in words."""
    low, high = geometry.elevation_deg
    beams = geometry.beams_deg
    if len(beams) < 2:
        return f"points from {high:+.1f} to {low:+.1f} degrees, beams not told apart"
    spacing = np.abs(np.diff(beams))
    least, most = f"{spacing.min():.2f}", f"{spacing.max():.2f}"
    apart = least if least == most else f"{least} to {most}"
    return f"{len(beams)} beams from {beams[0]:+.1f} to {beams[-1]:+.1f} degrees, {apart} degrees apart"
