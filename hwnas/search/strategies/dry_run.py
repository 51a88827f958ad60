"""Lets a strategy propose once before anything is measured or trained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import optuna
from optuna.samplers import BaseSampler

from hwnas.plugins import Blame, find_plugin, wrong
from hwnas.search.quiet_optuna import quiet_optuna
from hwnas.search.strategies.base import GROUP, StrategyContext, distributions_of, make_sampler


def try_strategy(
    name: str, context: StrategyContext, options: Mapping[str, Any] | None = None
) -> BaseSampler:
    """Make a sampler and take one proposal of it on a study in memory.

    Args:
        name: of the strategy.
        context: of the search.
        options: of the strategy.

    Returns:
        the sampler.

    Raises:
        PluginError: if it makes no sampler, or one that proposes nothing of the space; it is named.
        ConfigError: if an option is wrong.
    """
    plugin = find_plugin(GROUP, name)
    sampler = make_sampler(name, context, options)
    with quiet_optuna():
        study = optuna.create_study(sampler=sampler, directions=["minimize", "minimize"])
    distributions = distributions_of(context.space)
    with Blame(plugin, type(sampler).__name__, "propose one value for every gene of the space"):
        proposed = study.ask(distributions).params  # type: ignore[arg-type]  # a dict is invariant
    if set(proposed) != set(distributions):
        missing = sorted(set(distributions) - set(proposed))
        raise wrong(plugin, type(sampler).__name__, "propose every gene", f"left out {missing}")
    return sampler
