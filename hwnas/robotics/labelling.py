"""What replays of bags and nodes do with one cloud: points out of it, labels for them, messages of these."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hwnas.bundle.runtime.runner import Runner
from hwnas.errors import ConfigError, did_you_mean
from hwnas.robotics.cloud_making import CloudHeader, coloured_cloud, filtered_cloud, segmented_cloud
from hwnas.robotics.cloud_scans import CLOUD_OPTIONS, cloud_fields_of, refuse_unknown_options, scan_of_cloud
from hwnas.robotics.point_cloud2 import PointCloud2
from hwnas.text import shown

if TYPE_CHECKING:
    from hwnas.bundle.runtime.results import Segmentation
    from hwnas.data.scan_files.formats import RawScan

FORMAT_NAME = "rosbag"
"""As data sets call what is read of clouds: a bundle that was trained on bags states options of it."""
SEGMENTATION, VISUALIZATION, FILTERED = "segmentation", "visualization", "filtered"
"""What is appended to the name of the input topic, as Autoware names its outputs."""


class StepClock:
    """Times of the steps of one scan, one after the other, in milliseconds."""

    def __init__(self) -> None:
        self.times_ms: dict[str, float] = {}
        self._last_s = time.perf_counter()

    def end(self, step: str) -> None:
        """Count what went by since the end of the step before, or of another part of this one."""
        now = time.perf_counter()
        self.times_ms[step] = self.times_ms.get(step, 0.0) + (now - self._last_s) * 1e3
        self._last_s = now

    def skip(self) -> None:
        """Count nothing of what went by since the end of the step before."""
        self._last_s = time.perf_counter()

    @property
    def total_ms(self) -> float:
        """All steps together."""
        return sum(self.times_ms.values())


@dataclass(frozen=True, eq=False)
class ReadCloud:
    """A cloud, and the scan that it holds.

    Attributes:
        cloud: the message.
        positions: [N, 3] its points as they were sent, metres.
        scan: the same points in the frame of the sensor, with what the message says of them.
    """

    cloud: PointCloud2
    positions: npt.NDArray[Any]
    scan: RawScan


@dataclass(frozen=True, eq=False)
class LabelledCloud:
    """A cloud and what the network says of it.

    Attributes:
        cloud: the message.
        positions: [N, 3] its points as they were sent, metres.
        labels: [N] uint8 train ids, 255 for points without one.
        scores: [N] float32, 0 to 1, see `Segmentation.scores`.
        warnings: what is unusual about the scan, or could not be checked; sentences.
    """

    cloud: PointCloud2
    positions: npt.NDArray[Any]
    labels: npt.NDArray[np.uint8]
    scores: npt.NDArray[np.float32]
    warnings: tuple[str, ...]


class CloudLabeller:
    """Labels clouds with a bundle, and makes the messages that say so. Several threads may use it at once.

    Attributes:
        runner: of the bundle.
    """

    def __init__(
        self,
        runner: Runner,
        *,
        format_options: Mapping[str, Any] | None = None,
        remove_classes: Sequence[str] = (),
        source: Path = Path("cloud"),
    ) -> None:
        """Take a LiDAR bundle.

        Args:
            runner: of the bundle.
            format_options: names of fields by the names of `CloudFields`, instead of what the
                bundle states.
            remove_classes: names of classes whose points filtered clouds leave out.
            source: what clouds come from, for messages.

        Raises:
            BundleError: if the bundle is for no LiDAR.
            ConfigError: if the bundle does not know a class.
            DataError: if a format option is unknown, or means nothing.
        """
        check_format_options(format_options or {}, "clouds")
        self.runner = runner
        self._format_options, self._source = format_options or {}, source
        self._removed = _indices(remove_classes, runner.label_map.class_names)

    def read(self, cloud: PointCloud2) -> ReadCloud:
        """Return a cloud as `hwnas infer` reads a scan of a bag.

        Raises:
            DataError: if it lacks points, intensity or a field that is named, or one means nothing.
        """
        sent: list[RawScan] = []

        def read(_: Path, options: Mapping[str, Any]) -> RawScan:
            sent.append(scan_of_cloud(cloud, cloud_fields_of(options)))
            return sent[0]

        scan = self.runner.read_scan_with(read, FORMAT_NAME, self._source, self._format_options)
        return ReadCloud(cloud, sent[0].points, scan)

    def label(self, read: ReadCloud, clock: StepClock | None = None) -> LabelledCloud:
        """Return what the network says of a cloud: the labels that `hwnas infer` gives the same points.

        Args:
            read: the cloud.
            clock: is told the ends of `preprocess`, `network` and `postprocess`.

        Raises:
            BundleError: if the network cannot be run.
            DataError: if the bundle refuses the scan.
        """
        clock = clock or StepClock()
        arrays, context = self.runner.lidar.before(read.scan)
        clock.end("preprocess")
        outputs = self.runner.predict(arrays)
        clock.end("network")
        result: Segmentation = self.runner.lidar.after(outputs, context)
        scores = result.scores
        clock.end("postprocess")
        return LabelledCloud(read.cloud, read.positions, result.labels, scores, result.warnings)

    def messages(self, found: LabelledCloud, kinds: Collection[str]) -> dict[str, PointCloud2]:
        """Return the messages of these kinds: `segmentation`, `visualization`, `filtered`.

        Raises:
            DataError: if one cannot be made.
        """
        header = CloudHeader.of(found.cloud)
        made = {}
        if SEGMENTATION in kinds:
            made[SEGMENTATION] = segmented_cloud(header, found.positions, found.labels, found.scores)
        if VISUALIZATION in kinds:
            colours = self.runner.label_map.colors
            made[VISUALIZATION] = coloured_cloud(header, found.positions, found.labels, colours)
        if FILTERED in kinds:
            made[FILTERED] = filtered_cloud(found.cloud, ~np.isin(found.labels, self._removed))
        return made


def check_format_options(options: Mapping[str, Any], what: str) -> None:
    """Refuse format options that can be known to be wrong before anything is opened.

    Raises:
        DataError: if one is unknown, or means nothing.
    """
    refuse_unknown_options(options, CLOUD_OPTIONS, what)
    cloud_fields_of(options)


def _indices(names: Sequence[str], known: Sequence[str]) -> list[int]:
    """Return the indices of classes.

    Raises:
        ConfigError: if the bundle does not know one.
    """
    for name in names:
        if name not in known:
            raise ConfigError(
                f"The bundle has no class {shown(name)}; its classes are {list(known)}."
                f"{did_you_mean(name, known)}"
            )
    return [list(known).index(name) for name in names]
