"""Reads a whole data set once and says what is in it and what is wrong with it.

Every scan is counted; some, spread over the data set, are looked at in detail for estimates of geometry
(`hwnas.data.inspection.estimates`) and for what a range image loses of them. Memory does not grow with the
number of scans.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from hwnas.data.datasets.dataset import DataSource, DataWarning
from hwnas.data.datasets.reading import Dropped, ScanFiles
from hwnas.data.geometry.beam_cones import cones_of
from hwnas.data.geometry.image_geometry import (
    StatedProjection,
    default_height,
    examined_places,
    geometry_of_images,
)
from hwnas.data.inspection.estimates import GeometryEstimate, estimate_geometry
from hwnas.data.inspection.findings.finding import ERROR, ContentFacts, Finding
from hwnas.data.inspection.findings.oddities import find_oddities
from hwnas.data.inspection.image_loss import DEFAULT_WIDTH, ImageLoss
from hwnas.data.inspection.sensor_places import Cloud
from hwnas.data.scan_files.formats import RawScan, WrongOptionsError
from hwnas.data.scan_files.frames import Coordinates
from hwnas.errors import ConfigError, DataError
from hwnas.json_values import JsonObject
from hwnas.labels import IGNORED_LABEL
from hwnas.progress import CountStatus, Listener
from hwnas.range_view.angles import has_direction, range_of
from hwnas.range_view.grids import rings_of_grid
from hwnas.range_view.projection_spec import ProjectionSpec
from hwnas.range_view.rings import recover_rings
from hwnas.scan import Scan

_MAX_RINGS = 1 << 16
_MOST_BEAMS = 256
_PLACES = 4
"""Places in the data set where a scan and the one after it are looked at in detail."""
_MAX_DIGESTS = 1 << 16
_SHOWN_DUPLICATES = 20
_DIRECTION_STEPS = 100_000
"""Steps of a direction's coordinates: finer than any sensor, coarser than float32."""


@dataclass(frozen=True)
class Problem:
    """A scan that cannot be used, why, and the `format_options` that would read it, if these are known."""

    scan: str
    message: str
    format_options: JsonObject = field(default_factory=dict)


@dataclass
class Inspection:
    """What is in a data set. Memory does not grow with the number of scans, only with that of problems.

    Attributes:
        num_classes: classes of the label map.
        num_scans: usable scans.
        num_points: points in them.
        num_unlabelled_scans: usable scans without labels.
        points_of_class: [K + 1] points of each class; the last element counts ignored ones.
        scans_of_class: [K + 1] scans that hold the class.
        points_of_sequence: by name of the sequence, [K + 1] points of each class in it.
        points_of_ring: points of each ring, over all scans whose rings are known.
        rings: number of rings -> number of scans.
        num_unordered_scans: scans whose rings are neither given nor recoverable.
        remission: smallest and largest remission.
        max_range_m: distance of the farthest point, metres.
        num_not_finite: points dropped since a coordinate is NaN or infinite.
        num_no_return: points dropped since they lie at the origin.
        problems: scans that cannot be used.
        facts: what findings about content follow from.
        geometry: estimated from some scans; None if they have too few points.
        image: what the range image of training, with settings that state none, loses of those scans; None
            where there is none.
        image_problem: why there is none; empty if there is one.
        findings: what is odd, errors first.
        is_as_described: whether scans were read as the data set says; otherwise as the first findings do.
    """

    num_classes: int
    num_scans: int = 0
    num_points: int = 0
    num_unlabelled_scans: int = 0
    points_of_class: npt.NDArray[np.int64] = field(init=False)
    scans_of_class: npt.NDArray[np.int64] = field(init=False)
    points_of_sequence: dict[str, npt.NDArray[np.int64]] = field(default_factory=dict)
    points_of_ring: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    rings: dict[int, int] = field(default_factory=dict)
    num_unordered_scans: int = 0
    remission: tuple[float, float] = (np.inf, -np.inf)
    max_range_m: float = 0.0
    num_not_finite: int = 0
    num_no_return: int = 0
    problems: list[Problem] = field(default_factory=list)
    facts: ContentFacts = field(default_factory=ContentFacts)
    geometry: GeometryEstimate | None = None
    image: ImageLoss | None = None
    image_problem: str = ""
    findings: tuple[Finding, ...] = ()
    is_as_described: bool = True

    @property
    def points_per_turn(self) -> float:
        """Mean points of the fullest ring of a scan; 0 where no scan has rings."""
        scans = sum(self.rings.values())
        return float(self.points_of_ring.max()) / scans if scans else 0.0

    @property
    def is_usable(self) -> bool:
        """Whether every scan can be used and no finding is an error."""
        return not self.problems and all(finding.severity != ERROR for finding in self.findings)

    def __post_init__(self) -> None:
        self.points_of_class = np.zeros(self.num_classes + 1, np.int64)
        self.scans_of_class = np.zeros(self.num_classes + 1, np.int64)

    def points_of_split(self, sequences: Iterable[str]) -> list[int]:
        """Return the points of each class [K + 1] in some sequences."""
        counts = np.zeros(self.num_classes + 1, np.int64)
        for name in sequences:
            counts += self.points_of_sequence.get(name, 0)
        return [int(count) for count in counts]

    def add(self, scan: Scan, dropped: Dropped, sequence: str) -> None:
        """Count one scan of a sequence."""
        self.num_scans += 1
        self.num_points += len(scan)
        self.num_not_finite += dropped.not_finite
        self.num_no_return += dropped.no_return
        self.max_range_m = max(self.max_range_m, float(range_of(scan.points).max()))
        low, high = self.remission
        self.remission = (min(low, float(scan.remission.min())), max(high, float(scan.remission.max())))
        self._add_labels(scan.labels, sequence)
        ring = scan.ring if scan.ring is not None else recover_rings(scan.points)
        self._add_rings(rings_of_grid(scan.points) if ring is None else ring)

    def _add_labels(self, labels: npt.NDArray[np.uint8] | None, sequence: str) -> None:
        if labels is None:
            self.num_unlabelled_scans += 1
            return
        counts = np.bincount(labels, minlength=256)
        counts = np.append(counts[: self.num_classes], counts[IGNORED_LABEL])
        self.points_of_class += counts
        self.points_of_sequence[sequence] = self.points_of_sequence.get(sequence, 0) + counts
        self.scans_of_class += counts > 0

    def _add_rings(self, ring: npt.NDArray[np.int32] | None) -> None:
        if ring is None or int(ring.min()) < 0 or int(ring.max()) >= _MAX_RINGS:
            self.num_unordered_scans += 1
            return
        counts = np.bincount(ring).astype(np.int64)
        size = max(len(counts), len(self.points_of_ring))
        self.points_of_ring = _padded(self.points_of_ring, size) + _padded(counts, size)
        self.rings[len(counts)] = self.rings.get(len(counts), 0) + 1


