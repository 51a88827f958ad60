"""One run directory behind one object: search, train, export, verify, report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwnas.config import RunConfig, SearchOptions, config_of, load_config
from hwnas.errors import ConfigError, StudyError
from hwnas.run.arguments import listed, listening
from hwnas.run.prepares_search import PreparesSearch
from hwnas.search.run_directory import RunDirectory

if TYPE_CHECKING:
    import optuna
    import plotly.graph_objects as go

    from hwnas.bundle.bundle import Bundle
    from hwnas.bundle.precision.measurements import PrecisionSettings
    from hwnas.bundle.verification.result import Verification, VerificationSettings
    from hwnas.run.export import ExportListener
    from hwnas.run.front import Front
    from hwnas.run.results import SearchSummary, TrainingSummary
    from hwnas.search.full_training import TrainingListener
    from hwnas.search.picking import Pick
    from hwnas.search.progress import ProgressListener


class Run(PreparesSearch):
    """A run: a run file, resolved, and the directory in which everything of it lies.

    Every step can be stopped (Ctrl-C, or a kill) and called again: it goes on where it was.

    Attributes:
        path: the run directory, absolute.
        config: the run, with every setting resolved.
    """

    def __init__(self, path: Path, config: RunConfig) -> None:
        """Name a run; use `Run.create` or `Run.open`."""
        self.path = path
        self.config = config

    @classmethod
    def create(
        cls,
        source: str | Path | Mapping[str, Any] | RunConfig,
        directory: str | Path | None = None,
        *,
        check_search: bool = True,
    ) -> Run:
        """Describe a new run; nothing is written before the first `search`.

        Args:
            source: a run file, its content as a mapping, or a `RunConfig`. Relative paths in a run file count
                from that file, the others from the working directory.
            directory: of the run. For a run file it is beside it and named like it if None; for the others
                `run` in the working directory.
            check_search: False takes a run that names what is not there yet besides its data, such as a
                supernet or relaxed choices that the run itself is to make.

        Raises:
            ConfigError: if the run file is missing, a key or value of it is wrong, or it names files that are
                missing.
            StudyError: if there is a run in the directory already.
        """
        needed = ("task", "search", "measuring") if check_search else ("task",)
        if isinstance(source, RunConfig):
            source = source.model_dump(mode="json")
        if isinstance(source, Mapping):
            config, default = config_of(source, Path.cwd(), must_exist=needed), Path("run")
        else:
            config = load_config(Path(source), must_exist=needed)
            default = Path(source).with_suffix("")
        path = (Path(directory) if directory is not None else default).resolve()
        if RunDirectory(path).exists:
            raise StudyError(
                f"There is a run in {str(path)!r} already. `Run.open` goes on with it; name another "
                "directory to start anew."
            )
        return cls(path, config)

    @classmethod
    def open(cls, directory: str | Path) -> Run:
        """Return a run that was started before.

        Raises:
            StudyError: if there is none.
            ConfigError: if its run file was damaged.
        """
        path = Path(directory).resolve()
        return cls(path, RunDirectory(path).load_config())

    @property
    def directory(self) -> RunDirectory:
        """Where each file of the run lies."""
        return RunDirectory(self.path)

    def search(
        self,
        *,
        rebase: bool = False,
        repair: bool = False,
        options: SearchOptions | None = None,
        progress: ProgressListener | bool = True,
        training_progress: TrainingListener | bool = True,
    ) -> SearchSummary:
        """Search until enough candidates are trained; goes on with a search that was stopped.

        Args:
            rebase: measure all networks again if the target has changed since.
            repair: rebuild what a damaged journal has lost from the records of the trials; a copy of the
                damaged one is kept.
            options: settings that go over those of the run.
            progress: a function that is given a `SearchStatus` about twice a second; True shows a bar, False
                nothing.
            training_progress: the same for full training, with which prescreening may end; see `train`.

        Raises:
            StudyError: if another process drives the run, or settings, data or target differ from those that
                it was started with.
            HwnasError: if task, search space, strategy or target cannot be used.
        """
        from hwnas.run.progress import shown_search
        from hwnas.run.results import SearchSummary
        from hwnas.search.driver import search

        resume = self.directory.exists
        if (rebase or repair) and not resume:
            raise ConfigError(
                "`rebase` and `repair` are about a run that is there, but this one was not started."
            )
        config = self.config if options is None else options.applied_to(self.config)
        with listening(progress, shown_search) as listener:
            result = search(config, self.path, resume=resume, rebase=rebase, repair=repair, progress=listener)
        self.config = self.directory.load_config()
        full = self.config.search.prescreening.train_full if self.config.search.prescreening else None
        training = None
        if full is not None and not result.interrupted:
            training = self.train(full, progress=training_progress)
        return SearchSummary.of(result, training)

    def train(
        self,
        pick: Pick | None = None,
        *,
        steps: int | None = None,
        device: str | None = None,
        log_dir: str | Path | None = None,
        progress: TrainingListener | bool = True,
    ) -> TrainingSummary:
        """Train candidates at full budget and measure them with the final protocol.

        Networks that were trained with the same recipe and seed are kept.

        Args:
            pick: `all` of the front, its `knee`, or how many candidates; the run file's choice if None.
            steps: training steps instead of the run file's.
            device: `auto`, `cpu`, `mps`, `cuda` or `cuda:N` instead of the run file's.
            log_dir: directory for events of TensorBoard.
            progress: a function that is given a `TrainingStatus`; True shows it, False nothing.

        Raises:
            StudyError: if nothing was searched, another process drives the run, or the target is another.
            TrainingError: if a network cannot be trained.
            MeasurementError: if a network cannot be measured.
        """
        from hwnas.run.progress import shown_training
        from hwnas.run.results import TrainingSummary
        from hwnas.search.full_training import train_front

        with listening(progress, shown_training) as listener:
            result = train_front(
                self.path,
                pick=pick,
                steps=steps,
                device=device,
                log_dir=Path(log_dir).resolve() if log_dir is not None else None,
                progress=listener,
            )
        return TrainingSummary.of(result, self.directory)

    def export(
        self,
        pick: str = "all",
        *,
        out: str | Path | None = None,
        force: bool = False,
        precision: PrecisionSettings | str | Sequence[str] = ("fp32",),
        integrations: str | Sequence[str] = (),
        engine: str = "none",
        tensorrt: str | None = None,
        onnxruntime: str | None = None,
        opset: int | None = None,
        dialect: str = "",
        key: str | Path | None = None,
        progress: ExportListener | bool = True,
    ) -> tuple[Bundle, ...]:
        """Write trained networks as bundles, each with its evidence.

        Args:
            pick: `knee`, `all`, `latency<=MS`, `error<=SHARE`, or an architecture id.
            out: directory that gets a bundle for each network; `bundles` in the run directory if None.
            force: replace bundles that exist.
            precision: names of precisions (`fp32`, `fp16`, `int8`, `mixed`), in a text between commas;
                or all settings of them.
            integrations: `triton`, `isaac-ros`: files that these load; a text has commas between them.
            engine: `tensorrt` (built on the target), `rtx` (for RTX GPUs), or `none`.
            tensorrt: version that must take the graph, such as `10.3`.
            onnxruntime: version that must take the graph, such as `1.16`.
            opset: of all files; the oldest that each needs if None.
            dialect: of INT8: `tensorrt`, `onnxruntime`, or both with a comma; empty for that of what the
                export is for.
            key: of OpenSSH, to sign the manifests with.
            progress: a function that is given an `ExportStatus`; True shows it, False nothing.

        Raises:
            StudyError: if nothing was trained in full.
            ConfigError: if `pick` names nothing, the target cannot build the engine, or options contradict.
            ExportError: if a bundle exists already, or a network cannot be exported.
            MeasurementError: if the target cannot be used.
        """
        from hwnas.bundle.integrations.choice import parse_integrations
        from hwnas.bundle.precision.measurements import PrecisionSettings
        from hwnas.bundle.purpose import ExportOptions
        from hwnas.run.export import export_run
        from hwnas.run.progress import shown_export

        if not isinstance(precision, PrecisionSettings):
            precision = PrecisionSettings.of(precision)
        options = ExportOptions(
            precision=precision,
            integrations=parse_integrations(listed(integrations)),
            engine=engine,
            tensorrt=tensorrt,
            onnxruntime=onnxruntime,
            opset=opset,
            dialect=dialect,
            key=Path(key) if key is not None else None,
            force=force,
        )
        with listening(progress, shown_export) as listener:
            return export_run(
                self.path,
                options,
                pick=pick,
                out=Path(out) if out is not None else None,
                progress=listener,
            )

    @property
    def bundles(self) -> tuple[Bundle, ...]:
        """The bundles in the run directory, by architecture id.

        Raises:
            BundleError: if one is damaged.
        """
        from hwnas.bundle.bundle import Bundle
        from hwnas.bundle.manifest import MANIFEST_NAME

        root = self.directory.bundles_dir
        found = sorted(path.parent for path in root.glob(f"*/{MANIFEST_NAME}")) if root.is_dir() else []
        return tuple(Bundle(path) for path in found if not path.name.startswith("."))

    def verify(
        self,
        *,
        data: str | None = None,
        target: str | None = None,
        settings: VerificationSettings | None = None,
    ) -> dict[str, Verification]:
        """Verify every bundle of the run, see `Bundle.verify`.

        Args:
            data: data set to evaluate on instead of the one that the networks were trained with.
            target: URL of the target to measure on instead of the bundles'.
            settings: how close is close enough.

        Returns:
            What was found, by architecture id.

        Raises:
            StudyError: if the run has no bundle.
            HwnasError: as `Bundle.verify`.
        """
        bundles = self.bundles
        if not bundles:
            raise StudyError(f"{self.path} holds no bundle to verify. Export first.")
        return {
            bundle.architecture_id: bundle.verify(data=data, target=target, settings=settings)
            for bundle in bundles
        }

    def report(self, out: str | Path | None = None) -> Path:
        """Write the report as one HTML file that opens offline, and return its path.

        Args:
            out: file to write; `report.html` in the run directory if None.

        Raises:
            StudyError: if nothing was searched.
            ConfigError: if what is to be replaced is no report.
        """
        from hwnas.report.build import build_report

        return build_report(self.path, Path(out) if out is not None else None)

    @property
    def front(self) -> Front:
        """The front that the search has found so far, as evaluated after its short trainings.

        Raises:
            StudyError: if nothing was searched.
        """
        from hwnas.run.front import front_of_search

        return front_of_search(self.directory)

    @property
    def trained(self) -> Front:
        """The front of the networks that were trained at full budget.

        Raises:
            StudyError: if nothing was trained in full.
        """
        from hwnas.run.front import trained_networks

        return trained_networks(self.directory, only_front=True)

    @property
    def study(self) -> optuna.Study:
        """A copy of the Optuna study in memory, for Optuna's own analyses; changing it changes no run.

        Raises:
            StudyError: if there is no study, or it is damaged.
        """
        from hwnas.search.storage.place import place_of_run
        from hwnas.search.study import copy_in_memory

        return copy_in_memory(place_of_run(self.directory, self.config))

    def plot_front(self) -> go.Figure:
        """Return error over the second objective: all trials, the front, networks at full budget.

        Raises:
            StudyError: if nothing was searched.
        """
        from hwnas.report.content import load_content
        from hwnas.report.figures import front_figure

        return front_figure(load_content(self.directory))

    def plot_hypervolume(self) -> go.Figure:
        """Return the hypervolume over the trained candidates, in the order in which they finished.

        Raises:
            StudyError: if nothing was searched.
        """
        from hwnas.report.figures import hypervolume_figure

        return hypervolume_figure(self.directory.read_front())

    def plot_losses(self) -> go.Figure:
        """Return the losses of the full trainings over their steps; without a line where there are none.

        Raises:
            StudyError: if nothing was searched.
        """
        from hwnas.report.content import load_content
        from hwnas.report.figures import losses_figure

        return losses_figure(load_content(self.directory).trained)

    def plot_predictions(self) -> go.Figure:
        """Return measured over predicted latency; without a point where no latency table was used.

        Raises:
            StudyError: if nothing was searched.
        """
        from hwnas.report.prediction import both_latencies, prediction_figure

        return prediction_figure(both_latencies(self.directory.read_front()))

    def __repr__(self) -> str:
        """Return the call that opens this run."""
        return f"Run.open({str(self.path)!r})"

    def _repr_html_(self) -> str:
        """Return the state of the run for notebooks."""
        place = f"<p>Run in <code>{escape(str(self.path))}</code></p>"
        if not self.directory.front.is_file():
            return place + "<p>Not searched yet.</p>"
        shown = self.trained if self.directory.trained.is_file() else self.front
        return place + shown._repr_html_()
