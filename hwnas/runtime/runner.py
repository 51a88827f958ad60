"""Runs a LiDAR bundle: points in, labels out, with numpy and one inference runtime.

Python 3.8 syntax, neither torch nor optuna: this module travels to boards.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Mapping, Optional, Tuple, Union

import numpy as np
import numpy.typing as npt

from hwnas.data.compiled import kernel_name
from hwnas.data.frames import FRAMES, to_our_frame
from hwnas.data.knn import KnnSettings
from hwnas.data.label_maps import LabelMap
from hwnas.data.projection import (
    Normalisation,
    ProjectionSpec,
    RangeImage,
    range_of,
)
from hwnas.data.scan import Scan
from hwnas.errors import BundleError, DataError
from hwnas.runtime.manifest import Manifest, read_manifest
from hwnas.runtime.onnx_predictor import OnnxPredictor
from hwnas.runtime.range_view import RangeView

if TYPE_CHECKING:
    from hwnas.data.formats import RawScan

    ScanReader = Callable[[Path, Mapping[str, Any]], RawScan]

FloatArray = npt.NDArray[np.float32]
Predict = Callable[[FloatArray], FloatArray]
PathLike = Union[str, "os.PathLike[str]"]


# Rounding when a tool rescaled the intensities; anything beyond is another unit.
_INTENSITY_TOLERANCE = 1e-5


@dataclass(frozen=True, eq=False)
class Segmentation:
    """A labelled scan of N points, with the range image in between.

    Attributes:
        labels: [N] uint8 train ids; 255 for points without a direction.
        has_direction: [N] bool; False for points that are not finite or lie at the origin, M are left.
        image: the range image of the other M points, in metres.
        label_image: [H, W] uint8 train ids as the network gave them, 255 where no point fell.
    """

    labels: npt.NDArray[np.uint8]
    has_direction: npt.NDArray[np.bool_]
    image: RangeImage
    label_image: npt.NDArray[np.uint8]


class Runner:
    """Labels LiDAR scans as the bundle's network was trained and judged to.

    Attributes:
        manifest: of the bundle, every file checked.
        label_map: names, raw ids and colours of the classes.
        intensity_range: lowest and highest intensity of the sensor; scaled to remission 0..1.
    """

    def __init__(self, manifest: Manifest, predict: Predict) -> None:
        """Prepare pre- and post-processing around a network.

        Raises:
            BundleError: if the bundle is not one for LiDAR segmentation.
        """
        self.manifest = manifest
        self._predict = predict
        deployment = manifest.deployment
        try:
            self._projection = ProjectionSpec.from_json(deployment["projection"])
            self._normalisation = Normalisation.from_json(deployment["normalisation"])
            self._knn = KnnSettings.from_json(deployment["knn"])
            self.label_map = LabelMap.from_json(deployment["label_map"])
            low, high = deployment["intensity_range"]
            self._frame = _frame_of(deployment)
        except (KeyError, TypeError, ValueError, DataError) as error:
            raise BundleError(
                f"{manifest.directory} does not say how to label LiDAR points ({error!r}); it is a bundle "
                f"for the task {manifest.content['task'].get('name')!r}. This runner needs one for "
                "'lidar-segmentation'."
            ) from error
        self.intensity_range: Tuple[float, float] = (float(low), float(high))
        self._check_shapes()

    @classmethod
    def open(cls, bundle: PathLike, threads: int = 1, precision: str = "fp32") -> Runner:
        """Check a bundle and load its network.

        Args:
            bundle: directory that `hwnas export` wrote.
            threads: that one inference may use; 0 means one for every core.
            precision: that the bundle holds, or `recommended` for what was found best on its target.

        Raises:
            BundleError: if the bundle is changed, incomplete, or not for LiDAR segmentation, or if
                onnxruntime is missing or refuses the model.
        """
        manifest = read_manifest(bundle)
        return cls(manifest, OnnxPredictor(manifest.model_path_of(precision), threads))

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
        return self.segment(points, intensity, ring).labels

    def segment(
        self,
        points: FloatArray,
        intensity: FloatArray,
        ring: Optional[npt.NDArray[np.int32]] = None,
    ) -> Segmentation:
        """Label one scan.

        Args:
            points: [N, 3] in metres; x forward, y left, z up.
            intensity: [N] in the sensor's own unit, inside `intensity_range`.
            ring: [N] row of the sensor, 0 = top; recovered from the order of the points when None.

        Raises:
            DataError: if shapes do not fit, or an intensity is outside the range.
        """
        remission = self._remission_of_kept(points, intensity)
        view = RangeView(self._projection, self._normalisation, self._knn, self.label_map.num_classes)
        scan = view.project(points, remission, ring)
        label_image = view.label_image(self._predict(view.network_input(scan)), scan)
        return Segmentation(view.labels(label_image, scan), scan.has_direction, scan.image, label_image)

    def label_scan(self, path: PathLike) -> npt.NDArray[np.uint8]:
        """Return the train ids [N] of the points of a scan file; see `read_scan`."""
        scan = self.read_scan(path)
        return self.label(scan.points, scan.intensity, scan.ring)

    def read_scan(self, path: PathLike) -> RawScan:
        """Read a .bin or .pcd file, laid out as the files that the network was trained on.

        A file of another format than those is read as that format has it by default: x, y, z and
        intensity as float32 in .bin, fields of these names in .pcd. Axes are turned to ours.

        Raises:
            DataError: if the file is missing, of another format or malformed.
        """
        from hwnas.data import formats

        name = Path(path).suffix.lower().lstrip(".")
        readers = {"bin": formats.read_bin, "pcd": formats.read_pcd}
        if name not in readers:
            raise DataError(f"{path} must end in .bin or .pcd to be read as a scan.")
        return self.read_scan_with(readers[name], name, path)

    def read_scan_with(self, reader: ScanReader, format_name: str, path: PathLike) -> RawScan:
        """Read a file with the reader of a format that a plug-in registered.

        Raises:
            DataError: if the file is missing or malformed.
        """
        trained_on = self.manifest.deployment.get("scan_format", {})
        options = trained_on.get("options", {}) if trained_on.get("name") == format_name else {}
        if not Path(path).is_file():
            raise DataError(f"The scan {path} does not exist.")
        scan = reader(Path(path), options)
        if not len(scan.points):
            raise DataError(f"{path} holds no point.")
        points = to_our_frame(scan.points, self._frame)
        return type(scan)(points, scan.intensity, scan.ring, scan.labels)

    def as_trained(self, path: PathLike) -> Scan:
        """Return a scan file as the network was trained on it: our axes, remission 0..1, no labels.

        Raises:
            DataError: as `read_scan`, or if an intensity is outside the range.
        """
        raw = self.read_scan(path)
        remission = self._remission_of_kept(raw.points, raw.intensity)
        return Scan(raw.points, remission, raw.ring, None, Path(path).name)

    def _remission_of_kept(self, points: FloatArray, intensity: FloatArray) -> FloatArray:
        """Scale the intensity of points that have a direction; that of others may be anything: 0."""
        range_m = range_of(points)
        keep = np.isfinite(range_m) & (range_m > 0)
        remission = np.zeros(len(points), np.float32)
        remission[keep] = self._remission(intensity[keep])
        return remission

    def _remission(self, intensity: FloatArray) -> FloatArray:
        low, high = self.intensity_range
        values = np.asarray(intensity, np.float32)
        tolerance = _INTENSITY_TOLERANCE * (high - low)
        if values.size and not (low - tolerance <= values.min() and values.max() <= high + tolerance):
            raise DataError(
                f"Intensities must lie in {low:g} to {high:g}, the range of the sensor "
                f"{self.manifest.deployment.get('sensor')!r} that the network was trained for, but they are "
                f"{values.min():g} to {values.max():g}. Convert them to that unit."
            )
        return np.asarray(np.clip((values - low) / np.float32(high - low), 0.0, 1.0), np.float32)

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


def _frame_of(deployment: Mapping[str, Any]) -> str:
    frame = str(deployment.get("frame", "x-forward"))
    if frame not in FRAMES:
        raise ValueError(f"the frame is {frame!r}, not one of {FRAMES}")
    return frame
