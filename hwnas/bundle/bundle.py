"""A bundle as a Python object: what is in it, how good and fast it is, and whether that still holds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwnas.bundle.candidates import Candidate, candidates_of
from hwnas.bundle.manifest import ONNXRUNTIME, Manifest, bundle_directory, read_manifest
from hwnas.bundle.signature import Trust
from hwnas.files import checked_path
from hwnas.progress import Listener

if TYPE_CHECKING:
    from hwnas.bundle.adaptation.result import Adaptation, AdaptationStatus
    from hwnas.bundle.inference.results import Inference, InferenceStatus
    from hwnas.bundle.runtime.runner import Runner
    from hwnas.bundle.stated_precisions import StatedPrecision
    from hwnas.bundle.verification.result import Verification, VerificationSettings
    from hwnas.latency.measurement import LatencyMeasurement
    from hwnas.tasks.base import Quality


class Bundle:
    """A directory that a vehicle can run.

    Attributes:
        path: absolute path of the directory.
    """

    def __init__(self, path: str | Path, *, trust: Trust | None = None) -> None:
        """Name a bundle; its files are checked on first use.

        Args:
            path: the directory that `hwnas export` wrote.
            trust: who must have signed it; None also accepts unsigned bundles.

        Raises:
            BundleError: if there is no bundle.
        """
        self.path = bundle_directory(path)
        self._trust = trust

    @cached_property
    def manifest(self) -> Manifest:
        """The content of the manifest, after checking every file against its hash.

        Raises:
            BundleError: if it is changed, incomplete, or not signed as wanted.
        """
        return read_manifest(self.path, trust=self._trust)

    @property
    def architecture_id(self) -> str:
        """Content id of the network's architecture."""
        return str(self.manifest.content["architecture_id"])

    @property
    def quality(self) -> Quality:
        """Quality of the trained network on the validation split, in fp32 with torch.

        For other precisions, see `precisions`, such as `bundle.precisions["int8"].quality`.
        """
        from hwnas.tasks.base import Quality

        return Quality.from_json(self.manifest.content["quality"])

    @property
    def latency(self) -> LatencyMeasurement:
        """Latency of the fp32 model on the target, clocked by `Run.export` under the final protocol.

        It is of the very file, or engine, that the bundle holds; `latency.json` there has the single samples,
        which are left out here. `Run.trained` states what `Run.train` clocked earlier under the same
        protocol, and `Run.front` what the search did under its quicker one: three measurements of one
        network, which agree as far as their intervals say. This is the one that `verify` compares with.
        """
        from hwnas.latency.measurement import LatencyMeasurement

        return LatencyMeasurement.from_json({"samples_ms": (), **self.manifest.content["latency"]})

    @property
    def precisions(self) -> Mapping[str, StatedPrecision]:
        """Quality, loss against fp32, and speed of every precision in the bundle, by name."""
        from hwnas.bundle.stated_precisions import stated_precisions

        return stated_precisions(self.manifest)

    @property
    def precision_remarks(self) -> tuple[str, ...]:
        """What is to be known of the choice among its precisions, such as why none is recommended."""
        from hwnas.bundle.stated_precisions import remarks_on_precisions

        return remarks_on_precisions(self.manifest)

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """The network at each precision that was clocked."""
        return tuple(candidates_of(self.manifest.content))

    @property
    def recommended_precision(self) -> str:
        """The precision that was found best on the target."""
        return str(self.manifest.content["recommended_precision"])

    @property
    def engines(self) -> tuple[Path, ...]:
        """Engines of TensorRT in the bundle."""
        return tuple(self.path / str(entry["file"]) for entry in self.manifest.content.get("engines", ()))

    def runner(
        self,
        *,
        threads: int = 1,
        precision: str = "fp32",
        backend: str = ONNXRUNTIME,
        check_scans: bool = True,
    ) -> Runner:
        """Return a `Runner` of this bundle, see there.

        Raises:
            BundleError: as `Runner`.
        """
        from hwnas.bundle.runtime.runner import Runner

        return Runner(
            self.path,
            threads=threads,
            precision=precision,
            backend=backend,
            check_scans=check_scans,
            trust=self._trust,
        )

    def infer(
        self,
        inputs: str | Path | Sequence[str | Path],
        out: str | Path,
        *,
        threads: int = 1,
        precision: str = "fp32",
        ids: str = "raw",
        columns: str | Sequence[str] | None = None,
        format_options: Mapping[str, Any] | None = None,
        picture: bool = False,
        force: bool = False,
        check_scans: bool = True,
        progress: Listener[InferenceStatus] | None = None,
    ) -> Inference:
        """Run the network on files; LiDAR bundles write one .label file for each scan.

        For other bundles, the processor defines what is written. Files that cannot be used are listed in
        `Inference.problems`. If a directory holds a `dataset.yaml`, its scans are read as that file says, and
        only the files that it names are scans; elsewhere files named like labels are left out.

        Args:
            inputs: files, and directories, which are searched recursively.
            out: directory for the results; it mirrors the subdirectories of the inputs.
            threads: number of threads of one inference; 0 for all cores.
            precision: `fp32`, `fp16`, `int8`, `mixed`, or `recommended` for the bundle's target.
            ids: LiDAR. `raw`, ids as in label files, or `train`, indices of classes and 255 for none.
            columns: LiDAR. Columns of .bin files, such as `x,y,z,intensity,ring`; `_` skips one.
            format_options: LiDAR. Options of the format as in `dataset.yaml`.
            picture: also draw each input as a PNG file.
            force: replace results and pictures that `infer` wrote; other files are refused.
            check_scans: False also accepts inputs that contradict the manifest: their results may be wrong,
                and nothing tells which.
            progress: is given an `InferenceStatus` before each file.

        Raises:
            BundleError: if the bundle is changed, incomplete, or not signed as wanted.
            ConfigError: if a result exists, two results would be the same file, an argument is wrong, or
                options do not fit the bundle.
            DataError: if the `dataset.yaml` of a directory is wrong.
            PluginError: if the bundle's processor is not installed, or raises an error of its own.
        """
        from hwnas.bundle.inference.infer import infer
        from hwnas.bundle.inference.processing import FileOptions

        paths = inputs if isinstance(inputs, Iterable) and not isinstance(inputs, str | bytes) else [inputs]
        options = FileOptions(
            threads=threads,
            precision=precision,
            picture=picture,
            force=force,
            check_scans=check_scans,
            trust=self._trust,
            progress=progress,
        )
        return infer(
            self.path,
            [checked_path(path, "`inputs=`") for path in paths],
            checked_path(out, "`out=`"),
            options,
            ids=ids,
            columns=columns,
            format_options=format_options,
        )

    def adapt(
        self,
        data: str | Path,
        out: str | Path,
        *,
        scans: int,
        method: str = "auto",
        label_map: str | None = None,
        steps: int = 150,
        learning_rate: float = 1e-3,
        folds: int = 2,
        start: str | Path | None = None,
        inner_steps: int | None = None,
        seed: int = 0,
        target: str | None = None,
        force: bool = False,
        progress: Listener[AdaptationStatus] | None = None,
    ) -> Adaptation:
        """Adapt the network to a new sensor, place or label map from few labelled samples.

        Args:
            data: data set with a labelled `train` and `val` split.
            out: directory of the new bundle.
            scans: labelled samples of the training split to adapt to, spread over it.
            method: `none`, `batch-norm`, `head`, `fine-tune`, with `start` also `anil` and `maml`, or `auto`:
                the best on parts held out of the samples; the validation split is only for the reported
                figures.
            label_map: name or path; None means the data set's own. Classes that the network does not know get
                a new row in its head.
            steps: training steps of `head` and `fine-tune`.
            learning_rate: their peak.
            folds: parts of the samples that `auto` holds out in turn; a single scan is divided by directions.
            start: directory of weights that `Run.meta_train` learned for this network.
            inner_steps: steps of gradient descent of `anil` and `maml`; as in the meta-training if None.
            seed: seed for drawing the samples and for training.
            target: URL of the target to measure latency on instead of the bundle's.
            force: replace a bundle at `out`.
            progress: receives an `AdaptationStatus` for each step.

        Raises:
            BundleError: if this bundle is changed, incomplete, or not signed as wanted.
            ConfigError: if a setting is wrong, or the task cannot be adapted.
            DataError: if the data cannot be used or have too few labelled samples.
            ExportError: if `out` exists and may not be replaced.
            TrainingError: if training fails.
            MeasurementError: if the target cannot be used.
        """
        from hwnas.bundle.adaptation.adapt import AdaptationSettings, adapt
        from hwnas.bundle.adaptation.source import AdaptationSource
        from hwnas.bundle.purpose import ExportOptions

        settings = AdaptationSettings(
            scans,
            method,
            steps,
            learning_rate,
            folds,
            seed,
            start=None if start is None else checked_path(start, "`start=`"),
            inner_steps=inner_steps,
        )
        return adapt(
            AdaptationSource.of(self.manifest),
            str(checked_path(data, "`data=`")),
            checked_path(out, "`out=`"),
            settings,
            label_map=label_map,
            target=target,
            options=ExportOptions(force=force),
            progress=progress,
        )

    def verify(
        self,
        *,
        data: str | None = None,
        target: str | None = None,
        settings: VerificationSettings | None = None,
        progress: Listener[str] | None = None,
    ) -> Verification:
        """Check signature, hashes, ONNX against PyTorch, quality and latency, here and now.

        Latency is measured with the same protocol as the bundle's stated latency.

        Args:
            data: data set to evaluate on instead of the one that the network was trained with.
            target: URL of the target to measure on instead of the bundle's.
            settings: tolerances.
            progress: receives a text that says what is checked next.

        Raises:
            BundleError: if the bundle is changed, incomplete, or not signed as wanted.
            ConfigError: if `data` is given for a task that has no setting of that name.
            DataError: if the data cannot be read.
            MeasurementError: if the target cannot be used.
        """
        from hwnas.bundle.verification.on_target import verify_on_target

        return verify_on_target(
            self.path, data=data, target=target, settings=settings, trust=self._trust, progress=progress
        )

    def __repr__(self) -> str:
        """Return the call that names this bundle."""
        return f"Bundle({str(self.path)!r})"
