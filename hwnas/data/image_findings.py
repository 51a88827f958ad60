"""Whether a range image loses more points than that of one sensor does, and what may be why."""

from __future__ import annotations

from collections.abc import Iterator

from hwnas.data.dataset import DataSource
from hwnas.data.finding import WARNING, ContentFacts, Finding
from hwnas.data.image_loss import ImageLoss

# Scans of one sensor keep nine tenths of what its table lets expect; those of 1.5 sensors two thirds.
_LEAST_KEPT = 0.75
# Some specimens and rates fire a little more often than the table says.
_MOST_POINTS = 1.1


def image_findings(source: DataSource, facts: ContentFacts, image: ImageLoss | None) -> Iterator[Finding]:
    """Yield a finding if far more points share a pixel than those of one turn of the sensor would.

    Args:
        source: the data set.
        facts: what was counted over all scans.
        image: what the range image loses; None where there is none.
    """
    if image is None or image.kept_share is None:
        return
    table = source.sensor_table
    steps = facts.points_per_turn if table is None else table.azimuth_steps
    alone = 1.0 - facts.second_return_share
    expected = alone * min(1.0, image.spec.width / max(steps, 1.0))
    if image.kept_share >= _LEAST_KEPT * expected:
        return
    firings = 0 if table is None else table.beams * table.azimuth_steps
    is_crowded = bool(firings) and alone * facts.points_per_scan > _MOST_POINTS * firings
    crowd = (
        f" A scan has {facts.points_per_scan:,.0f} points, but one turn of this sensor {firings:,} firings."
        if is_crowded
        else ""
    )
    yield Finding(
        "shared-pixels",
        WARNING,
        f"Only {image.kept_share:.0%} of the points keep a pixel of the range image "
        f"{image.spec.height} x {image.spec.width}; of one turn of {source.sensor} about {expected:.0%} do. "
        f"The others share theirs with a nearer point and may get its label.{crowd}",
        "Look whether clouds of several sensors or turns are merged: store each in a file of its own, in the "
        "frame of its sensor. Otherwise check the sensor and the frame.",
    )
