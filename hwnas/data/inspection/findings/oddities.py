"""What is odd about a data set, with figures, and what to write into `dataset.yaml` about it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from hwnas.data.datasets.dataset import DataSource
from hwnas.data.inspection.estimates import GeometryEstimate
from hwnas.data.inspection.findings.content import content_findings
from hwnas.data.inspection.findings.coordinates import coordinate_findings, is_blurred, is_moving
from hwnas.data.inspection.findings.finding import ERROR, NOTE, WARNING, ContentFacts, Finding
from hwnas.data.inspection.findings.image import image_findings, label_findings
from hwnas.data.inspection.findings.rings import ring_findings
from hwnas.data.inspection.findings.sensors import sensor_findings
from hwnas.data.inspection.image_loss import ImageLoss
from hwnas.data.sensors import COUNTER_CLOCKWISE

_TILT_DEG = 5.0
_NOT_OF_THE_IMAGE = ("splits", "intensity-range", "labels")
_COVERAGE = 0.9
_HEIGHT_TOLERANCE, _HEIGHT_TOLERANCE_M = 0.2, 0.3
_SECOND_RETURNS = 0.05


def find_oddities(
    source: DataSource,
    facts: ContentFacts,
    geometry: GeometryEstimate | None,
    image: ImageLoss | None = None,
    image_problem: str = "",
) -> tuple[Finding, ...]:
    """Return all findings, errors first.

    Args:
        source: the data set.
        facts: what was counted over all scans.
        geometry: estimated from some scans; None if they have too few points.
        image: what the range image loses; None where there is none.
        image_problem: why there is none.
    """
    found = list(content_findings(source, facts))
    if geometry is not None:
        found += _of_geometry(source, geometry, facts)
    found += ring_findings(source, facts, geometry, image)
    if all(finding.severity != ERROR or finding.kind in _NOT_OF_THE_IMAGE for finding in found):
        found += label_findings(image)
    if all(finding.severity != ERROR for finding in found):  # which would be why, and must be mended first
        is_tilted = geometry is not None and geometry.axis_tilt_deg > 0  # which moves points out of the view
        of_image = image_findings(source, facts, image, image_problem)
        found += (one for one in of_image if one.severity == ERROR or not is_tilted)
    order = (ERROR, WARNING, NOTE)
    return tuple(sorted(found, key=lambda finding: order.index(finding.severity)))


def _of_geometry(source: DataSource, geometry: GeometryEstimate, facts: ContentFacts) -> Iterator[Finding]:
    yield from coordinate_findings(source, geometry)
    yield from _of_mounting(source, geometry)
    of_sensor: list[Finding] = []
    if geometry.second_origin_m is None and not is_blurred(geometry):
        of_sensor = list(sensor_findings(source, geometry, facts))
    yield from of_sensor
    if not geometry.is_far:  # seen from far away, all points lie in one direction
        yield from _of_returns(facts)
    if geometry.azimuth_coverage < _COVERAGE:
        yield Finding(
            "coverage",
            NOTE,
            f"The points cover {360 * geometry.azimuth_coverage:.0f} of 360 degrees of azimuth; the other "
            f"columns of a range image stay empty.",
            "Nothing, if the sensor sees no more. Otherwise look for points that were cut away.",
        )
    yield from _of_turns(geometry)
    if all(finding.kind != "sensor" for finding in of_sensor):  # the table of another sensor says nothing
        yield from _of_mirroring(source, geometry)


def _of_turns(geometry: GeometryEstimate) -> Iterator[Finding]:
    if len(set(geometry.turns_left)) > 1:
        left = sum(geometry.turns_left)
        yield Finding(
            "turn",
            WARNING,
            f"{left} of {len(geometry.turns_left)} scans run to the left around the sensor, the others "
            "to the right: some are mirrored, or of another sensor.",
            "Keep scans of one sensor, in one frame, in one data set.",
        )


def _of_mirroring(source: DataSource, geometry: GeometryEstimate) -> Iterator[Finding]:
    table = source.sensor_table
    if table is None or not source.sensor_is_stated or not table.is_rotating:
        return
    if set(geometry.turns_left) == {table.rotation != COUNTER_CLOCKWISE}:
        # Points of a range image that were written row by row run to the right, whatever the sensor.
        basis, harmless = (
            ("times", "")
            if geometry.turns_are_timed
            else ("order", ", or if its points were sorted before they were stored")
        )
        yield Finding(
            "mirrored",
            WARNING,
            f"By the {basis} of its points the sensor turns {'left' if geometry.turns_left[0] else 'right'} "
            f"(seen from above), but a {source.sensor} turns {table.rotation}: all scans seem mirrored.",
            "State the axes as they are (`frame`). Nothing, if the sensor is mounted upside down and its "
            f"points were turned{harmless}.",
        )


def _of_mounting(source: DataSource, geometry: GeometryEstimate) -> Iterator[Finding]:
    height, stated = geometry.sensor_height_m, source.sensor_height_m
    is_settled = not is_moving(geometry) and geometry.second_origin_m is None
    if (
        height is not None
        and stated is not None
        and is_settled
        and abs(height - stated) > max(_HEIGHT_TOLERANCE_M, _HEIGHT_TOLERANCE * stated)
    ):
        yield Finding(
            "height",
            WARNING,
            f"The sensor stands {height:.2f} m above the ground, not {stated:.2f} m as stated.",
            "State the height that is found, or look for what is wrong with the coordinates.",
            {"sensor_height_m": round(height, 2)},
        )
    roll, pitch = geometry.roll_deg, geometry.pitch_deg
    if roll is not None and pitch is not None and is_settled and float(np.hypot(roll, pitch)) > _TILT_DEG:
        yield Finding(
            "tilt",
            WARNING,
            f"The sensor is tilted against the ground: roll {roll:.1f}, pitch {pitch:.1f} degrees (median of "
            f"{geometry.ground_scans} scans).",
            "Nothing, if it is mounted so in the vehicle that the network is for, too.",
        )


def _of_returns(facts: ContentFacts) -> Iterator[Finding]:
    if facts.second_return_share < _SECOND_RETURNS:
        return
    yield Finding(
        "dual-return",
        NOTE,
        f"{facts.second_return_share:.0%} of the points lie in the very direction of another one: these are "
        "second returns of one firing. Both share a pixel, which the nearer one wins; the other gets its "
        "label from its neighbours.",
        "Nothing, if deployment delivers both returns, too; a sensor file says so with `returns: 2`. "
        "Otherwise keep the return that deployment delivers.",
    )