def inspect_source(
    source: DataSource, progress: Listener[CountStatus] | None = None, *, width: int = DEFAULT_WIDTH
) -> Inspection:
    """Read every scan of a data set; malformed ones become problems instead of errors.

    Args:
        source: the data set.
        progress: is told how many scans were looked at, after each.
        width: columns of the range image whose losses are counted.

    Raises:
        DataError: if the data set names a sensor file that does not describe one.
    """
    _ = source.sensor_table  # a file that is wrong is refused before a long reading
    found = Inspection(source.label_map.num_classes)
    found.problems += [Problem(one.path, one.message) for one in source.unreadable]
    scans = source.all_scans
    detailed = scans_in_detail(scans.files)
    clouds: list[Cloud] = []
    chosen: list[Scan] = []
    digests: dict[bytes, str] = {}
    for number, files in enumerate(scans.files):
        try:
            raw = scans.reader.read_raw(files)
            _count_raw(found.facts, raw, files, digests)
            if number in detailed:
                clouds.append(_cloud(number, files, raw, source.coordinates))
                found.facts.num_detailed += 1
                found.facts.num_ring_like_intensities += _is_ring(raw.intensity, raw, source.coordinates)
            scan, dropped = scans.reader.scan_of(raw, files)
            found.add(scan, dropped, files.sequence)
            if number in detailed:
                chosen.append(scan)
                found.facts.num_instance_scans += scans.reader.has_instances(files, raw)
        except DataError as error:
            options = error.options if isinstance(error, WrongOptionsError) else {}
            found.problems.append(Problem(files.id, str(error), options))
        if progress is not None:
            progress(CountStatus(number + 1, len(scans)))
    found.facts.points_of_class = found.points_of_class.tolist()
    found.facts.points_of_split = {
        name: found.points_of_split(sequences) for name, sequences in source.sequences_of.items()
    }
    found.facts.points_per_turn = found.points_per_turn
    found.facts.points_per_scan = found.num_points / max(1, found.num_scans)
    found.facts.max_range_m = found.max_range_m
    found.facts.second_return_share = max((_second_returns(scan.points) for scan in chosen), default=0.0)
    found.geometry = estimate_geometry(clouds, sensor_height_m=source.sensor_height_m)
    _add_image_loss(found, source, chosen, width)
    found.findings = find_oddities(source, found.facts, found.geometry, found.image, found.image_problem)
    return found


