"""Reinforcement learning: a policy over the choices, rewarded for accuracy within a latency."""

from __future__ import annotations

import numpy as np
from optuna.samplers import BaseSampler

from hwnas.arrays import DoubleArray
from hwnas.search.strategies.base import StrategyContext
from hwnas.search.strategies.observations import Genes, Observation
from hwnas.search.strategies.proposing import ProposingSampler

_TARGETS = 5
"""Policies are learned side by side, each for a latency target of its own: together they give a front."""
_WARM_UP = 10
_STEP = 0.6
_FORGETTING = 0.9
_ENTROPY = 0.01
_MAX_RATIO = 1.0


class ReinforcementSampler(ProposingSampler):
    """REINFORCE with one categorical distribution a gene and policy.

    A policy's reward is (1 - error) for networks whose cost is within its target, and that times
    target / cost beyond it (MnasNet's alpha = 0, beta = -1); 0 for those over a hard limit. Targets are
    quantiles of the costs of the first trained networks, the last one without a bound. Trial n is drawn from
    policy n mod 5, but every policy learns from every told trial, weighted by the ratio of probabilities,
    at most 1. The state is rebuilt by replaying the told trials; running ones do not matter to it.

    Cost: about a millisecond. Use it for thousands of cheap trials, such as with shared weights.

    Source: Tan et al., "MnasNet: Platform-Aware Neural Architecture Search for Mobile", CVPR 2019,
    equation 2; Williams, "Simple Statistical Gradient-Following Algorithms", Machine Learning 8, 1992;
    truncated weights of Ionides, "Truncated Importance Sampling", J. Comp. Graph. Stat. 17(2), 2008.
    Independent genes in place of MnasNet's recurrent controller, as Bender et al., "Can Weight Sharing
    Outperform Random Architecture Search?", CVPR 2020.
    """

    def __init__(self, context: StrategyContext) -> None:
        """Begin with uniform policies."""
        super().__init__(context)
        self._forget()

    def _forget(self) -> None:
        self._logits = [np.zeros((_TARGETS, size)) for size in self.codec.sizes]
        self._baselines = np.zeros(_TARGETS)
        self._scales = np.full(_TARGETS, 0.1)
        self._targets: DoubleArray | None = None
        self._replayed = 0

    def propose(self, number: int, rng: np.random.Generator) -> Genes:
        """Draw from the policy whose turn it is."""
        self._catch_up()
        probabilities = [np.exp(_log_softmax(logits[number % _TARGETS])) for logits in self._logits]
        return tuple(int(rng.choice(len(each), p=each / each.sum())) for each in probabilities)

    def _catch_up(self) -> None:
        """Replay what was told since the last proposal."""
        evaluated, trained = self.observations.evaluated, self.observations.trained
        if self._replayed > len(evaluated):
            self._forget()
        if self._targets is None:
            if len(trained) < _WARM_UP:
                return
            costs = np.array([each.cost for each in trained[:_WARM_UP]])
            shares = np.arange(1, _TARGETS) / _TARGETS
            self._targets = np.append(np.quantile(costs, shares), np.inf)
        for each in evaluated[self._replayed :]:
            self._learn(each, self._rewards(each))
        self._replayed = len(evaluated)

    def _rewards(self, evaluated: Observation) -> DoubleArray:
        """Return the reward of a network under every policy, [targets]."""
        if evaluated.error is None or evaluated.cost is None or self._targets is None:
            return np.zeros(_TARGETS)
        within = np.minimum(1.0, self._targets / max(evaluated.cost, 1e-12))
        return np.asarray(max(0.0, 1.0 - evaluated.error) * within)

    def _learn(self, evaluated: Observation, rewards: DoubleArray) -> None:
        logs = [_log_softmax(logits) for logits in self._logits]
        chosen = np.sum([log[:, gene] for log, gene in zip(logs, evaluated.genes, strict=True)], axis=0)
        ratios = np.exp(np.minimum(chosen - chosen[evaluated.number % _TARGETS], np.log(_MAX_RATIO)))
        advantages = rewards - self._baselines
        self._scales = _FORGETTING * self._scales + (1 - _FORGETTING) * np.abs(advantages)
        self._baselines = self._baselines + (1 - _FORGETTING) * ratios * advantages
        pull = np.clip(advantages / np.maximum(self._scales, 1e-3), -2.0, 2.0)
        for position, (log, gene) in enumerate(zip(logs, evaluated.genes, strict=True)):
            probabilities = np.exp(log)
            gradient = -probabilities
            gradient[:, gene] += 1.0
            entropy = -probabilities * (log - (probabilities * log).sum(axis=1, keepdims=True))
            self._logits[position] += _STEP * ((ratios * pull)[:, None] * gradient + _ENTROPY * entropy)


def _log_softmax(logits: DoubleArray) -> DoubleArray:
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True)))


def reinforcement_sampler(context: StrategyContext) -> BaseSampler:
    """Policy gradients with latency targets; see `ReinforcementSampler`."""
    return ReinforcementSampler(context)
