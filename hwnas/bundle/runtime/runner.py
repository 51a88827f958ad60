"""Runs a LiDAR bundle: points in, labels out, with numpy and one inference runtime.

    with Runner("bundles/4f1c...") as runner:
        labels, scores = runner(points)  # points [N, 4]: x, y, z, intensity

Conventions: x forward, y left, z up, in metres, origin in the sensor; intensity in the sensor's own unit;
labels are train ids: the index of the class in `Runner.label_map.class_names`, 255 for no class. `hwnas
infer` writes raw ids instead, those of the label map's files; `Runner.raw_ids_of` translates. Other numbers
than float32 are converted.

Python 3.8 syntax, neither torch nor optuna: this module travels to boards.
"""

from __future__ import annotations

import os
import warnings
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Callable, Mapping, Optional, Tuple, Type, Union

import numpy as np
import numpy.typing as npt

from hwnas.bundle.manifest import ONNXRUNTIME, Manifest, read_manifest
from hwnas.bundle.runtime.deployment import coordinates_of, intensity_range_of, scan_format_of
from hwnas.bundle.runtime.engine_predictor import EnginePredictor
from hwnas.bundle.runtime.onnx_predictor import OnnxPredictor, check_rounding
from hwnas.bundle.runtime.results import PointLabels, Segmentation
from hwnas.bundle.runtime.scan_checks import ScanChecks, as_points, as_ring, intensity_problem
from hwnas.bundle.signature import Trust
from hwnas.data.expectations import ScanExpectations
from hwnas.data.frames import Coordinates
from hwnas.data.label_maps import LabelMap
from hwnas.errors import BundleError, DataError
from hwnas.files import reason_of
from hwnas.range_view.angles import has_direction
from hwnas.range_view.compiled import kernel_name
from hwnas.range_view.grids import rings_of_grid
from hwnas.range_view.knn import KnnSettings
from hwnas.range_view.pipeline import RangeView
from hwnas.range_view.projection import Normalisation, ProjectionSpec
from hwnas.scan import DataWarning, Scan

if TYPE_CHECKING:
    from hwnas.data.formats import RawScan

    ScanReader = Callable[[Path, Mapping[str, Any]], RawScan]

FloatArray = npt.NDArray[np.float32]
Predict = Callable[[FloatArray], FloatArray]
PathLike = Union[str, "os.PathLike[str]"]


