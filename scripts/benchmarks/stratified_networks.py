"""Which networks a table trains and in which order, so that any beginning of it is spread over all sizes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hwnas.architecture import Architecture, Choice
from hwnas.arrays import DoubleArray
from hwnas.kernel_graph import kernels as columns
from hwnas.kernel_graph.kernels import CODES, Rows
from hwnas.models.cost import count_macs
from hwnas.search_spaces.base import SearchSpace, SupportsKernelDecomposition

DRAWS = 512
"""Architectures drawn and counted at once."""
MOST_DRAWS = 400_000
SIZES = ("_width", "_depth", "_kernel")
"""Endings of the genes that make a network larger."""
SCALES = (0.25, 0.375, 0.5, 0.75, 1.0, 1.5, 2.0)
SEEDS = 3
SEEDED_SHARE = 8
"""One sampled network in so many is trained with `SEEDS` seeds."""
BEYOND = 1.2
"""How far hand-crafted networks may lie over the last stratum: each is to be there with two widths."""
_CONVOLUTIONS = ("convolution", "pointwise", "direct-convolution", "vector-convolution")


@dataclass(frozen=True)
class Job:
    """One training: an architecture, how it came into the table, and the number of its seed."""

    architecture: Architecture
    origin: str
    seed: int


def edges_of(least_gmac: float, max_gmac: float, strata: int) -> DoubleArray:
    """Return the borders of strata of equal ratios, GMAC, [strata + 1]."""
    return np.geomspace(least_gmac, max_gmac, strata + 1)


def strata_of(gmacs: DoubleArray, edges: DoubleArray) -> npt.NDArray[np.int64]:
    """Return the stratum of each network, -1 outside of all."""
    found = np.searchsorted(edges, gmacs, side="right") - 1
    return np.where((gmacs >= edges[0]) & (gmacs < edges[-1]), found, -1)


def macs_of_kernels(rows: Rows) -> npt.NDArray[np.int64]:
    """Return the multiply-accumulate operations of each kernel of a plain decomposition."""
    wide = rows.astype(np.int64)
    taps = wide[:, columns.KERNEL_H] * wide[:, columns.KERNEL_W]
    pixels = wide[:, columns.HEIGHT] * wide[:, columns.WIDTH]
    strides = np.maximum(1, wide[:, columns.STRIDE_H] * wide[:, columns.STRIDE_W])
    kind, both = wide[:, columns.KIND], wide[:, columns.IN] * wide[:, columns.OUT]
    dense = np.isin(kind, [CODES[name] for name in _CONVOLUTIONS])
    macs = np.where(dense, both * taps * pixels, 0)
    macs += np.where(kind == CODES["depthwise"], wide[:, columns.OUT] * taps * pixels, 0)
    return macs + np.where(kind == CODES["transposed-convolution"], both * taps * pixels // strides, 0)


def gmacs_of(space: SearchSpace, architectures: Sequence[Architecture]) -> DoubleArray:
    """Return the GMAC of networks of a space that tells its kernels, without building them."""
    if not isinstance(space, SupportsKernelDecomposition):
        raise TypeError(f"The space {space.name!r} does not tell its kernels.")
    rows, owners = space.kernels(architectures, 1)
    return np.bincount(owners, macs_of_kernels(rows), len(architectures)) / 1e9


def draw(space: SearchSpace, rng: np.random.Generator) -> dict[str, Choice]:
    """Return one value for every gene, some draws from small values alone.

    A share is drawn first; genes of size take one of that share of their values, the smallest ones. Among
    uniform draws small networks hardly occur.
    """
    share, choices = rng.random(), {}
    for gene, values in space.choices.items():
        is_size = gene.endswith(SIZES) and gene != "input_width"
        count = math.ceil(share * len(values)) if is_size else len(values)
        choices[gene] = values[int(rng.integers(max(1, count)))]
    return choices


def sample_strata(
    space: SearchSpace, edges: DoubleArray, rounds: int, rng: np.random.Generator
) -> list[list[Architecture]]:
    """Return for each stratum `rounds` different networks, in the order drawn; more rounds only add to them.

    Raises:
        ValueError: if a stratum stays short of networks.
    """
    strata: list[list[Architecture]] = [[] for _ in edges[1:]]
    seen: set[str] = set()
    for _ in range(MOST_DRAWS // DRAWS):
        drawn = [space.decode(draw(space, rng)) for _ in range(DRAWS)]
        for architecture, stratum in zip(drawn, strata_of(gmacs_of(space, drawn), edges), strict=True):
            if stratum >= 0 and architecture.id not in seen and len(strata[stratum]) < rounds:
                seen.add(architecture.id)
                strata[stratum].append(architecture)
        if all(len(stratum) == rounds for stratum in strata):
            return strata
    short = {f"{edges[i]:.3g} GMAC": len(found) for i, found in enumerate(strata) if len(found) < rounds}
    raise ValueError(f"Expected {rounds} networks in every stratum, but found {short} in {MOST_DRAWS} draws.")


def middle_networks(space: SearchSpace, max_gmac: float) -> list[Architecture]:
    """Return the network of all middle values, with all widths scaled to the nearest that there are."""
    middle: dict[str, Any] = {gene: values[(len(values) - 1) // 2] for gene, values in space.choices.items()}
    widths = [gene for gene in middle if gene.endswith("_width") and gene != "input_width"]
    scaled = []
    for scale in SCALES:
        near = {gene: _nearest(space.choices[gene], scale * middle[gene]) for gene in widths}
        scaled.append(space.decode(middle | near))
    found = dict.fromkeys(scaled)
    return [network for network in found if gmacs_of(space, [network])[0] <= max_gmac]


def _nearest(values: Sequence[Choice], wanted: float) -> Choice:
    return values[int(np.argmin([abs(float(value) - wanted) for value in values]))]


def hand_crafted_networks(space: SearchSpace, max_gmac: float) -> list[Architecture]:
    """Return every hand-crafted network at every width that is small enough."""
    found = []
    for network in space.choices["network"]:
        for multiplier in space.choices["width_multiplier"]:
            width = space.choices["input_width"][0]
            choices = {"network": network, "width_multiplier": multiplier, "input_width": width}
            architecture = space.decode(choices)
            macs = count_macs(space.build(architecture), architecture.input_shape)
            if macs > max_gmac * 1e9:  # wider ones are larger still
                break
            found.append(architecture)
    return found


def ordered_jobs(
    strata: Sequence[Sequence[Architecture]], others: Sequence[tuple[Architecture, str]], seed: int
) -> Iterator[Job]:
    """Yield all trainings in rounds: one network of every stratum, some of the others, more seeds of some.

    Args:
        strata: networks of each, equally many.
        others: further networks with their origins; they come in the first quarter of the rounds.
        seed: of the order within rounds.
    """
    rounds = len(strata[0])
    step = max(1, rounds // 4)
    for number in range(rounds):
        rng = np.random.default_rng([seed, number])
        jobs = []
        for index, stratum in enumerate(strata):
            seeds = SEEDS if (index + 3 * number) % SEEDED_SHARE == 0 else 1
            jobs += [Job(stratum[number], "sampled", each) for each in range(seeds)]
        for architecture, origin in others[number::step] if number < step else ():
            seeds = SEEDS if origin == "hand-crafted" else 1
            jobs += [Job(architecture, origin, each) for each in range(seeds)]
        for place in rng.permutation(len(jobs)):
            yield jobs[int(place)]
