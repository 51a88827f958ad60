"""How candidates are proposed: factories of Optuna samplers, the group `hwnas.strategies`.

| name | proposes by | cost of a proposal | when to use it |
|---|---|---|---|
| `surrogate` | models of error and cost, where the front gains most | a quarter of a second | by default |
| `random` | uniform draws | nothing | as the baseline; with 1,000 workers |
| `quasi-random` | a scrambled Sobol sequence | nothing | to cover a space evenly, such as for a table |
| `tpe` | densities of good and bad genes | milliseconds | any space, 50 trials and more |
| `nsga2` | crossover and mutation of generations | nothing | hundreds of trials, many workers |
| `nsga3` | the same, spread by reference directions | nothing | the same |
| `gp` | Optuna's Gaussian process | seconds | up to 100 trials of few genes |
| `evolution` | mutating the best of some recent ones | milliseconds | hundreds of trials, noisy training |
| `gradient` | draws from choices moved by gradients | nothing | with a supernet and a latency table |
| `reinforce` | a policy rewarded for accuracy in time | milliseconds | thousands of cheap trials |
"""

from hwnas.search.strategies.base import (
    EarlierStudy,
    LatencyPrediction,
    Limits,
    StrategyContext,
    StrategyFactory,
    SupportsEarlierStudies,
    SupportsPromotion,
    Transfer,
    distributions_of,
    make_sampler,
    seed_after,
)

__all__ = [
    "EarlierStudy",
    "LatencyPrediction",
    "Limits",
    "StrategyContext",
    "StrategyFactory",
    "SupportsEarlierStudies",
    "SupportsPromotion",
    "Transfer",
    "distributions_of",
    "make_sampler",
    "seed_after",
]
