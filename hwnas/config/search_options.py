"""What can be asked of a search over its run file, as `hwnas search` takes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hwnas.config.run_config import RunConfig
from hwnas.config.run_file import parse_config
from hwnas.config.sections import PrescreeningSection
from hwnas.errors import ConfigError


@dataclass(frozen=True)
class SearchOptions:
    """Settings of a search that override those of the run; None keeps the run's own.

    Attributes:
        prescreen: predict this many networks after the strategy's candidates.
        first_steps: training steps of the candidates that prescreening learns from.
        train_best: train this many of the predicted networks.
        train_full: train this many of the front in full.
        warm_start: directories of earlier runs, whose fronts are tried first.
        learn_from: directories of earlier runs that the strategy learns from.
        fidelities: train all candidates for a few steps first, such as 25 and 75, and only the best for
            longer.
        reduction_factor: one candidate in this many is trained longer; goes with `fidelities`.
        initial_architectures: file of architectures that are tried first, as the search space reads them.
    """

    prescreen: int | None = None
    first_steps: int | None = None
    train_best: int | None = None
    train_full: int | None = None
    warm_start: Sequence[str | Path] | None = None
    learn_from: Sequence[str | Path] | None = None
    fidelities: Sequence[int] | None = None
    reduction_factor: int | None = None
    initial_architectures: str | Path | None = None

    def applied_to(self, config: RunConfig) -> RunConfig:
        """Return a run with these settings. Paths become absolute.

        Raises:
            ConfigError: if a value is wrong, or settings contradict each other.
        """
        changes = {**self._earlier_runs(), **self._fidelities(config), **self._prescreening(config)}
        if not changes:
            return config
        whole = config.model_dump(mode="json")
        whole["search"] |= changes
        return parse_config(whole)

    def _earlier_runs(self) -> Mapping[str, Any]:
        changes: dict[str, Any] = {}
        for name, others in (("warm_start", self.warm_start), ("learn_from", self.learn_from)):
            if others:
                changes[name] = [str(Path(other).resolve()) for other in others]
        if self.initial_architectures is not None:
            changes["initial_architectures"] = str(Path(self.initial_architectures).resolve())
        return changes

    def _fidelities(self, config: RunConfig) -> Mapping[str, Any]:
        if self.fidelities is None and self.reduction_factor is None:
            return {}
        section = config.search.fidelities
        if self.fidelities is None and section is None:
            raise ConfigError(
                "`reduction_factor=` goes with `fidelities=`, or with search.fidelities in the run file."
            )
        changed: dict[str, Any] = section.model_dump() if section is not None else {}
        if self.fidelities is not None:
            changed["steps"] = list(self.fidelities)
        if self.reduction_factor is not None:
            changed["reduction_factor"] = self.reduction_factor
        return {"fidelities": changed}

    def _prescreening(self, config: RunConfig) -> Mapping[str, Any]:
        asked = {"networks": self.prescreen, "train_best": self.train_best, "train_full": self.train_full}
        given = {name: value for name, value in asked.items() if value is not None}
        if not given and self.first_steps is None:
            return {}
        section = config.search.prescreening or PrescreeningSection()
        changes: dict[str, Any] = {"prescreening": {**section.model_dump(), **given}}
        if self.first_steps is not None:
            changes["first_estimator"] = {"name": "training", "steps": self.first_steps}
        return changes
