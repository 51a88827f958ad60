"""The search-space contract that every strategy, estimator and meter relies on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
from torch import nn

from hwnas.architecture import Architecture, Choice
from hwnas.errors import ArchitectureError, ConfigError, did_you_mean
from hwnas.io_spec import NetworkContract
from hwnas.plugins import load_plugin


@dataclass(frozen=True)
class BlockSignature:
    """One part of a network whose latency can be known on its own.

    Two blocks with equal signatures are the same computation.

    Attributes:
        kind: the block type, such as `inverted-bottleneck`.
        input_shapes: shapes of its inputs, each (C, H, W).
        output_shape: shape of its output, (C, H, W).
        settings: everything else that shapes the computation, sorted by name.
    """

    kind: str
    input_shapes: tuple[tuple[int, int, int], ...]
    output_shape: tuple[int, int, int]
    settings: tuple[tuple[str, Choice], ...] = ()


@runtime_checkable
class SearchSpace(Protocol):
    """A set of networks, each described by one value for every gene.

    Every combination of choices is valid: `decode` canonicalises inactive genes away, it
    never rejects. Attributes and methods are deterministic and the same in every process.
    """

    @property
    def name(self) -> str:
        """The name under which the space is registered."""
        ...

    @property
    def choices(self) -> Mapping[str, tuple[Choice, ...]]:
        """All values of every gene, in a fixed order; each gene has at least one."""
        ...

    def decode(self, choices: Mapping[str, Choice]) -> Architecture:
        """Return the architecture that one value for every gene describes.

        Raises:
            ArchitectureError: if a gene is missing or unknown, or a value is not among its choices.
        """
        ...

    def encode(self, architecture: Architecture) -> npt.NDArray[np.float32]:
        """Return a vector of fixed length; different architectures get different vectors."""
        ...

    def build(self, architecture: Architecture) -> nn.Module:
        """Return the network: an image [N, C, H, W] float32 in, the outputs of the architecture out.

        One output is returned as a tensor; several as a tuple in the order of `Architecture.outputs`, or as a
        mapping by their names in that order.
        """
        ...

    def blocks(self, architecture: Architecture) -> list[BlockSignature]:
        """Return the blocks that the network consists of, in order of execution."""
        ...


@runtime_checkable
class SupportsEncodingParts(Protocol):
    """A space whose encodings consist of parts that tell more or less of a network's error.

    Models learn for every part how much it matters. A space need not say so: its encoding is one part then.
    """

    @property
    def encoding_parts(self) -> tuple[int, ...]:
        """Lengths of the consecutive parts of what `encode` returns."""
        ...


SearchSpaceFactory = Callable[[NetworkContract, Mapping[str, Sequence[Choice]]], SearchSpace]
"""What plug-ins register in `hwnas.search_spaces`: contract and restricted choices to space."""


def make_search_space(
    name: str, contract: NetworkContract, restrictions: Mapping[str, Sequence[Choice]] | None = None
) -> SearchSpace:
    """Return the registered space `name` for networks that meet `contract`.

    Args:
        name: registered name.
        contract: input and output of every network.
        restrictions: genes that may take only some of their values.

    Raises:
        PluginError: if the name is unknown.
        ConfigError: if a restriction names an unknown gene or value.
    """
    factory: SearchSpaceFactory = load_plugin("hwnas.search_spaces", name)
    return factory(contract, restrictions or {})


def restrict_choices(
    choices: Mapping[str, tuple[Choice, ...]], restrictions: Mapping[str, Sequence[Choice]]
) -> dict[str, tuple[Choice, ...]]:
    """Return `choices` with the restricted genes reduced to the stated values, in their old order.

    Raises:
        ConfigError: if a restriction names an unknown gene, an unknown value, or leaves no value.
    """
    result = dict(choices)
    for gene, wanted in restrictions.items():
        if gene not in choices:
            raise ConfigError(
                f"Unknown gene {gene!r} in space.choices of the run file; the space has {sorted(choices)}."
                f"{did_you_mean(gene, choices)}"
            )
        unknown = [value for value in wanted if not _is_among(value, choices[gene])]
        if unknown or not wanted:
            raise ConfigError(
                f"Gene {gene!r} takes values of {list(choices[gene])}, but got {list(wanted)}. Correct "
                f"space.choices.{gene} in the run file, or what the task allows."
            )
        result[gene] = tuple(value for value in choices[gene] if _is_among(value, wanted))
    return result


def check_genes(choices: Mapping[str, Choice], allowed: Mapping[str, tuple[Choice, ...]]) -> None:
    """Refuse anything but exactly one allowed value for every gene.

    Raises:
        ArchitectureError: if a gene is missing or unknown, or a value is not among its choices.
    """
    missing, unknown = sorted(set(allowed) - set(choices)), sorted(set(choices) - set(allowed))
    if missing or unknown:
        raise ArchitectureError(
            f"Expected one value for each of {len(allowed)} genes; missing are {missing}, "
            f"unknown are {unknown}."
        )
    for gene, values in allowed.items():
        if not _is_among(choices[gene], values):
            raise ArchitectureError(f"Gene {gene!r} takes one of {list(values)}, but got {choices[gene]!r}.")


def _is_among(value: Choice, values: Sequence[Choice]) -> bool:
    # `True == 1` in Python, but they are different values of a gene.
    return any(value == one and type(value) is type(one) for one in values)


def sample_choices(space: SearchSpace, rng: np.random.Generator) -> dict[str, Any]:
    """Return one value for every gene, each drawn uniformly."""
    return {gene: values[int(rng.integers(len(values)))] for gene, values in space.choices.items()}


def encode_many(space: SearchSpace, architectures: Sequence[Architecture]) -> npt.NDArray[np.float32]:
    """Return the encodings of many architectures, [n, d], by the space's own `encode_many` if it has one."""
    at_once: Callable[[Sequence[Architecture]], npt.NDArray[np.float32]] | None
    at_once = getattr(space, "encode_many", None)
    if at_once is not None:
        return np.asarray(at_once(architectures))
    return np.stack([space.encode(architecture) for architecture in architectures])
