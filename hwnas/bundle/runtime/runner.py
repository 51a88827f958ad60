"""Runs a bundle: raw input in, results out, with numpy and one inference runtime.

    with Runner("bundles/4f1c...") as runner:
        result = runner.run("input.png")

What raw input and results are, the bundle's processor says, see `hwnas.bundle.runtime.processor`. Of LiDAR
bundles the runner is called with points:

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
from types import TracebackType
from typing import TYPE_CHECKING, Any, Callable, Mapping, Optional, Tuple, Type

import numpy as np
import numpy.typing as npt

from hwnas.arrays import FloatArray
from hwnas.bundle.manifest import ONNXRUNTIME, Manifest, read_manifest
from hwnas.bundle.runtime.engine_predictor import EnginePredictor
from hwnas.bundle.runtime.given_arrays import as_array, as_points
from hwnas.bundle.runtime.lidar import Points, RangeViewProcessor
from hwnas.bundle.runtime.onnx_predictor import OnnxPredictor, check_rounding
from hwnas.bundle.runtime.processor import (
    LIDAR_RANGE_VIEW,
    Arrays,
    PathLike,
    Processor,
    ProcessorContext,
    make_processor,
    result_warnings,
)
from hwnas.bundle.runtime.results import PointLabels, Segmentation
from hwnas.bundle.signature import Trust
from hwnas.data.expectations import ScanExpectations
from hwnas.data.label_maps import LabelMap
from hwnas.data.scan_files.frames import Coordinates
from hwnas.errors import BundleError
from hwnas.files import checked_path
from hwnas.json_values import JsonObject
from hwnas.range_view.compiled import kernel_name
from hwnas.scan import DataWarning, Scan
from hwnas.thread_counts import checked_threads

if TYPE_CHECKING:
    from hwnas.data.scan_files.formats import RawScan
    from hwnas.data.scan_files.raw_scans import FormatReader

Predict = Callable[[Arrays], Arrays]


class Runner:
    """Runs raw input through a bundle's network, as it was trained and evaluated to be.

    Several threads may use one runner at once and get what each would get alone; nothing is kept between
    inputs. Inferences of onnxruntime run side by side, those of an engine one after the other.

    LiDAR scans that contradict the manifest - of another sensor, unit, frame or mounting, mirrored, cut, or
    without the order that tells rings - are refused from 64 points on: they would be labelled, but wrongly.
    What cannot be known, such as of fewer points, is a warning.

    Attributes:
        manifest: manifest of the bundle, every file checked.
        processor: what is before and after the network.
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
            threads: number of threads that one inference may use; 0 means one for every core. At most 64, or
                four for each core where those are more.
            precision: a precision that the bundle holds, or `recommended` for what was found best on its
                target; fp32 where that was clocked with another backend than `backend`.
            backend: `onnxruntime`, on the CPU; or `tensorrt` or `tensorrt-rtx`, with the engine that was
                exported into the bundle for this GPU and version.
            check_scans: False takes inputs that contradict the manifest, too, as long as their values can
                be understood.
            trust: who must have signed the bundle; None runs unsigned ones, too.

        Raises:
            ConfigError: if `threads` is no such number.
            BundleError: if the bundle is changed, incomplete, not signed as wanted, or does not say what its
                processor must know, or if the runtime is missing or refuses the model or engine.
            PluginError: if the bundle's processor is not installed.
        """
        threads = checked_threads(threads)
        self.manifest = manifest = read_manifest(bundle, trust=trust)
        self.processor: Processor = make_processor(
            manifest.processor_name,
            ProcessorContext(
                manifest.deployment,
                manifest.io_spec,
                str(manifest.content["task"].get("name")),
                str(manifest.directory),
                manifest.content.get("expects"),
                check_scans,
            ),
        )
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
        """Give the network's memory back; inputs under way in other threads are finished."""
        self._predict = None

    def read(self, path: PathLike) -> Any:
        """Return the raw input in a file, see `Processor.read`.

        Raises:
            DataError: if the file is missing, of another format or malformed.
        """
        return self.processor.read(path)

    def run(self, raw: Any) -> Any:
        """Return what the network says of one raw input, as the processor puts it.

        Args:
            raw: what `read` returns, or the path of a file that is read.

        Warns:
            DataWarning: about what is unusual in the input, or could not be checked.

        Raises:
            BundleError: if the runner was closed, or the network cannot be run.
            DataError: if the file cannot be read, or the input cannot be used or contradicts the manifest.
        """
        if isinstance(raw, (str, os.PathLike)):
            raw = self.read(raw)
        for text in self.processor.check(raw):
            warnings.warn(text, DataWarning, stacklevel=2)
        result = self.process(raw)
        self._warn(result)
        return result

    def process(self, raw: Any) -> Any:
        """Return what the network says of one raw input that was checked, see `run`."""
        predict = self._open_network()
        arrays, context = self.processor.before(raw)
        return self.processor.after(predict(arrays), context)

    def predict(self, arrays: Arrays) -> Arrays:
        """Return the outputs of the network for its inputs, both by name, without the processor.

        Raises:
            BundleError: if the runner was closed, or inputs do not fit.
        """
        return self._open_network()(arrays)

    def write(self, result: Any, path: PathLike) -> JsonObject:
        """Write a result, see `Processor.write`.

        Raises:
            ConfigError: if `path` can be none.
            OSError: if the file cannot be written.
        """
        return self.processor.write(result, checked_path(path, "The path of the result"))

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
        self._warn(found)
        return PointLabels(found.labels, found.scores)

    @property
    def lidar(self) -> RangeViewProcessor:
        """The processor of a LiDAR bundle.

        Raises:
            BundleError: if the bundle has another one.
        """
        if not isinstance(self.processor, RangeViewProcessor):
            task = self.manifest.content["task"].get("name")
            raise BundleError(
                f"{self.manifest.directory} is a bundle for the task {task!r} "
                f"with the processor {self.manifest.processor_name!r}; points need one with "
                f"{LIDAR_RANGE_VIEW!r}. Use `Runner.run`."
            )
        return self.processor

    @property
    def label_map(self) -> LabelMap:
        """Of LiDAR bundles: names, raw ids and colours of the classes."""
        return self.lidar.label_map

    @property
    def intensity_range(self) -> Tuple[float, float]:
        """Of LiDAR bundles: lowest and highest intensity of the sensor, which are remission 0 and 1."""
        return self.lidar.intensity_range

    @property
    def coordinates(self) -> Coordinates:
        """Of LiDAR bundles: what the numbers of scan files mean, see `RangeViewProcessor.coordinates`."""
        return self.lidar.coordinates

    @property
    def expects(self) -> Optional[ScanExpectations]:
        """Of LiDAR bundles: what scans looked like in training; None if the manifest does not say."""
        return self.lidar.expects

    @property
    def kernel(self) -> str:
        """What projects and labels points: `compiled`, or `numpy` where the package has no such kernel."""
        return kernel_name()

    def label(
        self,
        points: FloatArray,
        intensity: FloatArray,
        ring: Optional[npt.NDArray[np.int32]] = None,
        time: Optional[npt.NDArray[np.float64]] = None,
    ) -> npt.NDArray[np.uint8]:
        """Return the train ids [N] of points; see `segment`."""
        found = self.segment(points, intensity, ring, time)
        self._warn(found)
        return found.labels

    def raw_ids_of(self, labels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint32]:
        """Return the raw ids [N] of train ids [N], as files of the label map's data set hold them.

        Of each class it is the first of its raw ids; of 255 one that the label map ignores.

        Raises:
            DataError: if one is no whole number from 0 to 255.
        """
        return self.lidar.label_map.to_raw(as_array(labels, "Labels"))

    def segment(
        self,
        points: FloatArray,
        intensity: FloatArray,
        ring: Optional[npt.NDArray[np.int32]] = None,
        time: Optional[npt.NDArray[np.float64]] = None,
    ) -> Segmentation:
        """Label one scan, as `__call__` does, and return what lies between points and labels, too.

        Args:
            points: [N, 3] in metres; x forward, y left, z up.
            intensity: [N] in the sensor's own unit, inside `intensity_range`.
            ring: [N] ring of the sensor as its driver numbers them, from the top or from the bottom: rings
                are put in the order of their elevations. When None, they are recovered from the points, or
                else the row is that of the nearest beam of the sensor.
            time: [N] when each point was measured, in any unit; shows mirrored scans where the scans of the
                training stated it, too.

        Raises:
            BundleError: if the runner was closed.
            DataError: if shapes or types do not fit, an intensity is outside the range, or the scan
                contradicts the manifest.
        """
        _ = self.lidar  # refuses other bundles
        found: Segmentation = self.process(Points(points, intensity, ring, time))
        return found

    def label_scan(self, path: PathLike) -> npt.NDArray[np.uint8]:
        """Return the train ids [N] of the points of a scan file; see `read_scan`."""
        scan = self.read_scan(path)
        return self.label(scan.points, scan.intensity, scan.ring, scan.time)

    def read_scan(self, path: PathLike) -> RawScan:
        """Return the scan in a file, see `RangeViewProcessor.read_scan`.

        Raises:
            DataError: if the file is missing, of another format or malformed.
        """
        return self.lidar.read_scan(path)

    def read_scan_with(
        self,
        reader: FormatReader,
        format_name: str,
        path: PathLike,
        options: Optional[Mapping[str, Any]] = None,
        coordinates: Optional[Coordinates] = None,
    ) -> RawScan:
        """Read a file with a registered reader, see `RangeViewProcessor.read_scan_with`.

        Raises:
            DataError: if the file is missing or malformed.
        """
        return self.lidar.read_scan_with(reader, format_name, path, options, coordinates)

    def as_trained(self, path: PathLike) -> Scan:
        """Return a scan file as the network was trained on it, see `RangeViewProcessor.as_trained`.

        Raises:
            DataError: as `read_scan`, or if an intensity is outside the range.
        """
        return self.lidar.as_trained(path)

    def _open_network(self) -> Predict:
        if self._predict is None:
            raise BundleError(f"The runner of {self.manifest.directory} was closed; open another one.")
        return self._predict

    def _warn(self, result: Any) -> None:
        for text in result_warnings(self.processor, result):
            warnings.warn(text, DataWarning, stacklevel=3)


def _check_interface(network: OnnxPredictor, manifest: Manifest) -> None:
    """Compare names and shapes that the file of the network states with those of the manifest."""
    stated = manifest.io_spec
    expected = [(tensor.name, tensor.shape) for tensor in (*stated.inputs, *stated.outputs)]
    found = [(tensor.name, tensor.shape) for tensor in (*network.inputs, *network.outputs)]
    if found != expected:
        raise BundleError(
            f"The manifest of {manifest.directory} states a network {expected}, but its file is one {found}. "
            "Export it again."
        )


def _network_of(manifest: Manifest, backend: str, precision: str, threads: int) -> Predict:
    if backend != ONNXRUNTIME:
        return EnginePredictor(manifest, backend, precision)
    path = manifest.model_path_of(precision)
    network = OnnxPredictor(path, threads)
    check_rounding(manifest.entry_for(precision), path, network.version)
    _check_interface(network, manifest)
    return network
