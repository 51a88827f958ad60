"""One run directory behind one object: search, train, export, verify, report."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from hwnas.config import RunConfig, SearchOptions, config_of, load_config
from hwnas.errors import ConfigError, StudyError
from hwnas.files import checked_path
from hwnas.progress import Listener
from hwnas.run.arguments import listed, listening
from hwnas.run.contents import RunContents
from hwnas.run.search_preparation import SearchPreparation
from hwnas.search.run_directory import RunDirectory

if TYPE_CHECKING:
    from hwnas.bundle.bundle import Bundle
    from hwnas.bundle.purpose import ExportKeywords
    from hwnas.bundle.verification.result import Verification, VerificationSettings
    from hwnas.run.export import ExportStatus
    from hwnas.run.meta_training import MetaTrainingStatus
    from hwnas.run.results import SearchSummary, TrainingSummary
    from hwnas.search.comparison import BaselineComparison
    from hwnas.search.picking import Pick
    from hwnas.search.progress import SearchStatus, TrainingStatus
    from hwnas.training.meta.initialisation import Initialisation


class Run(SearchPreparation, RunContents):
    """A run: a run file, resolved, and the directory in which everything of it lies.

    Every step can be stopped (Ctrl-C or kill) and called again to resume.

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
        """Define a new run and check everything that it names; nothing is written before the first `search`.

        Args:
            source: a run file, its content as a mapping, or a `RunConfig`. Relative paths in a run file count
                from that file, the others from the working directory.
            directory: directory of the run. If None: for a run file, beside it and with its name; otherwise
                `run` in the working directory.
            check_search: False accepts a run that names files that do not exist yet, such as a supernet or
                relaxed choices that the run itself will make. Strategy, estimators and executor must be
                registered; they are tried only by the search.

        Raises:
            ConfigError: if the run file is missing, a key or value of it is wrong, it names files that are
                missing, or target or choices cannot be used.
            DataError: if data set or label map cannot be used.
            PluginError: if a plug-in is not installed, or breaks its contract.
            StudyError: if the directory already holds a run.
        """
        needed = ("task", "search", "measuring") if check_search else ("task",)
        if isinstance(source, RunConfig):
            source = source.model_dump(mode="json")
        out = None if directory is None else checked_path(directory, "The directory of the run")
        if isinstance(source, Mapping):
            config, default = config_of(source, Path.cwd(), must_exist=needed), Path("run")
        else:
            file = checked_path(source, "The run file")
            config, default = load_config(file, must_exist=needed), file.with_suffix("")
        path = Path(os.path.realpath(out or default))
        if RunDirectory(path).exists:
            raise StudyError(
                f"There is a run in {str(path)!r} already. `Run.open` goes on with it; name another "
                "directory to start anew."
            )
        from hwnas.search.components import checked_components

        checked_components(config, for_search=check_search)
        return cls(path, config)

    @classmethod
    def open(cls, directory: str | Path) -> Run:
        """Return a run that was started before.

        Raises:
            StudyError: if there is none.
            ConfigError: if its run file was damaged.
        """
        path = Path(os.path.realpath(checked_path(directory, "The directory of the run", StudyError)))
        return cls(path, RunDirectory(path).load_config())

    def search(
        self,
        *,
        rebase: bool = False,
        repair: bool = False,
        options: SearchOptions | None = None,
        progress: Listener[SearchStatus] | bool = True,
        training_progress: Listener[TrainingStatus] | bool = True,
    ) -> SearchSummary:
        """Search until enough candidates are trained; goes on with a search that was stopped.

        Args:
            rebase: measure all networks again if the target has changed since.
            repair: rebuild what a damaged journal has lost from the records of the trials; a copy of the
                damaged one is kept.
            options: settings that override those of the run.
            progress: a function that receives a `SearchStatus` about twice a second; True shows a bar, False
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
        progress: Listener[TrainingStatus] | bool = True,
    ) -> TrainingSummary:
        """Train candidates at full budget and measure them with the final protocol.

        Networks already trained with the same data, recipe and seed are reused.

        Args:
            pick: what to train: `all` of the front, its `knee`, how many, `latency<=MS`, `error<=SHARE`, or
                an architecture id; the run file's choice if None.
            steps: training steps instead of the run file's.
            device: `auto`, `cpu`, `mps`, `cuda` or `cuda:N` instead of the run file's.
            log_dir: directory for events of TensorBoard.
            progress: a function that is given a `TrainingStatus`; True shows it, False nothing.

        Raises:
            StudyError: if nothing was searched, another process drives the run, or data or target are others.
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

    def compare(
        self,
        networks: str | Sequence[str] = ("salsanext", "fidnet34"),
        *,
        width_multipliers: Sequence[float] = (0.25, 0.5),
        input_widths: Sequence[int] | None = None,
        seeds: int = 1,
        steps: int | None = None,
        device: str | None = None,
        progress: Listener[TrainingStatus] | bool = True,
    ) -> BaselineComparison:
        """Compare the trained front with hand-crafted networks: same data, recipe and device.

        Each hand-crafted network is trained like those of the front, then all are measured in one session
        with the final protocol. Earlier trainings are reused.

        Args:
            networks: names of `hwnas.models.baselines.BASELINES`, in a list or a comma-separated text.
            width_multipliers: multipliers of their channels; 1 is as published.
            input_widths: columns of their image; those of the front's networks if None.
            seeds: trainings of each network, those of the front included, the first with the run's seed.
            steps: number of steps of each training, instead of the run file's.
            device: the device to train on, instead of the run file's.
            progress: a function that is given a `TrainingStatus`; True shows it, False nothing.

        Raises:
            KeyboardInterrupt: if Ctrl-C or another signal ended it; checkpoints are saved before, and the
                same call goes on.
            ConfigError: if there is no such network, it does not take the task's images, or `seeds` or
                `steps` is no whole number from 1.
            StudyError: if nothing was trained in full, another process drives the run, or data or target are
                others.
            TrainingError: if a network cannot be trained.
            MeasurementError: if a network cannot be measured.
        """
        from hwnas.run.progress import shown_training
        from hwnas.search.baselines import Baselines
        from hwnas.search.comparing import compare_run

        baselines = Baselines(
            tuple(name.strip() for name in listed(networks).split(",")),
            tuple(width_multipliers),
            None if input_widths is None else tuple(input_widths),
        )
        with listening(progress, shown_training) as listener:
            return compare_run(
                self.path, baselines, seeds=seeds, steps=steps, device=device, progress=listener
            )

    def meta_train(
        self,
        family: str | Path,
        out: str | Path,
        *,
        pick: Pick = "knee",
        method: str = "fomaml",
        steps: int = 300,
        shots: int = 2,
        inner_steps: int = 3,
        inner_learning_rate: float = 0.05,
        learning_rate: float = 1e-3,
        tasks_per_step: int = 2,
        fresh: bool = False,
        seed: int = 0,
        workers: int = 1,
        progress: Listener[MetaTrainingStatus] | bool = True,
    ) -> Initialisation:
        """Learn initial weights of a trained network over a family of tasks, to adapt it from few samples.

        Stopped, the same call goes on from the last checkpoint. `Bundle.adapt` takes `out` as `start`.

        Args:
            family: file of the family: synthetic sensors and places, sequences, or data sets.
            out: directory; goes on with what it holds.
            pick: the one network, see `Run.export`.
            method: `fomaml`, `reptile`, `maml` or `anil`; the last two keep all inner steps in memory.
            steps: number of steps of the outer loop.
            shots: samples of a task that it is adapted to, and as many others that the loss is taken on.
            inner_steps: number of steps of gradient descent on a task.
            inner_learning_rate: their step size.
            learning_rate: step size of the outer loop.
            tasks_per_step: members of the family in a step.
            fresh: begin with fresh weights instead of those of the run.
            seed: seed of everything that is random.
            workers: processes that draw synthetic scans.
            progress: a function that is given a `MetaTrainingStatus`; True shows a bar, False nothing.

        Raises:
            ConfigError: if a setting or the file of the family is wrong, `pick` names several networks, or
                members have other classes or inputs.
            StudyError: if nothing was trained in full.
            DataError: if data of a member cannot be used, or are too few.
            TrainingError: if a loss is not finite, or `out` holds another training.
        """
        from hwnas.run.meta_training import meta_train_run
        from hwnas.run.progress import shown_meta_training
        from hwnas.training.meta.settings import MetaSettings

        settings = MetaSettings(
            method, steps, shots, inner_steps, inner_learning_rate, learning_rate, tasks_per_step, seed
        )
        with listening(progress, shown_meta_training) as listener:
            return meta_train_run(
                self.path,
                checked_path(family, "`family=`"),
                checked_path(out, "`out=`"),
                settings,
                pick=pick,
                is_fresh=fresh,
                workers=workers,
                progress=listener,
            )

    def export(
        self,
        pick: Pick = "all",
        *,
        out: str | Path | None = None,
        progress: Listener[ExportStatus] | bool = True,
        **options: Unpack[ExportKeywords],
    ) -> tuple[Bundle, ...]:
        """Write trained networks as bundles, each with its evidence.

        Args:
            pick: what to export: `all`, their `knee`, how many, `latency<=MS`, `error<=SHARE`, or an
                architecture id.
            out: directory that gets a bundle for each network; `bundles` in the run directory if None.
            progress: a function that is given an `ExportStatus`; True shows it, False nothing.
            options: what is written and for what, by the names in `ExportOptions`: `precision`,
                `integrations`, `engine`, `tensorrt`, `onnxruntime`, `opset`, `dialect`, `key`, `force`. Names
                of precisions (`fp32`, `fp16`, `int8`, `mixed`) and integrations stand in a list, or in a text
                between commas; `precision` may be a `PrecisionSettings`.

        Raises:
            StudyError: if nothing was trained in full, or the data are not those of the run.
            ConfigError: if `pick` names nothing, the target cannot build the engine, or options contradict.
            ExportError: if a bundle exists already, another export writes it, or a network cannot be
                exported.
            MeasurementError: if the target cannot be used.
        """
        from hwnas.bundle.purpose import ExportOptions
        from hwnas.run.export import export_run
        from hwnas.run.progress import shown_export

        with listening(progress, shown_export) as listener:
            return export_run(
                self.path,
                ExportOptions.of(**options),
                pick=pick,
                out=Path(out) if out is not None else None,
                progress=listener,
            )

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
            settings: tolerances.

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
            ConfigError: if the file to be replaced is not a report.
        """
        from hwnas.report.build import build_report

        return build_report(self.path, Path(out) if out is not None else None)

    def __repr__(self) -> str:
        """Return the call that opens this run."""
        return f"Run.open({str(self.path)!r})"
