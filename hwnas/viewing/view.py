"""Shows scans as they are, as they are labelled, and as bundles label them, side by side and over time."""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hwnas.bundle.runtime.runner import Runner
from hwnas.data.datasets.dataset import open_dataset
from hwnas.data.scan_files.containers import format_of_container
from hwnas.data.scan_files.intensity import intensity_of
from hwnas.errors import BundleError, ConfigError, DataError
from hwnas.files import checked_path, naming, refuse_foreign
from hwnas.labels import IGNORED_LABEL
from hwnas.progress import CountStatus, Listener
from hwnas.scan import DataWarning, Scan
from hwnas.scratch import ScratchDirectory
from hwnas.text import counted, one_line, shown
from hwnas.thread_counts import checked_threads
from hwnas.viewing.recording import Recording, is_recording, require_rerun

if TYPE_CHECKING:
    from hwnas.bundle.signature import Trust
    from hwnas.data.datasets.scan_dataset import ScanDataset


_NS_DIGITS = 19
_TOPS = (1.0, 255.0, 65535.0)
"""Intensities that sensors count up to."""


@dataclass(frozen=True)
class ViewOptions:
    """What is shown, and how.

    Attributes:
        split: split of the data set; None for all of its scans.
        every: each n-th scan is shown, at least 1.
        most: scans that are shown, at least 1; None for all.
        threads: number of threads of one inference; 0 for all cores.
        precision: precision of the networks, or `recommended`.
        force: replace a recording.
    """

    split: str | None = None
    every: int = 1
    most: int | None = None
    threads: int = 1
    precision: str = "fp32"
    force: bool = False

    def check(self) -> None:
        """Refuse numbers that mean nothing.

        Raises:
            ConfigError: if one does.
        """
        checked_threads(self.threads)
        for name, value in (("every", self.every), ("most", self.most)):
            if value is not None and value < 1:
                raise ConfigError(f"`{name}=` is {value}; expected 1 or more.")


@dataclass
class ViewedBundle:
    """What a bundle made of the scans.

    Attributes:
        path: path of the bundle.
        name: name in the view.
        labelled: scans.
        refused: why scans were not labelled, by the id of the scan.
        compared: points with a true label, of scans that it labelled; true labels are merged as its own are.
        wrong: how many of these it labels otherwise.
        why_not_compared: why labels are not compared with true ones that are there; empty if they are.
        warnings: what is unusual about scans, with how many of them each is about.
    """

    path: Path
    name: str
    labelled: int = 0
    refused: dict[str, str] = field(default_factory=dict)
    compared: int = 0
    wrong: int = 0
    why_not_compared: str = ""
    warnings: Counter[str] = field(default_factory=Counter)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {**vars(self), "path": str(self.path), "warnings": dict(self.warnings)}


