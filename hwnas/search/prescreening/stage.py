"""Prescreening as a stage: between the candidates of the strategy and the training of the chosen."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from hwnas.architecture import Architecture, Choice
from hwnas.arrays import DoubleArray
from hwnas.config import PrescreeningSection
from hwnas.errors import StudyError
from hwnas.files import write_checked_json
from hwnas.objectives import LATENCY, Objectives
from hwnas.search.latency_filter import LatencyFilter
from hwnas.search.layers import picked
from hwnas.search.prescreening.predictions import CandidatePredictor, Evaluated
from hwnas.search.prescreening.selection import Kept, Prescreening
from hwnas.search.run_directory import SCHEMA_VERSION, RunDirectory, read_record_if_any
from hwnas.search.run_log import RunLog
from hwnas.search.strategies import Limits
from hwnas.search.trial_summary import TrialSummary
from hwnas.search_spaces.base import SearchSpace

_KEPT_FOR_EACH = 10
"""So many networks are kept on the first layers for each that is to be chosen."""
_SAVE_EVERY_S = 10.0

Choices = dict[str, Choice]


class PrescreeningStage:
    """Prescreens once, and remembers in `prescreening.json` what was chosen.

    One that was stopped goes on where it was. One whose settings have changed is made anew, with what all
    trials up to now say.
    """

    def __init__(
        self,
        run: RunDirectory,
        section: PrescreeningSection,
        *,
        space: SearchSpace,
        latency_filter: LatencyFilter,
        limits: Limits,
        objectives: Objectives,
        seed: int,
        log: RunLog,
        fits: Callable[[Architecture], bool] = lambda _architecture: True,
    ) -> None:
        """Prepare.

        Args:
            run: holds the file.
            section: how many to predict, and to train.
            space: searched.
            latency_filter: of latencies.
            limits: hard ones.
            objectives: the second objective.
            seed: of the draws.
            log: written to once prescreening is over.
            fits: says of a network whether it may be within the hard limits; asked of few.
        """
        self._run, self._section, self._space, self._log = run, section, space, log
        self._latency_filter, self._limits, self._seed, self._fits = latency_filter, limits, seed, fits
        self._is_latency = str(objectives.objective) == LATENCY

    def chosen(
        self,
        learned_from: Sequence[TrialSummary],
        trials: Sequence[TrialSummary],
        is_stopped: Callable[[], bool],
    ) -> list[Choices] | None:
        """Return the choices of the networks to be trained, best layers first; None if it was stopped.

        Args:
            learned_from: trials that say how good networks are; with a first estimator of a study of its own.
            trials: up to now, of the study that gets the chosen; what was tried there is not chosen.
            is_stopped: asked after every chunk.

        Raises:
            StudyError: if too few candidates are trained to learn from.
        """
        state = self._read()
        if state is None:
            state = self._begun(learned_from, trials)
        if not state["is_finished"]:
            state = self._prescreened(state, learned_from, trials, is_stopped)
        return list(state["chosen"]) if state["is_finished"] else None

    @property
    def wanted(self) -> int:
        """How many candidates are trained once the chosen are.

        Raises:
            StudyError: before there was any.
        """
        state = self._read()
        if state is None:
            raise StudyError(
                f"{self._run.prescreening} is gone. Go on with `Run.search` or `hwnas search RUN --resume`, "
                "which prescreens again."
            )
        return int(state["trained_before"]) + len(state["chosen"])

    def _read(self) -> dict[str, Any] | None:
        state = read_record_if_any(
            self._run.prescreening, "Remove it, and going on with the search prescreens again."
        )
        return state if state is not None and state["settings"] == self._settings() else None

    def _settings(self) -> dict[str, Any]:
        section = self._section
        return {"networks": section.networks, "train_best": section.train_best, "seed": self._seed}

    def _begun(self, learned_from: Sequence[TrialSummary], trials: Sequence[TrialSummary]) -> dict[str, Any]:
        return {
            "schema_version": SCHEMA_VERSION,
            "settings": self._settings(),
            "is_finished": False,
            "learned_from": len(learned_from),
            "trials_before": max((trial.number for trial in trials), default=-1) + 1,
            "trained_before": sum(trial.is_trained for trial in trials),
            "seconds": 0.0,
            "kept": None,
            "chosen": [],
        }

    def _prescreened(
        self,
        state: dict[str, Any],
        learned_from: Sequence[TrialSummary],
        trials: Sequence[TrialSummary],
        is_stopped: Callable[[], bool],
    ) -> dict[str, Any]:
        started = saved = time.monotonic()
        before_s = float(state["seconds"])
        predictor = CandidatePredictor(
            self._space,
            [
                _evaluated(trial)
                for trial in learned_from[: state.get("learned_from", state["trials_before"])]
                if trial.is_trained
            ],
            self._limits,
            self._table if self._latency_filter.is_available else None,
            is_latency=self._is_latency,
            seed=self._seed,
        )
        keep = _KEPT_FOR_EACH * self._section.train_best
        prescreening = Prescreening(
            self._space, predictor, number=self._section.networks, keep=keep, seed=self._seed
        )
        num_genes = len(self._space.choices)
        kept = Kept.from_json(state["kept"], num_genes) if state["kept"] else prescreening.nothing
        while kept.screened < prescreening.number:
            kept = prescreening.step(kept)
            if is_stopped() or time.monotonic() - saved > _SAVE_EVERY_S:
                saved = time.monotonic()
                state |= {"kept": kept.to_json(), "seconds": before_s + saved - started}
                write_checked_json(self._run.prescreening, state)
            if is_stopped():
                return state
        return self._finished(state, prescreening, kept, predictor, trials, before_s, started)

    def _finished(
        self,
        state: dict[str, Any],
        prescreening: Prescreening,
        kept: Kept,
        predictor: CandidatePredictor,
        trials: Sequence[TrialSummary],
        before_s: float,
        started: float,
    ) -> dict[str, Any]:
        known = {trial.architecture.id for trial in trials if trial.architecture is not None}
        new = [
            index
            for index, name in enumerate(kept.ids)
            if name not in known
            and self._fits(self._space.decode(prescreening.choices(kept.genes[index].tolist())))
        ]
        best = picked(kept.points[new], kept.genes[new], self._section.train_best)
        genes = kept.genes[new][best].tolist()
        state |= {
            "is_finished": True,
            "kept": None,
            "screened": kept.screened,
            "allowed": kept.allowed,
            "predictor": predictor.report.to_json(),
            "uses_table": predictor.uses_table,
            "chosen": [prescreening.choices(one) for one in genes],
            "predicted": kept.points[new][best].tolist(),
            "seconds": round(before_s + time.monotonic() - started, 3),
        }
        write_checked_json(self._run.prescreening, state)
        report = predictor.report.rank_correlation
        doubt = "" if report.low > 0 else " It may order networks no better than chance."
        self._log.event(
            "prescreened",
            f"prescreened {kept.screened} networks in {state['seconds']:.1f} s, {kept.allowed} within the "
            f"limits; the predictor of errors, made of {report.networks} networks, has a Kendall tau of "
            f"{report} in cross-validation.{doubt} {len(genes)} are chosen to be trained",
            **{key: state[key] for key in ("screened", "allowed", "predictor", "seconds")},
        )
        return state

    def _table(self, networks: Sequence[Architecture]) -> tuple[DoubleArray, DoubleArray] | None:
        predictions = self._latency_filter.predict_many(networks)
        found = [(one.latency_ms, one.interval_ms[0]) for one in predictions if one is not None]
        if len(found) != len(networks):
            return None
        values = np.array(found, np.float64).reshape(-1, 2)
        return values[:, 0], values[:, 1]


def _evaluated(trial: TrialSummary) -> Evaluated:
    if trial.architecture is None or trial.error is None or trial.cost is None:
        raise StudyError(f"Trial {trial.number} is trained, but its record is not whole.")
    return Evaluated(trial.architecture, trial.error, trial.cost)
