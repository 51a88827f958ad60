"""What the steps of a run leave behind, as typed results."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from html import escape
from pathlib import Path
from typing import Any

from hwnas.estimators.report import EstimatorReport
from hwnas.run.front import Front, FrontMember, front_of_search, trained_networks
from hwnas.search.full_training import FullTrainingResult
from hwnas.search.run_directory import RunDirectory
from hwnas.search.session import SearchResult
from hwnas.search.stage_costs import StageCost, stage_costs
from hwnas.search.strategies import Transfer
from hwnas.search.trial_counts import TrialCounts
from hwnas.text import counted, one_line


@dataclass(frozen=True)
class RungCounts:
    """What became of the candidates of one study of a run that has several.

    Attributes:
        stage: what the study is for.
        estimator: what evaluated its candidates.
        steps: training steps of its candidates; None where they are not trained.
        trials: what became of them.
    """

    stage: str
    estimator: str
    steps: int | None
    trials: TrialCounts


@dataclass(frozen=True)
class SearchSummary:
    """A search as its latest session left it.

    Attributes:
        run: the run directory.
        front: what was found so far.
        trials: what became of the candidates.
        ending: why the session ended, in words.
        is_interrupted: whether that was Ctrl-C or a signal; `Run.search` goes on.
        stages: seconds that each stage of the run took; the last is their total.
        remarks: what was lost or damaged before this session, and what to change where most proposals were
            over the budget.
        estimator_report: how far the estimator orders networks as full training does; None if not known.
        rungs: every study of several fidelities or of prescreening, the lowest first; empty for a plain
            search.
        training: the training of the front in full, where prescreening ends with it.
        transfer: how far the earlier runs that the strategy learns from tell networks apart; None where it
            learns from none.
    """

    run: Path
    front: Front
    trials: TrialCounts
    ending: str
    is_interrupted: bool
    stages: tuple[StageCost, ...]
    remarks: tuple[str, ...]
    estimator_report: EstimatorReport | None
    rungs: tuple[RungCounts, ...]
    _result: SearchResult = field(repr=False, compare=False)
    training: TrainingSummary | None = None
    transfer: Transfer | None = None

    @classmethod
    def of(cls, result: SearchResult, training: TrainingSummary | None = None) -> SearchSummary:
        """Return the summary of what the driver of a search returns, and of the training that followed."""
        run = RunDirectory(result.run)
        return cls(
            run=result.run,
            front=front_of_search(run),
            trials=TrialCounts.of(result.front["trials"]),
            ending=result.ending,
            is_interrupted=result.interrupted or (training is not None and training.is_interrupted),
            stages=tuple(stage_costs(run)),
            remarks=result.remarks,
            estimator_report=result.estimator_report,
            rungs=tuple(
                RungCounts(
                    rung["stage"],
                    rung["estimator"],
                    rung["steps"],
                    TrialCounts(**{each.name: rung[each.name] for each in fields(TrialCounts)}),
                )
                for rung in result.rungs
            ),
            _result=result,
            training=training,
            transfer=result.transfer,
        )

    def _repr_html_(self) -> str:
        """Return counts and the front for notebooks."""
        counts = ", ".join(f"{number} {name}" for name, number in asdict(self.trials).items() if number)
        front = (self.training or self).front
        ending = f"<p>Search ended: {escape(self.ending)}. Candidates: {escape(counts)}.</p>"
        return ending + front._repr_html_()

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values, as `hwnas search --json` prints them."""
        value = {**self._result.to_json(), "interrupted": self.is_interrupted}
        return value if self.training is None else {**value, "full_training": self.training.to_json()}

    def __repr__(self) -> str:
        """Return the figures that matter most, in a line."""
        return one_line(
            self,
            str(self.trials),
            f"front of {len(self.front)}",
            "interrupted" if self.is_interrupted else "",
            f"run {str(self.run)!r}",
        )


@dataclass(frozen=True)
class RankAgreement:
    """How far the search ranked latencies as the final measurement does.

    Attributes:
        networks: that were measured both times.
        kendall: Kendall's tau-b, -1 to 1.
        spearman: Spearman's rank correlation, -1 to 1.
    """

    networks: int
    kendall: float
    spearman: float


@dataclass(frozen=True)
class TrainingSummary:
    """The networks at full budget.

    Attributes:
        networks: all that were trained and measured, those that others beat included, by ascending error.
        front: those that no other beats and that keep the constraints.
        is_interrupted: whether Ctrl-C or a signal ended the training; `Run.train` goes on.
        latency_ranks: agreement of latencies with those of the search; None for fewer than three networks.
    """

    networks: tuple[FrontMember, ...]
    front: Front
    is_interrupted: bool
    latency_ranks: RankAgreement | None
    _result: FullTrainingResult = field(repr=False, compare=False)

    @classmethod
    def of(cls, result: FullTrainingResult, run: RunDirectory) -> TrainingSummary:
        """Return the summary of what full training returns."""
        if not run.trained.is_file():  # interrupted before the first was measured
            empty = front_of_search(run)
            front = Front((), "full training", empty.objective, empty.unit, empty.constraints)
            return cls((), front, result.interrupted, None, result)
        agreement = result.trained.get("rank_agreement")
        return cls(
            networks=trained_networks(run, only_front=False).members,
            front=trained_networks(run, only_front=True),
            is_interrupted=result.interrupted,
            latency_ranks=None
            if agreement is None
            else RankAgreement(agreement["members"], agreement["kendall"], agreement["spearman"]),
            _result=result,
        )

    def _repr_html_(self) -> str:
        """Return the front for notebooks."""
        return self.front._repr_html_()

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values, the content of `trained.json`."""
        return dict(self._result.trained)

    def __repr__(self) -> str:
        """Return the figures that matter most, in a line."""
        return one_line(
            self,
            counted(len(self.networks), "network"),
            f"front of {len(self.front)}",
            "interrupted" if self.is_interrupted else "",
        )