@dataclass(frozen=True)
class View:
    """What is shown.

    Attributes:
        path: path of the data set or bag.
        out: the recording that was written; None if a viewer shows it.
        scans: number of scans that are shown.
        labelled_scans: how many of them have labels of their own.
        bundles: every bundle that labels them.
    """

    path: Path
    out: Path | None
    scans: int
    labelled_scans: int
    bundles: tuple[ViewedBundle, ...]

    def __repr__(self) -> str:
        """Return the figures that matter most, in a line."""
        shares = (f"{one.name} {one.wrong / one.compared:.1%} wrong" for one in self.bundles if one.compared)
        return one_line(self, str(self.path), counted(self.scans, "scan"), *shares)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values, as `hwnas view --json` prints them."""
        return {
            "path": str(self.path),
            "out": None if self.out is None else str(self.out),
            "scans": self.scans,
            "labelled_scans": self.labelled_scans,
            "bundles": [one.to_json() for one in self.bundles],
        }


def view(
    path: str | os.PathLike[str],
    bundles: Sequence[str | os.PathLike[str]] = (),
    out: str | os.PathLike[str] | None = None,
    options: ViewOptions | None = None,
    *,
    trust: Trust | None = None,
    progress: Listener[CountStatus] | None = None,
) -> View:
    """Show scans of a data set or a bag in rerun's viewer, or write a recording for it.

    Side by side stand the scan by intensity, its labels where it has some (in the classes of the first
    bundle), and for every bundle the labels that `hwnas infer` gives and the points that these get wrong.
    Scans follow each other on the timeline `scan`; those of a bag on `time`, too, when they were recorded.

    Args:
        path: SemanticKITTI directory, directory with `dataset.yaml`, `dataset.yaml`, or bag.
        bundles: directories of LiDAR bundles.
        out: recording to write, `.rrd`; a viewer is opened if None.
        options: what and how; the defaults if None.
        trust: who must have signed the bundles.
        progress: is told of every scan.

    Raises:
        BundleError: if a bundle cannot be used, or is for no LiDAR.
        ConfigError: if rerun is missing, the viewer cannot be opened, or an option or `out` cannot be used.
        DataError: if the data set or bag cannot be read, or has no scan.
        OSError: if the recording cannot be written.
    """
    options = options or ViewOptions()
    options.check()
    path = checked_path(path, "The data set or bag", DataError)
    places = [checked_path(one, "The bundle", BundleError) for one in bundles]
    out = None if out is None else checked_path(out, "`out=`")
    if out is not None:
        _refuse_output(out, force=options.force)
    require_rerun()
    scans = _chosen(path, options)
    with ExitStack() as stack:
        runners = [
            stack.enter_context(
                Runner(one, threads=options.threads, precision=options.precision, trust=trust)
            )
            for one in places
        ]
        scans = _in_classes_of(_in_unit_of(scans, path, runners), runners)
        viewed = [ViewedBundle(place, name) for place, name in zip(places, _names(places), strict=True)]
        has_truth = any(one.labels is not None for one in scans.files) or scans.reader.embedded_labels
        work = _Work(scans, runners, viewed, progress)
        titles = [one.name for one in viewed]
        if out is None:
            with Recording.in_viewer(path.name, titles, has_truth=has_truth) as recording:
                work.record(recording)
        else:
            with naming(out), ScratchDirectory("view", parent=str(out.parent)) as scratch:
                made = Path(scratch) / out.name
                with Recording.in_file(made, path.name, titles, has_truth=has_truth) as recording:
                    work.record(recording)
                made.replace(out)
    return View(path, out, len(scans), work.labelled_scans, tuple(viewed))


def _refuse_output(out: Path, *, force: bool) -> None:
    """Refuse a place where no recording can or may be written.

    Raises:
        ConfigError: if there is a file already, or the directory is missing.
    """
    if out.suffix.lower() != ".rrd":
        raise ConfigError(f"`out=` is {shown(str(out))}; recordings of rerun end in .rrd.")
    if os.path.lexists(out) and not force:
        raise ConfigError(f"{out} exists already. Give `force=True` to replace it, or another `out=`.")
    refuse_foreign(out, "a recording", is_recording)


def _chosen(path: Path, options: ViewOptions) -> ScanDataset:
    """Return the scans that are shown.

    Raises:
        DataError: if there is none.
    """
    source = open_dataset(path)
    scans = source.all_scans if options.split is None else source.split(options.split)
    scans = scans[:: options.every]
    scans = scans if options.most is None else scans[: options.most]
    if not len(scans):
        raise DataError(f"{path} has no scan to show.")
    return scans


def _in_unit_of(scans: ScanDataset, path: Path, runners: Sequence[Runner]) -> ScanDataset:
    """Return scans of a bag that no `dataset.yaml` describes as the first bundle reads them.

    Without a bundle, the first scan tells how bright the brightest point may be.

    Raises:
        DataError: if that scan cannot be read.
    """
    if format_of_container(path) is None:
        return scans
    if runners:
        first = runners[0]
        reader = replace(scans.reader, intensity_range=first.intensity_range, coordinates=first.coordinates)
    else:
        intensity = scans.reader.read_raw(scans.files[0]).intensity
        brightest = float(np.nanmax(intensity, initial=0.0))
        top = next((one for one in _TOPS if brightest <= one), brightest)
        reader = replace(scans.reader, intensity_range=(0.0, top))
    return replace(scans, reader=reader)


def _in_classes_of(scans: ScanDataset, runners: Sequence[Runner]) -> ScanDataset:
    """Return scans with labels in the classes of the first bundle, if they can be, so that colours agree."""
    if not runners or runners[0].label_map == scans.label_map:
        return scans
    merged = replace(scans, reader=replace(scans.reader, label_map=runners[0].label_map))
    try:
        merged.reader.read(merged.files[0])
    except DataError:  # they are of other classes, or cannot be read, which is told later
        return scans
    return merged


def _names(bundles: Sequence[Path]) -> list[str]:
    """Return names of bundles: those of their directories, numbered where they repeat."""
    stems = [one.resolve().name for one in bundles]
    seen: Counter[str] = Counter()
    names = []
    for stem in stems:
        seen[stem] += 1
        names.append(stem if stems.count(stem) == 1 else f"{stem}-{seen[stem]}")
    return names


class _Work:
    """Scans on their way into a recording."""

    def __init__(
        self,
        scans: ScanDataset,
        runners: Sequence[Runner],
        viewed: Sequence[ViewedBundle],
        progress: Listener[CountStatus] | None,
    ) -> None:
        self._scans, self._runners, self._viewed = scans, runners, viewed
        self._progress = progress or (lambda _: None)
        self.labelled_scans = 0

    def record(self, recording: Recording) -> None:
        """Record every scan, with what there is to say of it."""
        classes = self._scans.label_map
        recording.explain("truth", classes.class_names, classes.colors)
        for runner, one in zip(self._runners, self._viewed, strict=True):
            recording.explain(f"bundles/{one.name}", runner.label_map.class_names, runner.label_map.colors)
        for number in range(len(self._scans)):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DataWarning)  # `hwnas data info` says them
                scan = self._scans[number]
            recording.begin(number, scan.id, _time_ns(self._scans, scan))
            recording.scan(scan.points, scan.remission)
            if scan.labels is not None:
                self.labelled_scans += 1
                recording.labels("truth", scan.points, scan.labels)
            for runner, one in zip(self._runners, self._viewed, strict=True):
                self._label(recording, scan, runner, one, self._truth_for(number, scan, runner, one))
            self._progress(CountStatus(number + 1, len(self._scans)))

    def _truth_for(
        self, number: int, scan: Scan, runner: Runner, one: ViewedBundle
    ) -> npt.NDArray[np.uint8] | None:
        """Return the true labels of a scan in the classes of a bundle; None where there are none."""
        if scan.labels is None or runner.label_map == self._scans.label_map:
            return scan.labels
        reader = replace(self._scans.reader, label_map=runner.label_map)
        try:
            return reader.read(self._scans.files[number])[0].labels
        except DataError as error:
            one.why_not_compared = str(error)
            return None

    def _label(
        self,
        recording: Recording,
        scan: Scan,
        runner: Runner,
        one: ViewedBundle,
        truth: npt.NDArray[np.uint8] | None,
    ) -> None:
        """Record what a bundle says of a scan, and what of it is wrong."""
        intensity = intensity_of(scan.remission, runner.intensity_range)
        try:
            found = runner.segment(scan.points, intensity, scan.ring, scan.time)
        except DataError as error:
            one.refused[scan.id] = str(error)
            recording.clear(f"bundles/{one.name}")
            return
        one.labelled += 1
        one.warnings.update(found.warnings)
        recording.labels(f"bundles/{one.name}/labels", scan.points, found.labels)
        if truth is None:
            return
        compared = truth != IGNORED_LABEL
        wrong = compared & (found.labels != truth)
        one.compared += int(np.count_nonzero(compared))
        one.wrong += int(np.count_nonzero(wrong))
        recording.errors(f"bundles/{one.name}", scan.points[wrong], truth[wrong], _share(wrong, compared))


def _share(wrong: npt.NDArray[np.bool_], compared: npt.NDArray[np.bool_]) -> float:
    return int(np.count_nonzero(wrong)) / max(int(np.count_nonzero(compared)), 1)


def _time_ns(scans: ScanDataset, scan: Scan) -> int | None:
    """Return when a scan of a bag was recorded, which its name says; None of others."""
    name = scan.id.rpartition("/")[2].partition("-")[0]
    is_time = scans.format in ("rosbag", "mcap", "db3", "bag") and len(name) == _NS_DIGITS
    return int(name) if is_time and name.isascii() and name.isdigit() else None
