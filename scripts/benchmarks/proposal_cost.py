"""What a proposal costs a strategy, by the number of told trials, on `range-unet` without training anything.

Trials are uniform draws whose error and latency are made up of their genes; latencies are known beforehand,
as from a table, and cost nothing here. Stated is processor time of asking, the median and the largest of
`--proposals` in a row, each told before the next; the first one, in which a strategy reads the whole study,
stands by itself.
"""

from __future__ import annotations

import argparse
import statistics
import time
import warnings

import numpy as np
import optuna
from optuna.trial import create_trial

from hwnas.architecture import Architecture
from hwnas.io_spec import NetworkContract, dense_logits
from hwnas.search.strategies import (
    LatencyPrediction,
    Limits,
    StrategyContext,
    distributions_of,
    make_sampler,
)
from hwnas.search_spaces.base import make_search_space, sample_choices

CONTRACT = NetworkContract(
    in_channels=5, height=64, widths=(512, 1024), outputs=dense_logits(20), cyclic_width=True
)


def measure(strategy: str, reported: int, proposals: int, seed: int) -> list[float]:
    """Return the seconds of proposals after `told` trials."""
    space = make_search_space("range-unet", CONTRACT)
    rng = np.random.default_rng(seed)
    weights = rng.normal(size=len(space.encode(space.decode(sample_choices(space, rng)))))

    def values_of(architecture: Architecture) -> tuple[float, float]:
        total = float(space.encode(architecture) @ weights) / 4
        return 1 / (1 + np.exp(total)), float(np.exp(0.7 * total))

    known: dict[str, LatencyPrediction] = {}
    making_up_s = 0.0

    def predict(architecture: Architecture) -> LatencyPrediction:
        nonlocal making_up_s
        found = known.get(architecture.id)
        if found is None:
            began = time.process_time()
            latency_ms = values_of(architecture)[1]
            found = known[architecture.id] = LatencyPrediction(
                latency_ms, (0.9 * latency_ms, 1.1 * latency_ms)
            )
            making_up_s += time.process_time() - began
        return found

    context = StrategyContext(space, predict, Limits(None, reported), seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        study = optuna.create_study(directions=["minimize"] * 2, sampler=make_sampler(strategy, context))
    genes = dict(distributions_of(space))
    for _ in range(reported):
        choices = sample_choices(space, rng)
        values = values_of(space.decode(choices))
        study.add_trial(create_trial(params=choices, distributions=dict(genes), values=list(values)))
    seconds = []
    for _ in range(1 + proposals):
        began, making_up_s = time.process_time(), 0.0
        trial = study.ask(dict(genes))
        seconds.append(time.process_time() - began - making_up_s)
        study.tell(trial, list(values_of(space.decode(trial.params))))
    return seconds


def main() -> None:
    """Measure what is asked for, and print a table in Markdown."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--strategies", type=lambda text: text.split(","), default=["surrogate"])
    parser.add_argument(
        "--trials", type=lambda text: [int(each) for each in text.split(",")], default=[100, 300, 1000, 10000]
    )
    parser.add_argument("--proposals", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    print(
        "| strategy | told | first, s | median of the next, s | largest, s |\n| --- | --- | --- | --- | --- |"
    )
    for strategy in arguments.strategies:
        for reported in arguments.trials:
            first, *rest = measure(strategy, reported, arguments.proposals, arguments.seed)
            figures = f"{first:.2f} | {statistics.median(rest):.3f} | {max(rest):.3f}"
            print(f"| {strategy} | {reported} | {figures} |", flush=True)


if __name__ == "__main__":
    main()
