"""The search-space contract that every strategy, estimator and meter relies on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
from torch import nn

from hwnas.architecture import Architecture, Choice
from hwnas.errors import ArchitectureError, ConfigError, did_you_mean
from hwnas.io_spec import NetworkContract
from hwnas.kernel_graph.images import Index
from hwnas.kernel_graph.kernels import COLUMNS, Rows
from hwnas.plugins import made_by, refuse_other_name, wrong

GROUP = "hwnas.search_spaces"


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


@runtime_checkable
class SupportsBatchEncoding(Protocol):
    """A space that encodes many networks faster than one by one."""

    def encode_many(self, architectures: Sequence[Architecture]) -> npt.NDArray[np.float32]:
        """Return what `encode` says of each network, [n, d]; there may be none."""
        ...


@runtime_checkable
class SupportsKernelDecomposition(Protocol):
    """A space that says which kernels of a backend its networks run as.

    Latencies are then predicted as sums of kernel times, which carry over between networks. Those of a space
    that does not say so are predicted from its blocks.
    """

    def kernels(self, architectures: Sequence[Architecture], block: int) -> tuple[Rows, Index]:
        """Return the kernels of networks, see `hwnas.kernel_graph`.

        Args:
            architectures: of this space; there may be none.
            block: channels that the backend keeps together, 16 or 8; 1 where it keeps images plain.

        Returns:
            The kernels of all networks, [n, len(COLUMNS)] int32, and for each the position of its network in
            `architectures`, [n].
        """
        ...


def checked_kernels(
    space: SupportsKernelDecomposition, architectures: Sequence[Architecture], block: int
) -> tuple[Rows, Index]:
    """Return the kernels that a space tells, unless they would be summed into a wrong latency.

    Args:
        space: asked.
        architectures: of it.
        block: see `SupportsKernelDecomposition.kernels`.

    Raises:
        PluginError: if their shape, type or owners are not those of the protocol.
    """
    rows, owners = (np.asarray(found) for found in space.kernels(architectures, block))
    named = f"search space {getattr(space, 'name', space)!r}"
    if rows.shape != (len(owners), len(COLUMNS)) or not np.issubdtype(rows.dtype, np.integer):
        found = f"returned {rows.dtype} of shape {rows.shape} for {len(owners)} kernels"
        raise wrong(named, "kernels", f"return integers [n, {len(COLUMNS)}] and the network of each", found)
    if len(owners) and not (int(owners.min()) >= 0 and int(owners.max()) < len(architectures)):
        found = f"was asked about {len(architectures)} networks, but names those from {owners.min()}"
        raise wrong(named, "kernels", "name networks by position", f"{found} to {owners.max()}")
    return rows, owners


Fits = Callable[[Architecture], bool]
"""Whether a network may be within the hard limits, as far as can be told without measuring it."""


@dataclass(frozen=True)
class Seeds:
    """Known good architectures that a search begins with.

    Attributes:
        choices: one value for every gene of each, ready for `decode`.
        left_out: names of those of which no network may be within the limits, as users know them.
    """

    choices: tuple[Mapping[str, Choice], ...]
    left_out: tuple[str, ...] = ()


@runtime_checkable
class SupportsSeeds(Protocol):
    """A space that reads known good architectures from a file, in a form of its own."""

    def seeds(self, file: Path, most: int, *, seed: int, fits: Fits) -> Seeds:
        """Return what a search is to begin with.

        Args:
            file: that `search.initial_architectures` of a run names.
            most: architectures to return.
            seed: of what a file leaves open.
            fits: says of a network whether it may be within the hard limits.

        Raises:
            ConfigError: if the file cannot be read, or holds what is outside of this space.
        """
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
        PluginError: if the name is unknown, or what is registered makes no search space.
        ConfigError: if a restriction names an unknown gene or value.
    """
    expected = "make a space of a contract and restrictions"
    made: SearchSpace = made_by(
        GROUP, name, contract, restrictions or {}, expected=expected, interface=SearchSpace
    )
    refuse_other_name(GROUP, name, made.name)
    return made


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
    for one in values:  # noqa: SIM110 - `any` takes twice as long, and strategies check thousands a second
        if one is value or (one == value and type(one) is type(value)):
            return True
    return False


def sample_choices(space: SearchSpace, rng: np.random.Generator) -> dict[str, Any]:
    """Return one value for every gene, each drawn uniformly."""
    return {gene: values[int(rng.integers(len(values)))] for gene, values in space.choices.items()}


def encode_many(space: SearchSpace, architectures: Sequence[Architecture]) -> npt.NDArray[np.float32]:
    """Return the encodings of many architectures, [n, d]."""
    if isinstance(space, SupportsBatchEncoding):
        return np.asarray(space.encode_many(architectures))
    return np.stack([space.encode(architecture) for architecture in architectures])
