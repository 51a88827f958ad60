"""What is in a data set and what is odd about it, in one call and as one typed result."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from hwnas.data.datasets.dataset import DataSource, DataWarning, find_config, open_dataset
from hwnas.data.datasets.dataset_config import DatasetConfig
from hwnas.data.inspection.estimates import GeometryEstimate
from hwnas.data.inspection.findings.coordinates import corrected
from hwnas.data.inspection.findings.finding import Finding
from hwnas.data.inspection.findings.sensors import matches_of
from hwnas.data.inspection.image_loss import ImageLoss
from hwnas.data.inspection.inspection import Inspection, Problem
from hwnas.data.inspection.rereading import inspect_as_stored
from hwnas.data.inspection.sensor_match import SensorMatch
from hwnas.data.inspection.suggestion import Suggestion, drafted_files, suggested_config
from hwnas.data.scan_files.frames import Coordinates
from hwnas.errors import DataError
from hwnas.progress import CountStatus, Listener
from hwnas.range_view.projection_spec import MAX_WIDTH, ProjectionSpec
from hwnas.text import counted, html_table, one_line


@dataclass(frozen=True)
class ClassCount:
    """A class of the label map: its name, points of it, and scans that hold it."""

    name: str
    points: int
    scans: int


@dataclass(frozen=True)
class RingCounts:
    """What is known of the rings of a sensor.

    Attributes:
        scans_by_number_of_rings: number of rings -> number of scans.
        scans_not_ring_ordered: scans whose rings are neither given nor recoverable.
        mean_points_per_ring: mean number of points of each ring, over scans whose rings are known.
    """

    scans_by_number_of_rings: Mapping[int, int]
    scans_not_ring_ordered: int
    mean_points_per_ring: tuple[float, ...]


@dataclass(frozen=True)
class ImageReport:
    """What the range image of training loses of some scans.

    Attributes:
        projection: how points become the image.
        scans: number of scans that were projected.
        scans_by_method: scans by the method that gave points their rows.
        points: number of points in these scans.
        points_above: number of points above the field of view.
        points_below: number of points below it.
        outside_share: share of points above or below, 0..1; None without a scan.
        kept_share: share of points with a pixel of their own, 0..1; None without a scan.
        oracle_miou: mIoU of a network that labels every pixel rightly, k-NN included; None without labels.
        refused_scans: number of scans that could not be projected.
        problem: why the first of them could not; empty if there is none.
    """

    projection: ProjectionSpec
    scans: int
    scans_by_method: Mapping[str, int]
    points: int
    points_above: int
    points_below: int
    outside_share: float | None
    kept_share: float | None
    oracle_miou: float | None
    refused_scans: int = 0
    problem: str = ""

    @classmethod
    def of(cls, image: ImageLoss) -> ImageReport:
        """Return what was counted."""
        return cls(
            projection=image.spec,
            scans=image.num_scans,
            scans_by_method=dict(sorted(image.scans_of_method.items())),
            points=image.num_points,
            points_above=image.num_above,
            points_below=image.num_below,
            outside_share=image.outside_share,
            kept_share=image.kept_share,
            oracle_miou=image.oracle_miou,
            refused_scans=image.num_refused,
            problem=image.problem,
        )

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "projection": self.projection.to_json(),
            "scans": self.scans,
            "scans_by_method": dict(self.scans_by_method),
            "points": self.points,
            "points_above": self.points_above,
            "points_below": self.points_below,
            "outside_share": self.outside_share,
            "kept_share": self.kept_share,
            "oracle_miou": self.oracle_miou,
            "refused_scans": self.refused_scans,
            "problem": self.problem or None,
        }


@dataclass(frozen=True, eq=False)
class DatasetReport:
    """What is in a data set and what is odd about it.

    Attributes:
        path: its directory.
        name: name of the data set.
        sensor: name or file of its sensor.
        frame: what the axes of its files mean.
        label_map: name of the label map.
        scans: usable ones.
        is_as_described: whether they were read as the data set is described; otherwise as the settings of the
            first findings say, without which no scan can be used.
        unlabelled_scans: usable scans without labels.
        have_instances: whether labels hold numbers of instances in the upper 16 bits, which are dropped.
        points: number of points in usable scans.
        splits: sequences of each split.
        classes: every class of the label map, and `ignored` last.
        rings: what is known of the sensor's rings.
        stated_intensity_range: intensities that are remission 0 and 1.
        found_intensity_range: smallest and largest intensity in the readable files; None without any.
        max_range_m: distance of the farthest point.
        not_finite_points: dropped since a coordinate is NaN or infinite.
        no_return_points: dropped since they lie at the origin.
        duplicate_scans: number of scans with the same points as an earlier one.
        coordinates: what the numbers of its files mean, as stated.
        corrected_coordinates: the same with what was estimated; None without an estimate.
        geometry: estimated from some scans; None if they have too few points.
        sensor_matches: known sensors, the likeliest first; empty without an estimate.
        image: what the range image loses; None where there is none.
        image_problem: why there is none; empty if there is one.
        findings: what is odd, errors first.
        problems: scans that cannot be used.
        is_usable: whether every scan can be used and no finding is an error.
    """

    path: Path
    name: str
    sensor: str
    frame: str
    label_map: str
    scans: int
    is_as_described: bool
    unlabelled_scans: int
    have_instances: bool
    points: int
    splits: Mapping[str, tuple[str, ...]]
    classes: tuple[ClassCount, ...]
    rings: RingCounts
    stated_intensity_range: tuple[float, float]
    found_intensity_range: tuple[float, float] | None
    max_range_m: float
    not_finite_points: int
    no_return_points: int
    duplicate_scans: int
    coordinates: Coordinates
    corrected_coordinates: Coordinates | None
    geometry: GeometryEstimate | None
    sensor_matches: tuple[SensorMatch, ...]
    image: ImageReport | None
    image_problem: str
    findings: tuple[Finding, ...]
    problems: tuple[Problem, ...]
    is_usable: bool
    _source: DataSource = field(repr=False)
    _found: Inspection = field(repr=False)
    _config: DatasetConfig = field(repr=False)

    @classmethod
    def of(cls, source: DataSource, found: Inspection, config: DatasetConfig) -> DatasetReport:
        """Return what an inspection of a data set with a description found."""
        counts = zip(
            (*source.label_map.class_names, "ignored"),
            found.points_of_class,
            found.scans_of_class,
            strict=True,
        )
        low, high = found.facts.intensity
        return cls(
            path=source.path,
            name=source.name,
            sensor=source.sensor,
            frame=source.frame,
            label_map=source.label_map.name,
            scans=found.num_scans,
            is_as_described=found.is_as_described,
            unlabelled_scans=found.num_unlabelled_scans,
            have_instances=found.facts.num_instance_scans > 0,
            points=found.num_points,
            splits={name: tuple(sequences) for name, sequences in source.sequences_of.items()},
            classes=tuple(ClassCount(name, int(points), int(scans)) for name, points, scans in counts),
            rings=_rings(found),
            stated_intensity_range=source.intensity_range,
            found_intensity_range=(low, high) if np.isfinite((low, high)).all() else None,
            max_range_m=found.max_range_m,
            not_finite_points=found.num_not_finite,
            no_return_points=found.num_no_return,
            duplicate_scans=found.facts.num_duplicates,
            coordinates=source.coordinates,
            corrected_coordinates=None
            if found.geometry is None
            else corrected(source.coordinates, found.geometry),
            geometry=found.geometry,
            sensor_matches=() if found.geometry is None else tuple(matches_of(source, found.geometry)),
            image=None if found.image is None else ImageReport.of(found.image),
            image_problem=found.image_problem,
            findings=found.findings,
            problems=tuple(found.problems),
            is_usable=found.is_usable,
            _source=source,
            _found=found,
            _config=config,
        )

    def suggestion(self) -> Suggestion:
        """Return a `dataset.yaml` that mends what is found.

        Raises:
            DataError: if no scan can be used.
        """
        if not self.scans:
            raise DataError(
                f"No scan of {self.path} can be used, so that nothing can be suggested. The first problem: "
                f"{self.problems[0].scan}: {self.problems[0].message}"
            )
        text = suggested_config(self._source, self._config, self.geometry, self.findings)
        return Suggestion(text, drafted_files(self.findings), self.path)

    def picture(self) -> bytes:
        """Draw a scan as PNG: range image, labels, and views from above with what was estimated.

        Raises:
            DataError: if no scan can be read.
        """
        from hwnas.data.inspection.dataset_pictures import draw_dataset

        return draw_dataset(self._source, self._found)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values, as `hwnas data info --json` prints them."""
        return {
            "schema_version": 1,
            "path": str(self.path),
            "name": self.name,
            "sensor": self.sensor,
            "frame": self.frame,
            "label_map": self.label_map,
            "scans": self.scans,
            "is_as_described": self.is_as_described,
            "unlabelled_scans": self.unlabelled_scans,
            "have_instances": self.have_instances,
            "points": self.points,
            "splits": {name: list(sequences) for name, sequences in self.splits.items()},
            "classes": [vars(count) for count in self.classes],
            "rings": {
                "scans_by_number_of_rings": {
                    str(rings): scans for rings, scans in self.rings.scans_by_number_of_rings.items()
                },
                "scans_not_ring_ordered": self.rings.scans_not_ring_ordered,
                "mean_points_per_ring": list(self.rings.mean_points_per_ring),
            },
            "intensity": {
                "stated": list(self.stated_intensity_range),
                "found": _listed(self.found_intensity_range),
            },
            "max_range_m": self.max_range_m,
            "dropped_points": {"not_finite": self.not_finite_points, "no_return": self.no_return_points},
            "duplicate_scans": self.duplicate_scans,
            "coordinates": self.coordinates.to_json(),
            "geometry": self._geometry_json(),
            "image": None if self.image is None else self.image.to_json(),
            "image_problem": self.image_problem or None,
            "findings": [finding.to_json() for finding in self.findings],
            "problems": [{"scan": problem.scan, "message": problem.message} for problem in self.problems],
        }

    def _geometry_json(self) -> dict[str, Any] | None:
        if self.geometry is None or self.corrected_coordinates is None:
            return None
        return {
            **self.geometry.to_json(),
            "sensor_matches": [
                {"sensor": match.sensor, "score": round(match.score, 3), "fits": match.fits}
                for match in self.sensor_matches[:3]
            ],
            "corrected_coordinates": self.corrected_coordinates.to_json(),
        }

    def __repr__(self) -> str:
        """Return the figures that matter most, in a line."""
        return one_line(
            self,
            self.name,
            counted(self.scans, "usable scan"),
            f"{self.unlabelled_scans} of them without labels" if self.unlabelled_scans else "",
            counted(self.points, "point"),
            f"sensor {self.sensor}",
            counted(len(self.problems), "unusable scan") if self.problems else "",
            counted(len(self.findings), "finding"),
            "usable" if self.is_usable else "not usable as it is",
        )

    def _repr_html_(self) -> str:
        """Return counts and findings for notebooks; text from outside is escaped."""
        rows = [[one.severity, one.kind, one.message, one.remedy] for one in self.findings]
        rows += [["error", one.scan, one.message, ""] for one in self.problems]
        return html_table(repr(self).strip("<>"), ("level", "about", "what", "what to do"), rows)


