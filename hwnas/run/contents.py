"""What a run directory holds, to look at: fronts, bundles, comparison, study, and their figures."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from hwnas.config import RunConfig
from hwnas.errors import StudyError
from hwnas.search.run_directory import RunDirectory

if TYPE_CHECKING:
    import optuna
    import plotly.graph_objects as go

    from hwnas.bundle.bundle import Bundle
    from hwnas.run.front import Front
    from hwnas.search.comparison import BaselineComparison


class RunContents:
    """What is read of a run; nothing is changed.

    Attributes:
        path: the run directory, absolute.
        config: the run, with every setting resolved.
    """

    path: Path
    config: RunConfig

    @property
    def directory(self) -> RunDirectory:
        """Where each file of the run lies."""
        return RunDirectory(self.path)

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

    @property
    def comparison(self) -> BaselineComparison | None:
        """What `compare` found last; None if nothing was compared.

        Raises:
            StudyError: if its file is damaged.
        """
        from hwnas.search.comparing import read_comparison

        return read_comparison(self.directory)

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

    def plot_comparison(self) -> go.Figure:
        """Return error over the second objective of the run's networks and of hand-crafted ones.

        Raises:
            StudyError: if nothing was compared.
        """
        from hwnas.report.comparison import comparison_figure

        comparison = self.comparison
        if comparison is None:
            raise StudyError(f"Nothing was compared in {self.path} yet. `Run.compare` does that.")
        return comparison_figure(comparison)

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

    def _repr_html_(self) -> str:
        """Return the state of the run for notebooks."""
        place = f"<p>Run in <code>{escape(str(self.path))}</code></p>"
        if not self.directory.front.is_file():
            return place + "<p>Not searched yet.</p>"
        shown = self.trained if self.directory.trained.is_file() else self.front
        return place + shown._repr_html_()
