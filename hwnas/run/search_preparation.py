"""What a run does before its search: shared weights, relaxed choices, and trust in an estimator."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hwnas.config import RunConfig
from hwnas.progress import Listener
from hwnas.run.arguments import listed, listening
from hwnas.training.relaxed_choices import WEIGHTS

if TYPE_CHECKING:
    from hwnas.estimators.comparison import EstimateStatus
    from hwnas.estimators.comparison_result import EstimatorComparison
from hwnas.run.preparation import RelaxationSummary, StepStatus, SupernetSummary

ESTIMATORS = ("synflow", "snip", "grad-norm", "naswot", "jacob-cov")
"""That are compared with the one of the run if none are named."""


class SearchPreparation:
    """The steps of a run that a search can build on; none needs the run directory.

    Attributes:
        config: the run, with every setting resolved.
    """

    config: RunConfig

    def train_supernet(
        self,
        out: str | Path,
        *,
        steps: int = 1000,
        learning_rate: float | None = None,
        progress: Listener[StepStatus] | bool = True,
    ) -> SupernetSummary:
        """Train weights that all networks of the space share, to evaluate any of them in about a second.

        Stopped, the same call goes on from the last checkpoint. The estimator `weight-sharing` uses `out`.

        Args:
            out: directory; goes on with what it holds.
            steps: number of training steps, four networks each.
            learning_rate: peak; that of `training.proxy` if None.
            progress: a function that is given a `StepStatus`; True shows a bar, False nothing.

        Raises:
            ConfigError: if the space has several input widths, or `out` holds other things.
            TrainingError: if the loss is not finite, or `out` holds another training.
        """
        from hwnas.run.preparation import train_supernet_of
        from hwnas.run.progress import shown_steps

        with listening(progress, lambda: shown_steps("supernet")) as listener:
            return train_supernet_of(
                self.config, Path(out), steps=steps, learning_rate=learning_rate, progress=listener
            )

    def relax(
        self,
        supernet: str | Path,
        out: str | Path,
        *,
        steps: int = 100,
        weights: Sequence[float] = WEIGHTS,
        progress: Listener[StepStatus] | bool = True,
    ) -> RelaxationSummary:
        """Find likely choices by gradients through shared weights, with latencies of a table in the loss.

        The strategy `gradient` draws from them. Stopped, the same call goes on from the last checkpoint.

        Args:
            supernet: directory that `train_supernet` wrote.
            out: directory; goes on with what it holds.
            steps: each moves every set of choices.
            weights: weights of the logarithm of the latency; a set of choices for each.
            progress: a function that is given a `StepStatus`; True shows a bar, False nothing.

        Raises:
            ConfigError: if no latency table fits target and space, a weight is wrong, or `out` holds other
                things.
            MeasurementError: if the target cannot be reached.
            TrainingError: if the supernet is missing or of another space, or the relaxation fails.
        """
        from hwnas.run.preparation import relax_choices_of
        from hwnas.run.progress import shown_steps

        with listening(progress, lambda: shown_steps("relaxing")) as listener:
            return relax_choices_of(
                self.config, Path(supernet), Path(out), steps=steps, weights=weights, progress=listener
            )

    def estimate(
        self,
        out: str | Path,
        *,
        networks: int = 32,
        estimators: str | Sequence[str] = ESTIMATORS,
        max_gmac: float | None = None,
        workers: int | None = None,
        progress: Listener[EstimateStatus] | bool = True,
    ) -> EstimatorComparison:
        """Say how well estimators of accuracy rank networks: how far they order them as full training does.

        Networks are drawn from the space and trained by `training.full`. The estimator of the run and others
        evaluate the same networks. A search whose `search.estimator_report` names `out` states what came out.

        Args:
            out: directory; goes on with what it holds.
            networks: number of networks to be trained in full, at least 4.
            estimators: others to compare; a text has commas between them.
            max_gmac: networks with more billions of multiply-accumulates are passed over.
            workers: processes; one for each processor if None.
            progress: a function that is given an `EstimateStatus`; True shows a bar, False nothing.

        Raises:
            ConfigError: if too few networks are small enough, a setting is wrong, or `out` holds other
                things.
            TrainingError: if the full training of a network fails.
        """
        from hwnas.run.preparation import estimate_of
        from hwnas.run.progress import shown_estimates

        names = [name.strip() for name in listed(estimators).split(",") if name.strip()]
        with listening(progress, shown_estimates) as listener:
            return estimate_of(
                self.config,
                Path(out),
                networks=networks,
                estimators=names,
                max_gmac=max_gmac,
                workers=workers,
                progress=listener,
            )