def inspect_dataset(
    path: str | Path,
    *,
    strict: bool = False,
    label_map: str | Path | None = None,
    width: int = MAX_WIDTH,
    progress: Listener[CountStatus] | None = None,
) -> DatasetReport:
    """Read a whole data set and say what is in it and what is odd about it.

    Args:
        path: SemanticKITTI directory, directory with a `dataset.yaml`, or such a file.
        strict: refuse scans with NaN or infinite coordinates.
        label_map: name or YAML file of another label map.
        width: columns of the range image whose losses count.
        progress: is told how many scans were looked at, after each.

    Raises:
        DataError: if this is not a data set, or its description is wrong.
        PluginError: if its format is not registered.
    """
    _, config = find_config(Path(path))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)  # what cannot be read is among the problems
        source = open_dataset(path, label_map=label_map, strict=strict)
    return DatasetReport.of(*inspect_as_stored(source, progress, width=width), config)


def _listed(values: tuple[float, ...] | None) -> list[float] | None:
    return None if values is None else list(values)


def _rings(found: Inspection) -> RingCounts:
    num_ordered = sum(found.rings.values())
    per_ring = found.points_of_ring / num_ordered if num_ordered else found.points_of_ring
    return RingCounts(
        dict(sorted(found.rings.items())),
        found.num_unordered_scans,
        tuple(round(float(count), 1) for count in per_ring),
    )