class Runner:
    """Labels LiDAR scans as the bundle's network was trained and evaluated to.

    Several threads may use one runner at once and get what each would get alone; nothing is kept between
    scans. Inferences of onnxruntime run side by side, those of an engine one after the other.

    Scans that contradict the manifest - of another sensor, unit, frame or mounting, mirrored, cut, or without
    the order that tells rings - are refused from 64 points on: they would be labelled, but wrongly. What
    cannot be known, such as of fewer points, is a warning.

    Attributes:
        manifest: of the bundle, every file checked.
        label_map: names, raw ids and colours of the classes.
        intensity_range: lowest and highest intensity of the sensor; scaled to remission 0..1.
        coordinates: of the scan files that the network was trained on. `read_scan` converts from them; points
            that do not come from such files are given in the frame of the sensor, or converted with
            `coordinates.to_sensor_frame`.
        expects: what scans looked like in training; None if the manifest does not say.
    """

    def __init__(
        self,
        bundle: PathLike,
        *,
        threads: int = 1,
        precision: str = "fp32",
        backend: str = ONNXRUNTIME,
        check_scans: bool = True,
        trust: Optional[Trust] = None,
    ) -> None:
        """Check a bundle and load its network.

        Args:
            bundle: directory that `hwnas export` wrote.
            threads: that one inference may use; 0 means one for every core.
            precision: that the bundle holds, or `recommended` for what was found best on its target; fp32
                where that was clocked with another backend than `backend`.
            backend: `onnxruntime`, on the CPU; or `tensorrt` or `tensorrt-rtx`, with the engine that was
                exported into the bundle for this GPU and version.
            check_scans: False labels scans that contradict the manifest, too, as long as their values can
                be understood.
            trust: who must have signed the bundle; None runs unsigned ones, too.

        Raises:
            BundleError: if the bundle is changed, incomplete, not signed as wanted, or not for LiDAR
                segmentation, or if the runtime is missing or refuses the model or engine.
        """
        self.manifest = manifest = read_manifest(bundle, trust=trust)
        deployment = manifest.deployment
        try:
            self._projection = ProjectionSpec.from_json(deployment["projection"])
            self._normalisation = Normalisation.from_json(deployment["normalisation"])
            self._knn = KnnSettings.from_json(deployment["knn"])
            self.label_map = LabelMap.from_json(deployment["label_map"])
            self.intensity_range = intensity_range_of(deployment)
            self._format_name, self._format_options = scan_format_of(deployment)
            self.coordinates = coordinates_of(deployment)
            expects = manifest.content.get("expects")
            self.expects = ScanExpectations.from_json(expects) if expects else None
        except (KeyError, TypeError, ValueError, OverflowError, AttributeError, DataError) as error:
            raise BundleError(
                f"{manifest.directory} does not say how to label LiDAR points ({error!r}); it is a bundle "
                f"for the task {manifest.content['task'].get('name')!r}. This runner needs one for "
                "'lidar-segmentation'."
            ) from error
        self._checks = ScanChecks(self.expects if check_scans else None, self._projection.method)
        self._check_shapes()
        self._predict: Optional[Predict] = _network_of(manifest, backend, precision, threads)

    def __enter__(self) -> Runner:
        """Return the runner itself."""
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        """Give the network back, see `close`."""
        self.close()

    def close(self) -> None:
        """Give the network's memory back; scans under way in other threads are finished."""
        self._predict = None

    def __call__(self, points: FloatArray, ring: Optional[npt.NDArray[np.int32]] = None) -> PointLabels:
        """Label one scan.

        Args:
            points: [N, 4]: x forward, y left, z up in metres, and intensity in the sensor's own unit, inside
                `intensity_range`. N may be 0. Points that are not finite or lie at the origin get label 255
                and score 0; their intensity may be anything.
            ring: [N] ring of the sensor as its driver numbers them, from the top or from the bottom: rings
                are put in the order of their elevations. When None, they are recovered from the points, or
                else the row is that of the nearest beam of the sensor.

        Warns:
            DataWarning: about what is unusual in the scan, or could not be checked; see
                `Segmentation.warnings`.

        Raises:
            BundleError: if the runner was closed.
            DataError: if shapes or types do not fit, an intensity is outside the range, or the scan
                contradicts the manifest.
        """
        values = as_points(points, 4)
        found = self.segment(values[:, :3], values[:, 3], ring)
        _warn(found)
        return PointLabels(found.labels, found.scores)

    @property
    def kernel(self) -> str:
        """What projects and labels points: `compiled`, or `numpy` where the package has no such kernel."""
        return kernel_name()

    def label(
        self,
        points: FloatArray,
        intensity: FloatArray,
        ring: Optional[npt.NDArray[np.int32]] = None,
    ) -> npt.NDArray[np.uint8]:
        """Return the train ids [N] of points; see `segment`."""
        found = self.segment(points, intensity, ring)
        _warn(found)
        return found.labels

    def raw_ids_of(self, labels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint32]:
        """Return the raw ids [N] of train ids [N], as files of the label map's data set hold them.

        Of each class it is the first of its raw ids; of 255 one that the label map ignores.
        """
        return self.label_map.to_raw(labels)

    def segment(
        self,
        points: FloatArray,
        intensity: FloatArray,
        ring: Optional[npt.NDArray[np.int32]] = None,
    ) -> Segmentation:
        """Label one scan, as `__call__` does, and return what lies between points and labels, too.

        Args:
            points: [N, 3] in metres; x forward, y left, z up.
            intensity: [N] in the sensor's own unit, inside `intensity_range`.
            ring: [N] ring of the sensor as its driver numbers them, from the top or from the bottom: rings
                are put in the order of their elevations. When None, they are recovered from the points, or
                else the row is that of the nearest beam of the sensor.

        Raises:
            BundleError: if the runner was closed.
            DataError: if shapes or types do not fit, an intensity is outside the range, or the scan
                contradicts the manifest.
        """
        predict = self._predict
        if predict is None:
            raise BundleError(f"The runner of {self.manifest.directory} was closed; open another one.")
        points, intensity = as_points(points, 3), np.asarray(intensity, np.float32)
        ring = None if ring is None else as_ring(ring, len(points))
        keep = has_direction(points)
        remission, problem = self._remission_of_kept(points, intensity, keep)
        problems = [] if problem is None else [problem]
        view = RangeView(self._projection, self._normalisation, self._knn, self.label_map.num_classes)
        given = None if ring is None else ring[keep]
        try:
            scan = view.project(points, remission, ring)
        except DataError as error:
            # The geometry says more than that it does not fit into the image: it goes first.
            self._checks.check(
                len(points), points[keep], intensity[keep], None, given, [str(error), *problems]
            )
            raise
        remarks = self._checks.check(len(points), points[keep], intensity[keep], scan.image, given, problems)
        logits = predict(view.network_input(scan))
        label_image = view.label_image(logits, scan)
        labels = view.labels(label_image, scan)
        if scan.image.remark:
            remarks = (scan.image.remark, *remarks)
        return Segmentation(labels, scan.has_direction, scan.image, label_image, logits[0], remarks)

    def label_scan(self, path: PathLike) -> npt.NDArray[np.uint8]:
        """Return the train ids [N] of the points of a scan file; see `read_scan`."""
        scan = self.read_scan(path)
        return self.label(scan.points, scan.intensity, scan.ring)

    def read_scan(self, path: PathLike) -> RawScan:
        """Read a .bin, .npy or .pcd file, laid out as the files that the network was trained on.

        A file of another format than those is read as that format has it by default: x, y, z and
        intensity as float32 in .bin, fields of these names in .pcd. Coordinates become metres in the frame of
        the sensor, as in training.

        Raises:
            DataError: if the file is missing, of another format or malformed.
        """
        from hwnas.data import formats

        name = Path(path).suffix.lower().lstrip(".")
        readers = {"bin": formats.read_bin, "npy": formats.read_npy, "pcd": formats.read_pcd}
        if name not in readers:
            raise DataError(f"{path} must end in .bin, .npy or .pcd to be read as a scan.")
        return self.read_scan_with(readers[name], name, path)

    def read_scan_with(
        self,
        reader: ScanReader,
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
        own = self._format_options if as_trained else {}
        try:
            scan = reader(Path(path), {**own, **(options or {})})
        except OSError as error:
            raise DataError(f"The scan {path} cannot be read: {reason_of(error)}.") from error
        if not len(scan.points):
            raise DataError(f"{path} holds no point.")
        points = (coordinates or self.coordinates).to_sensor_frame(scan.points)
        ring = scan.ring
        if ring is None and scan.organised is not None:
            ring = rings_of_grid(points, scan.organised)
        return replace(scan, points=points, ring=ring)

    def as_trained(self, path: PathLike) -> Scan:
        """Return a scan file as the network was trained on it: our axes, remission 0..1, no labels.

        Raises:
            DataError: as `read_scan`, or if an intensity is outside the range.
        """
        raw = self.read_scan(path)
        remission, problem = self._remission_of_kept(raw.points, raw.intensity, has_direction(raw.points))
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
        if intensity.shape != (len(points),):
            raise DataError(
                f"Expected one intensity for each of the {len(points)} points, found {intensity.shape}."
            )
        low, high = self.intensity_range
        values = intensity[keep]
        problem = intensity_problem(values, (low, high), self.manifest.deployment.get("sensor"))
        remission = np.zeros(len(points), np.float32)
        if problem is None:
            remission[keep] = np.clip((values - low) / np.float32(high - low), 0.0, 1.0)
        return remission, problem

    def _check_shapes(self) -> None:
        """Compare the network's interface with what pre- and post-processing make of it."""
        spec, classes = self._projection, self.label_map.num_classes
        size = (spec.height, spec.width)
        expected = ((1, len(self._normalisation.mean), *size), (1, classes, *size))
        found = (self.manifest.io_spec.inputs[0].shape, self.manifest.io_spec.outputs[0].shape)
        if found != expected:
            raise BundleError(
                f"The projection and label map of {self.manifest.directory} need a network {expected[0]} to "
                f"{expected[1]}, but its manifest states {found[0]} to {found[1]}. Export it again."
            )


def _warn(found: Segmentation) -> None:
    for text in found.warnings:
        if text != found.image.remark:  # that one was a warning when the scan was projected
            warnings.warn(text, DataWarning, stacklevel=3)


def _check_interface(network: OnnxPredictor, manifest: Manifest) -> None:
    """Compare the shapes that the file of the network states with those of the manifest."""
    expected = (manifest.io_spec.inputs[0].shape, manifest.io_spec.outputs[0].shape)
    found = (network.input_shape, network.output_shape)
    if found != expected:
        raise BundleError(
            f"The manifest of {manifest.directory} states a network {expected[0]} to {expected[1]}, but its "
            f"file is one {found[0]} to {found[1]}. Export it again."
        )


def _network_of(manifest: Manifest, backend: str, precision: str, threads: int) -> Predict:
    if backend != ONNXRUNTIME:
        return EnginePredictor(manifest, backend, precision)
    path = manifest.model_path_of(precision)
    network = OnnxPredictor(path, threads)
    check_rounding(manifest.entry_for(precision), path, network.version)
    _check_interface(network, manifest)
    return network
