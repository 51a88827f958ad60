"""The processor `lidar-range-view`: scans of a LiDAR to labels of their points, through a range image.

Conventions: x forward, y left, z up, in metres, origin in the sensor; intensity in the sensor's own unit;
labels are train ids: the index of the class in `label_map.class_names`, 255 for no class.

Python 3.8 syntax, neither torch nor optuna: this module travels to boards.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Mapping, NamedTuple, Optional, Tuple

import numpy as np
import numpy.typing as npt

from hwnas.arrays import FloatArray
from hwnas.bundle.runtime.deployment import coordinates_of, intensity_range_of, scan_format_of
from hwnas.bundle.runtime.given_arrays import as_intensity, as_points, as_ring, as_time
from hwnas.bundle.runtime.processor import Arrays, PathLike, Processor, ProcessorContext
from hwnas.bundle.runtime.results import Segmentation
from hwnas.bundle.runtime.scan_checks import ScanChecks, intensity_problem
from hwnas.data.expectations import ScanExpectations
from hwnas.data.label_maps import LabelMap
from hwnas.data.scan_files.frames import Coordinates
from hwnas.data.scan_files.intensity import remission_of
from hwnas.data.scan_files.raw_scans import in_sensor_frame, read_raw_scan
from hwnas.errors import BundleError, DataError
from hwnas.files import checked_path, write_bytes_atomically
from hwnas.json_values import JsonObject
from hwnas.range_view.angles import has_direction
from hwnas.range_view.knn import KnnSettings
from hwnas.range_view.pipeline import ProjectedScan, RangeView
from hwnas.range_view.projection import Normalisation
from hwnas.range_view.projection_spec import ProjectionSpec
from hwnas.scan import Scan

if TYPE_CHECKING:
    from hwnas.data.scan_files.formats import RawScan
    from hwnas.data.scan_files.raw_scans import FormatReader


class Points(NamedTuple):
    """A scan in the frame of the sensor, as `RawScan` holds one.

    Attributes:
        points: [N, 3] in metres; x forward, y left, z up.
        intensity: [N] in the sensor's own unit.
        ring: [N] ring of the sensor, counted from either end; None where it is not known.
        time: [N] when each point was measured, in any unit; None where it is not known.
    """

    points: FloatArray
    intensity: FloatArray
    ring: Optional[npt.NDArray[np.int32]] = None
    time: Optional[npt.NDArray[np.float64]] = None


@dataclass(frozen=True)
class _Context:
    """A scan on its way through the network, and what is unusual about it."""

    view: RangeView
    scan: ProjectedScan
    remarks: Tuple[str, ...]


class RangeViewProcessor:
    """Projects scans, and gives points the labels of pixels, as training and evaluation did.

    Attributes:
        label_map: names, raw ids and colours of the classes.
        intensity_range: lowest and highest intensity of the sensor; scaled to remission 0..1.
        coordinates: of the scan files that the network was trained on. `read` converts from them; points that
            do not come from such files are given in the frame of the sensor, or converted with
            `coordinates.to_sensor_frame`.
        expects: what scans looked like in training; None if that is not known.
        projection: how points become an image.
        normalisation: of its channels.
    """

    input_suffixes: Tuple[str, ...] = (".bin", ".npy", ".pcd")
    result_suffix = ".label"

    def __init__(self, context: ProcessorContext) -> None:
        """Read what the task says about its deployment.

        Raises:
            BundleError: if it does not say how to label LiDAR points, or the network does not fit.
        """
        deployment = context.deployment
        self._where, self._sensor, self._io_spec = context.where, deployment.get("sensor"), context.io_spec
        try:
            self.projection = ProjectionSpec.from_json(deployment["projection"])
            self.normalisation = Normalisation.from_json(deployment["normalisation"])
            self._knn = KnnSettings.from_json(deployment["knn"])
            self.label_map = LabelMap.from_json(deployment["label_map"])
            self.intensity_range = intensity_range_of(deployment)
            self._format_name, self._format_options = scan_format_of(deployment)
            self.coordinates = coordinates_of(deployment)
            self.expects = ScanExpectations.from_json(context.expects) if context.expects else None
        except (KeyError, TypeError, ValueError, OverflowError, AttributeError, DataError) as error:
            raise BundleError(
                f"{context.where} does not say how to label LiDAR points ({error!r}); it is for the task "
                f"{context.task!r}. The processor 'lidar-range-view' needs what 'lidar-segmentation' says."
            ) from error
        self._checks = ScanChecks(self.expects if context.is_checked else None, self.projection.method)
        self._check_shapes()

    def read(self, path: PathLike) -> RawScan:
        """Return the scan in a file, see `read_scan`."""
        return self.read_scan(path)

    def check(self, raw: Any) -> Tuple[str, ...]:
        """Return nothing: scans are checked as images, in `before`, see `Segmentation.warnings`."""
        return ()

    def before(self, raw: Any) -> Tuple[Arrays, _Context]:
        """Return the input of the network for one scan.

        Args:
            raw: has `points` [N, 3], `intensity` [N] and `ring` [N] or None, such as `Points`; `time` [N]
                may be missing.

        Raises:
            DataError: if shapes or types do not fit, an intensity is outside the range, or the scan
                contradicts what is expected.
        """
        if not all(hasattr(raw, name) for name in ("points", "intensity", "ring")):
            raise DataError(
                f"Expected a scan with `points`, `intensity` and `ring`, such as what `Runner.read` returns, "
                f"or the path of a file, but got {type(raw).__name__}. `Runner.segment` takes arrays."
            )
        points = as_points(raw.points, 3)
        intensity = as_intensity(raw.intensity, len(points))
        ring = None if raw.ring is None else as_ring(raw.ring, len(points))
        stated = getattr(raw, "time", None)
        time = None if stated is None else as_time(stated, len(points))
        keep = has_direction(points)
        remission, problem = self._remission_of_kept(points, intensity, keep)
        problems = [] if problem is None else [problem]
        view = RangeView(self.projection, self.normalisation, self._knn, self.label_map.num_classes)
        given, time = None if ring is None else ring[keep], None if time is None else time[keep]
        try:
            scan = view.project(points, remission, ring)
        except DataError as error:
            # The geometry says more than that it does not fit into the image: it goes first.
            self._checks.check(
                len(points), points[keep], intensity[keep], None, given, [str(error), *problems], time
            )
            raise
        remarks = self._checks.check(
            len(points), points[keep], intensity[keep], scan.image, given, problems, time
        )
        if scan.image.remark:
            remarks = (scan.image.remark, *remarks)
        return {self._io_spec.inputs[0].name: view.network_input(scan)}, _Context(view, scan, remarks)

    def after(self, outputs: Arrays, context: _Context) -> Segmentation:
        """Return the labels of the points, and what lies in between.

        Raises:
            DataError: if the network computed NaN or infinity for a pixel with a point.
        """
        view, scan = context.view, context.scan
        logits = outputs[self._io_spec.outputs[0].name]
        label_image = view.label_image(logits, scan)
        labels = view.labels(label_image, scan)
        return Segmentation(labels, scan.has_direction, scan.image, label_image, logits[0], context.remarks)

    def warnings_of(self, result: Segmentation) -> Tuple[str, ...]:
        """Return the warnings of a result but that of its projection, which was one when it was projected."""
        return tuple(text for text in result.warnings if text != result.image.remark)

    def write(self, result: Segmentation, path: PathLike) -> JsonObject:
        """Write the raw ids of the points, uint32, as files of the label map's data set hold them."""
        return self.write_ids(self.label_map.to_raw(result.labels), result, path)

    def write_ids(self, ids: npt.NDArray[Any], result: Segmentation, path: PathLike) -> JsonObject:
        """Write ids [N] of a result's points as uint32."""
        write_bytes_atomically(path, ids.astype("<u4").tobytes())
        return {
            "points": len(ids),
            "projection": result.image.method,
            "warnings": list(result.warnings),
        }

    def picture(self, raw: Any, result: Segmentation, title: str) -> bytes:
        """Draw range image and labels."""
        from hwnas.data.pictures import draw_segmentation

        keep = result.has_direction
        rows = [(title, result.labels[keep])]
        return draw_segmentation(result.image, rows, raw.points[keep], self.label_map)

    def read_scan(self, path: PathLike) -> RawScan:
        """Read a .bin, .npy or .pcd file, laid out as the files that the network was trained on.

        A file of another format than those is read as that format has it by default: x, y, z and
        intensity as float32 in .bin, fields of these names in .pcd. Coordinates become metres in the frame of
        the sensor, as in training.

        Raises:
            DataError: if the file is missing, of another format or malformed.
        """
        from hwnas.data.scan_files import formats

        path = checked_path(path, "The scan", DataError)
        name = path.suffix.lower().lstrip(".")
        readers = {"bin": formats.read_bin, "npy": formats.read_npy, "pcd": formats.read_pcd}
        if name not in readers:
            raise DataError(f"{path} must end in .bin, .npy or .pcd to be read as a scan.")
        return self.read_scan_with(readers[name], name, path)

    def read_scan_with(
        self,
        reader: FormatReader,
        format_name: str,
        path: PathLike,
        options: Optional[Mapping[str, Any]] = None,
        coordinates: Optional[Coordinates] = None,
    ) -> RawScan:
        """Read a file with the reader of a format that a plug-in registered.

        Args:
            reader: of the format.
            format_name: as it is registered.
            path: of the file.
            options: of the format, in place of those of the same name that the bundle states.
            coordinates: of the file, if it is no file as those of the training; nothing that the bundle
                states about files counts then.

        Raises:
            DataError: if the file is missing or malformed.
        """
        as_trained = coordinates is None and self._format_name == format_name
        own = dict(self._format_options) if as_trained else {}
        if format_name in {"npy", "pcd"}:
            own.pop("label", None)  # scans in the field have no labels
        path = checked_path(path, "The scan", DataError)
        scan = read_raw_scan(reader, path, {**own, **(options or {})})
        if not len(scan.points):
            raise DataError(f"{path} holds no point.")
        return in_sensor_frame(scan, coordinates or self.coordinates)

    def differences_of_storage(
        self,
        format_name: str,
        options: Mapping[str, Any],
        coordinates: Coordinates,
        intensity_range: Tuple[float, float],
    ) -> Tuple[str, ...]:
        """Return in which keys of `dataset.yaml` files of a data set differ from those of the training."""
        stated = {**coordinates.to_json(), "intensity_range": list(intensity_range)}
        own = {**self.coordinates.to_json(), "intensity_range": list(self.intensity_range)}
        differing = [key for key, value in stated.items() if value != own[key]]
        known = self._format_options if format_name == self._format_name else {}
        # An option that only one states may be what the other has by default.
        if any(value != known[key] for key, value in options.items() if key in known):
            differing.append("format_options")
        return tuple(differing)

    def as_trained(self, path: PathLike) -> Scan:
        """Return a scan file as the network was trained on it: our axes, remission 0..1, no labels.

        Raises:
            DataError: as `read_scan`, or if an intensity is outside the range.
        """
        raw = self.read_scan(path)
        intensity = as_intensity(raw.intensity, len(raw.points))
        remission, problem = self._remission_of_kept(raw.points, intensity, has_direction(raw.points))
        if problem is not None:
            raise DataError(problem)
        return Scan(raw.points, remission, raw.ring, None, Path(path).name)

    def _remission_of_kept(
        self, points: FloatArray, intensity: FloatArray, keep: npt.NDArray[np.bool_]
    ) -> Tuple[FloatArray, Optional[str]]:
        """Scale the intensity of points that have a direction; that of others may be anything: 0.

        Returns:
            Remission [N], 0 to 1, and what is wrong with the intensities, if anything is.
        """
        values = intensity[keep]
        problem = intensity_problem(values, self.intensity_range, self._sensor)
        remission = np.zeros(len(points), np.float32)
        if problem is None:
            remission[keep] = remission_of(values, self.intensity_range)
        return remission, problem

    def _check_shapes(self) -> None:
        """Compare the network's interface with what pre- and post-processing make of it."""
        spec, classes = self.projection, self.label_map.num_classes
        size = (spec.height, spec.width)
        expected = [(1, len(self.normalisation.mean), *size), (1, classes, *size)]
        found = [tensor.shape for tensor in (*self._io_spec.inputs, *self._io_spec.outputs)]
        if found != expected:
            raise BundleError(
                f"The projection and label map of {self._where} need a network {expected[0]} to "
                f"{expected[1]}, but its inputs and outputs are {found}. Export it again."
            )


def make_lidar_range_view(context: ProcessorContext) -> Processor:
    """Return the processor for what `lidar-segmentation` says of its deployment.

    Raises:
        BundleError: if it does not say how to label LiDAR points, or the network does not fit.
    """
    return RangeViewProcessor(context)
