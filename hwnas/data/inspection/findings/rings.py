"""Whether the rings that files give are those of their points, and in which order they are numbered."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hwnas.data.datasets.dataset import DataSource
from hwnas.data.geometry.axes import AS_IT_IS
from hwnas.data.inspection.estimates import GeometryEstimate
from hwnas.data.inspection.findings.finding import ERROR, WARNING, ContentFacts, Finding
from hwnas.data.inspection.image_loss import ImageLoss
from hwnas.json_values import JsonObject
from hwnas.range_view.projection import remark_on_rows
from hwnas.range_view.rows import DISAGREE, OTHER_BEAMS, REORDERED

_ASIDE_M = 0.3
# Rings that contradict elevations in one scan of so many are no accident.
_SEVERAL = 10


def ring_findings(
    source: DataSource, facts: ContentFacts, geometry: GeometryEstimate | None, image: ImageLoss | None
) -> Iterator[Finding]:
    """Yield a finding if given rings contradict the elevations of their points, or are numbered oddly.

    Args:
        source: the data set.
        facts: what was counted over all scans.
        geometry: what some scans show of the beams; None if they have too few points.
        image: how these scans became range images; None where there is none.
    """
    table = source.sensor_table
    if table is not None and not table.is_rotating:
        return
    if geometry is not None and geometry.rings_contradict:
        yield _contradiction(source, facts, geometry)
        return
    if image is None or not image.num_scans:
        return
    if 2 * _scans_with(image, REORDERED) > image.num_scans:
        yield Finding(
            "ring-order",
            WARNING,
            f"The rings that {_place_of(source)} holds are not numbered in the order of their elevations, as "
            "where a sensor numbers its lasers as they fire: rows are sorted by elevation.",
            "Nothing, if the sensor numbers them so. Otherwise look whether this is the column of the rings "
            "(`format_options`).",
        )
    if 2 * _scans_with(image, OTHER_BEAMS) > image.num_scans:
        yield Finding(
            "ring",
            WARNING,
            f"The elevations of the rings that {_place_of(source)} holds fit other beams of the sensor than "
            "their numbers name, as where rings without points were left out when they were numbered.",
            "Give each ring the number of its beam, counted over all beams.",
        )
    is_in_frame = geometry is None or _is_in_frame(geometry)
    disagree = _scans_with(image, DISAGREE)
    if _SEVERAL * disagree >= image.num_scans and is_in_frame:
        yield Finding(
            "ring",
            WARNING,
            f"In {disagree} of {image.num_scans} scans, the rings that {_place_of(source)} holds contradict "
            "the elevations of the points: rings are mixed up or shifted in a part of the turn, or the "
            "points are not in the frame of the sensor.",
            "Mend what is said of the frame first; then look whether this is the column of the rings "
            "(`format_options`).",
        )


def _is_in_frame(geometry: GeometryEstimate) -> bool:
    """Whether nothing but the rings explains that they are no separate beams."""
    is_moved = geometry.is_far or geometry.moves_m > 0 or geometry.second_origin_m is not None
    place_m = geometry.origin_m or (0.0, 0.0, 0.0)
    is_turned = geometry.axis_tilt_deg > 0 or geometry.frame != AS_IT_IS
    return not (is_moved or is_turned or max(map(abs, place_m)) > _ASIDE_M)


def _scans_with(image: ImageLoss, remark: int) -> int:
    return image.scans_of_remark.get(remark_on_rows(image.spec.method, remark, image.spec), 0)


def _contradiction(source: DataSource, facts: ContentFacts, geometry: GeometryEstimate) -> Finding:
    agreement = geometry.ring_agreement or 0.0
    if facts.num_constant_ring == facts.num_scans:
        what = f"{_place_of(source)} holds the same ring for all points of every scan."
    else:
        what = (
            f"The rings that {_place_of(source)} holds contradict the elevations of their points: they "
            f"explain {agreement:.0%} of how elevations vary, and rings of a rotating sensor nearly all."
        )
    what = what[0].upper() + what[1:]
    settings: JsonObject = {}
    hint = "Name the column or field that holds the ring"
    swapped = facts.num_ring_like_intensities == facts.num_detailed > 0
    if swapped:
        what += " What is read as intensity does tell the elevations: the two columns seem to be exchanged."
        settings = _exchanged(source.format_options)
        hint = "Exchange `intensity` and `ring`"
    elif "columns" in source.format_options:
        settings = _without_ring(source.format_options)
        hint += ", or skip the wrong one"
    return Finding(
        "ring",
        ERROR,
        f"{what} Beams, sensor and heights are told without these rings.",
        f"{hint} in `format_options`. Without rings, rows follow from the elevations and the order of the "
        "points; nothing is drafted from rings that are wrong.",
        settings,
    )


def _place_of(source: DataSource) -> str:
    """Return which column or field of the files holds the rings, in words."""
    options = source.format_options
    columns = options.get("columns")
    if isinstance(columns, (list, tuple)):
        places = [number for number, one in enumerate(columns, start=1) if _name_of(one) == "ring"]
        if places:
            return f"column {places[0]} of {len(columns)}, 'ring',"
    return f"the field {str(options.get('ring', 'ring'))!r}"


def _name_of(column: Any) -> str:
    return str(next(iter(column), "")) if isinstance(column, Mapping) else str(column)


def _with_columns(options: Mapping[str, Any], names: Mapping[str, str]) -> JsonObject:
    """Return options with other names for some columns, which keep their types."""
    columns = [
        {names.get(_name_of(one), _name_of(one)): kind for kind in one.values()}
        if isinstance(one, Mapping)
        else names.get(str(one), str(one))
        for one in options["columns"]
    ]
    return {"format_options": {**options, "columns": columns}}


def _without_ring(options: Mapping[str, Any]) -> JsonObject:
    return _with_columns(options, {"ring": "_"})


def _exchanged(options: Mapping[str, Any]) -> JsonObject:
    if "columns" in options:
        return _with_columns(options, {"ring": "intensity", "intensity": "ring"})
    ring, intensity = options.get("ring", "ring"), options.get("intensity", "intensity")
    return {"format_options": {**options, "ring": intensity, "intensity": ring}}
