"""What a table of trained networks says: how far seeds agree, and how well sizes rank by mIoU."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from row_table import Row, read_rows

from hwnas.arrays import DoubleArray
from hwnas.errors import ConfigError
from hwnas.rank_correlation import MIN_NETWORKS, RankCorrelation, kendall_tau, rank_correlation_of

SIMULATIONS = 500
"""Of noise, for the ceiling; each ranks all networks once."""


@dataclass(frozen=True)
class SeedNoise:
    """How far the mIoU of one architecture spreads between seeds.

    Attributes:
        deviation: pooled standard deviation.
        architectures: that were trained with several seeds.
        trainings: of those.
    """

    deviation: float
    architectures: int
    trainings: int


@dataclass(frozen=True)
class Ceiling:
    """Kendall's tau with mIoU that is possible under noise.

    Attributes:
        of_expected: of a perfect estimator of the expected mIoU with one training, simulated.
        of_another_seed: of a training with another seed, simulated.
    """

    of_expected: float
    of_another_seed: float


def seed_noise(rows: Sequence[Row]) -> SeedNoise:
    """Return the standard deviation over seeds, pooled over the architectures that have several.

    Raises:
        ConfigError: if none has.
    """
    several = [values for values in _mious(rows).values() if len(values) > 1]
    if not several:
        raise ConfigError("No architecture of the table has several seeds yet; train more rows.")
    squares = sum(float(np.var(values)) * len(values) for values in several)
    trainings = sum(map(len, several))
    return SeedNoise((squares / (trainings - len(several))) ** 0.5, len(several), trainings)


def ceiling_of(values: DoubleArray, deviation: float, *, seed: int = 0) -> Ceiling:
    """Return how well a perfect estimator could rank, simulated.

    The values are drawn towards their mean until they spread as without the noise, and are taken for expected
    values. Trainings of these add normal noise: one is ranked against the expected values, and against
    another one.

    Args:
        values: mIoU of one training of each network, [n].
        deviation: standard deviation over seeds.
        seed: of the noise.
    """
    rng = np.random.default_rng(seed)
    variance = float(np.var(values))
    share = max(0.0, 1.0 - deviation**2 / variance) if variance else 0.0
    expected = values.mean() + share**0.5 * (values - values.mean())
    taus = []
    for _ in range(SIMULATIONS):
        first, second = expected + deviation * rng.standard_normal((2, len(values)))
        taus.append((kendall_tau(expected, first), kendall_tau(first, second)))
    found = np.mean(taus, axis=0)
    return Ceiling(float(found[0]), float(found[1]))


def tau_between_seeds(rows: Sequence[Row]) -> RankCorrelation | None:
    """Return how alike two trainings rank the architectures that have several; None if too few have."""
    pairs = [values[:2] for values in _mious(rows).values() if len(values) > 1]
    if len(pairs) < MIN_NETWORKS:
        return None
    first, second = np.array(pairs).T
    return rank_correlation_of(first, second)


def _mious(rows: Sequence[Row]) -> dict[str, list[float]]:
    """Return by architecture the mIoU of its trainings, in the order of seeds."""
    found: dict[str, list[float]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: int(row["seed"])):
        if row["miou"] is not None:
            found[row["id"]].append(row["miou"])
    return found


def first_trainings(rows: Sequence[Row]) -> list[Row]:
    """Return one row of each architecture that was trained: that of the smallest seed."""
    trained = sorted((row for row in rows if row["miou"] is not None), key=lambda row: -int(row["seed"]))
    return list({row["id"]: row for row in trained}.values())


def show(path: Path) -> None:
    """Print what the table says, as Markdown.

    Raises:
        ConfigError: if it is damaged or too short.
    """
    rows = read_rows(path)
    ones = first_trainings(rows)
    if len(ones) < MIN_NETWORKS:
        raise ConfigError(f"{path} holds {len(ones)} trained networks; {MIN_NETWORKS} are the least.")
    _show_counts(rows, ones)
    _show_noise(rows, ones)
    _show_taus(ones)
    _show_sizes(rows)


def _show_counts(rows: Sequence[Row], ones: Sequence[Row]) -> None:
    origins = sorted({row["origin"] for row in ones})
    counts = ", ".join(f"{sum(row['origin'] == origin for row in ones)} {origin}" for origin in origins)
    failed = [row for row in rows if row["miou"] is None]
    gmacs, mious = ([row[name] / unit for row in ones] for name, unit in (("macs", 1e9), ("miou", 1)))
    seconds = [np.mean([row[name] for row in rows]) for name in ("cpu_s", "wall_s")]
    print(f"{len(rows)} rows: {len(ones)} architectures ({counts}), {len(failed)} failed trainings.")
    print(f"{min(gmacs):.3f} to {max(gmacs):.2f} GMAC; mIoU {min(mious):.3f} to {max(mious):.3f}, standard")
    print(f"deviation {np.std(mious):.4f}. A training took {seconds[0]:.0f} s of the processor, in")
    print(f"{seconds[1]:.0f} s.")
    for row in failed:
        print(f"- failed: {row['id']}, seed {row['seed']}: {row['reason']}")


def _show_noise(rows: Sequence[Row], ones: Sequence[Row]) -> None:
    try:
        noise = seed_noise(rows)
    except ConfigError as error:
        print(f"\n{error}")
        return
    ceiling = ceiling_of(np.array([row["miou"] for row in ones]), noise.deviation)
    print(f"\nBetween seeds: standard deviation {noise.deviation:.4f}, pooled over {noise.architectures}")
    print(
        f"architectures with {noise.trainings} trainings. With this noise (simulated), Kendall's tau with one"
    )
    print(f"training is at most {ceiling.of_expected:.2f} for whoever knows the expected mIoU, and")
    print(f"{ceiling.of_another_seed:.2f} for a training with another seed.")
    pairs = tau_between_seeds(rows)
    if pairs is not None:
        print(f"Found between pairs of seeds of {pairs.networks} architectures: {pairs}.")


def _show_taus(ones: Sequence[Row]) -> None:
    truth = np.array([row["miou"] for row in ones])
    said = {"MACs": [row["macs"] for row in ones], "parameters": [row["parameters"] for row in ones]}
    for quarter, name in enumerate(("a quarter", "half", "three quarters")):
        said[f"mIoU after {name} of the steps"] = [row["miou_curve"][quarter] for row in ones]
    print("\n| ranked by | Kendall's tau with mIoU |\n|---|---|")
    for name, values in said.items():
        print(f"| {name} | {rank_correlation_of(np.array(values, np.float64), truth)} |")


def _show_sizes(rows: Sequence[Row]) -> None:
    """Print what is typical and what is best at each size, and the hand-crafted networks."""
    trained = [row for row in rows if row["miou"] is not None]
    mious = {name: float(np.mean(values)) for name, values in _mious(rows).items()}
    print("\n| GMAC | networks | median mIoU | best mIoU |\n|---|---|---|---|")
    networks = list({row["id"]: row for row in trained if row["origin"] != "hand-crafted"}.values())
    edges = np.geomspace(0.02, 3.0, 6)
    for low, high in pairwise(edges):
        found = [mious[row["id"]] for row in networks if low <= row["macs"] / 1e9 < high]
        if found:
            print(f"| {low:.2f} to {high:.2f} | {len(found)} | {np.median(found):.3f} | {max(found):.3f} |")
    crafted = list({row["id"]: row for row in trained if row["origin"] == "hand-crafted"}.values())
    if crafted:
        print("\n| hand-crafted | width | GMAC | mIoU, mean of its seeds |\n|---|---|---|---|")
    for row in sorted(crafted, key=lambda row: (row["genes"]["network"], row["macs"])):
        genes = row["genes"]
        size = f"{genes['width_multiplier']:g} | {row['macs'] / 1e9:.2f}"
        print(f"| {genes['network']} | {size} | {mious[row['id']]:.3f} |")
