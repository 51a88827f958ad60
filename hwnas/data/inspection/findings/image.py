"""Whether there is a range image, whether it misses points, or loses more than that of one sensor does."""

from __future__ import annotations

from collections.abc import Iterator

from hwnas.data.datasets.dataset import DataSource
from hwnas.data.inspection.findings.finding import ERROR, WARNING, ContentFacts, Finding
from hwnas.data.inspection.image_loss import ImageLoss
from hwnas.text import counted

# Scans of one sensor keep nine tenths of what its table lets expect; those of 1.5 sensors two thirds.
_LEAST_KEPT = 0.75
# Some specimens and rates fire a little more often than the table says.
_MOST_POINTS = 1.1
# Vehicles and ground near by lie some degrees below the lowest beam of some sensors: 2 % of the points.
_MANY_OUTSIDE, _MOST_OUTSIDE = 0.2, 0.5


# Of right labels, real and synthetic, the ratio is 0.47 at most, and kappa 0.8 and more: they end where
# things end. Shifted by a single point, labels have a ratio of 0.67, and those of another scan one of 0.97.
_LEAST_KAPPA, _USUAL_KAPPA, _LARGEST_RATIO = 0.4, 0.6, 0.6


def label_findings(image: ImageLoss | None) -> Iterator[Finding]:
    """Yield a finding if labels of neighbouring pixels agree less than those of one thing would.

    Args:
        image: what the range image loses; None where there is none.
    """
    if image is None:
        return
    kappa, ratio = image.labels.kappa, image.labels.boundary_ratio
    if ratio is not None and ratio <= _LARGEST_RATIO:
        return  # they end where things end
    remedy = (
        "Look whether labels are stored in the order of the points (not sorted, transposed or shifted), are "
        "those of this scan and were read with the right `label_dtype`."
    )
    if kappa is not None and kappa < _LEAST_KAPPA:
        yield Finding(
            "label-order",
            ERROR,
            "Labels do not belong to their points: neighbours in the range image at one distance agree "
            f"little more than by chance (kappa {kappa:.2f}; of right labels 0.8 and more).",
            remedy,
        )
    elif ratio is not None or (kappa is not None and kappa < _USUAL_KAPPA):
        agree = "" if kappa is None else f" Kappa of neighbours at one distance is {kappa:.2f}."
        ends = (
            "" if ratio is None else f" Neighbours at one distance differ {ratio:.0%} as often as others do."
        )
        yield Finding(
            "label-order",
            WARNING,
            "Labels may belong to other points or other scans: they do not end where things end, which is "
            f"where distances jump.{ends}{agree} Of right labels, these are 47% at most, and 0.8 and more.",
            remedy,
        )


def image_findings(
    source: DataSource, facts: ContentFacts, image: ImageLoss | None, problem: str = ""
) -> Iterator[Finding]:
    """Yield what is wrong with the range image: there is none, it misses points, or these share its pixels.

    Args:
        source: the data set.
        facts: what was counted over all scans.
        image: what the range image loses; None where there is none.
        problem: why there is none.
    """
    if image is None and not facts.num_scans:
        return  # why no scan can be used is said elsewhere
    if image is None or (image.num_refused and not image.num_scans):
        yield Finding(
            "image",
            ERROR,
            f"There is no range image of these scans: {problem or (image and image.problem)}",
            "Check the sensor, the frame and the column of the rings; a network that sees range images "
            "cannot be trained on these scans as they are described.",
        )
        return
    if image.num_refused:
        yield Finding(
            "image",
            ERROR,
            f"{image.num_refused} of {counted(image.num_refused + image.num_scans, 'scan')} that were looked "
            f"at give no range image: {image.problem}",
            "Mend these scans or leave them out; training stops at one.",
        )
    outside = image.outside_share
    if outside is not None and outside > _MANY_OUTSIDE:
        yield _outside_view(source, image, outside)
    elif image.kept_share is not None:
        yield from _shared_pixels(source, facts, image, image.kept_share)


def _outside_view(source: DataSource, image: ImageLoss, share: float) -> Finding:
    return Finding(
        "field-of-view",
        ERROR if share > _MOST_OUTSIDE else WARNING,
        f"{share:.0%} of the points lie outside the field of view of {source.sensor}, "
        f"{image.spec.fov_down_deg:g} to {image.spec.fov_up_deg:g} degrees of elevation "
        f"({image.num_above:,} above, {image.num_below:,} below).",
        "Check the sensor (a sensor file may be drafted wrongly) and the frame: points of one sensor lie "
        "within its field of view.",
    )


def _shared_pixels(
    source: DataSource, facts: ContentFacts, image: ImageLoss, kept_share: float
) -> Iterator[Finding]:
    table = source.sensor_table
    steps = facts.points_per_turn if table is None else table.azimuth_steps
    alone = 1.0 - facts.second_return_share
    expected = alone * min(1.0, image.spec.width / max(steps, 1.0))
    if kept_share >= _LEAST_KEPT * expected:
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
        f"Only {kept_share:.0%} of the points keep a pixel of the range image "
        f"{image.spec.height} x {image.spec.width}; of one turn of {source.sensor} about {expected:.0%} do. "
        f"The others share theirs with a nearer point and may get its label.{crowd}",
        "Look whether clouds of several sensors or turns are merged: store each in a file of its own, in the "
        "frame of its sensor. Otherwise check the sensor and the frame.",
    )