def scans_in_detail(files: tuple[ScanFiles, ...]) -> frozenset[int]:
    """Return the numbers of the scans that are looked at in detail: some places, and the scan after each."""
    places = np.linspace(0, max(0, len(files) - 2), _PLACES).round().astype(int)
    return frozenset(int(place) + after for place in places for after in (0, 1) if place + after < len(files))


def _count_raw(facts: ContentFacts, raw: RawScan, files: ScanFiles, digests: dict[bytes, str]) -> None:
    facts.num_scans += 1
    usable = raw.intensity[np.isfinite(raw.intensity) & raw.points.any(axis=1)]
    if len(usable):
        low, high = float(usable.min()), float(usable.max())
        facts.intensity = (min(low, facts.intensity[0]), max(high, facts.intensity[1]))
        facts.num_constant_intensity += low == high
    facts.num_constant_ring += raw.ring is not None and bool((raw.ring == raw.ring[0]).all())
    digest = hashlib.blake2b(np.ascontiguousarray(raw.points).tobytes(), digest_size=16).digest()
    if digest in digests:
        facts.num_duplicates += 1
        if len(facts.duplicates) < _SHOWN_DUPLICATES:
            facts.duplicates.append((files.id, digests[digest]))
    elif len(digests) < _MAX_DIGESTS:
        digests[digest] = files.id


def _is_ring(values: npt.NDArray[np.float32], raw: RawScan, coordinates: Coordinates) -> bool:
    """Whether values [N] of the points of a scan that gives rings are rings themselves."""
    if raw.ring is None or not np.isin(values, np.arange(_MOST_BEAMS)).all():
        return False
    points = np.asarray(coordinates.in_sensor_frame(raw.points), np.float32)
    cones = cones_of(points, values.astype(np.int32))
    return cones is not None and cones.is_clear


def _second_returns(points: npt.NDArray[np.float32]) -> float:
    """Return the share of points [N, 3] that lie in the very direction of another one, 0..1."""
    direction = points.astype(np.float64)
    direction /= np.linalg.norm(direction, axis=1)[:, None]
    steps = np.rint(direction * _DIRECTION_STEPS).astype(np.int64) + _DIRECTION_STEPS
    number = (steps[:, 0] << 42) | (steps[:, 1] << 21) | steps[:, 2]
    return 1.0 - len(np.unique(number)) / len(points)


def _cloud(number: int, files: ScanFiles, raw: RawScan, coordinates: Coordinates) -> Cloud:
    usable = has_direction(raw.points)
    points = raw.points[usable]
    return Cloud(
        sequence=files.sequence,
        number=number,
        points=np.ascontiguousarray(coordinates.in_sensor_frame(points)),
        ring=None if raw.ring is None else raw.ring[usable],
        largest=float(np.abs(points).max()) if len(points) else 0.0,
        unit_m=coordinates.unit_m,
        are_whole=bool((points == np.round(points)).all()),
        time=None if raw.time is None else raw.time[usable],
    )


def _spec_of(source: DataSource, width: int) -> ProjectionSpec:
    """Return the projection of training with settings that state none.

    Raises:
        DataError or ConfigError: if there is none.
    """
    sensor, scans = source.sensor_table, source.all_scans
    wanted = set(source.sequences_of.get("train", ()))
    files = tuple(one for one in scans.files if one.sequence in wanted) or scans.files
    readable = []
    for place in examined_places(len(files)):
        try:
            readable.append(scans.reader.read(files[place])[0])
        except DataError:  # already a problem of its own
            continue
    height = default_height(None, sensor)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)  # the field of view is part of what is shown
        geometry = geometry_of_images(readable, StatedProjection(), sensor, source.sensor, height)
    return geometry.spec(height, width)


def _add_image_loss(found: Inspection, source: DataSource, scans: list[Scan], width: int) -> None:
    """Project scans as they are read now, and count what is lost."""
    try:
        found.image = image = ImageLoss(_spec_of(source, width), source.label_map.num_classes)
    except (DataError, ConfigError) as error:
        found.image_problem = str(error)
        return
    for scan in scans:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DataWarning)  # counted in `scans_of_method`
                image.add(scan)
        except DataError as error:
            image.num_refused += 1
            image.problem = image.problem or f"{scan.id}: {error}"


def _padded(counts: npt.NDArray[np.int64], size: int) -> npt.NDArray[np.int64]:
    return np.pad(counts, (0, size - len(counts)))
