"""What the search spaces of this package share: genes with fixed values, of which decoding drops some."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from hwnas.architecture import Architecture, Choice
from hwnas.errors import ArchitectureError, ConfigError
from hwnas.io_spec import NetworkContract
from hwnas.search_spaces.base import check_genes, restrict_choices


class GeneSpace(ABC):
    """A `SearchSpace` but for `build` and `blocks`: choices, decoding, refusal of foreign architectures.

    A stride that an image is too small for becomes the next smaller one, whose name is then not among the
    values of its gene.
    """

    def __init__(
        self,
        name: str,
        contract: NetworkContract,
        full: Mapping[str, tuple[Choice, ...]],
        restrictions: Mapping[str, Sequence[Choice]],
    ) -> None:
        """Fix the contract and restrict some of the genes `full`.

        Raises:
            ConfigError: if a restriction names an unknown gene or value.
        """
        self._name, self._contract, self._full = name, contract, full
        self._choices = MappingProxyType(restrict_choices(full, restrictions))

    @property
    def name(self) -> str:
        """The name under which the space is registered."""
        return self._name

    @property
    def choices(self) -> Mapping[str, tuple[Choice, ...]]:
        """All values of every gene, restrictions applied."""
        return self._choices

    def decode(self, choices: Mapping[str, Choice]) -> Architecture:
        """Return the architecture that one value for every gene describes, without genes of no influence.

        Raises:
            ArchitectureError: if a gene is missing or unknown, or a value is not among its choices.
        """
        check_genes(choices, self._choices)
        return self._architecture(choices)

    @abstractmethod
    def _architecture(self, choices: Mapping[str, Choice]) -> Architecture:
        """Return the canonical architecture of choices that are known to be valid."""

    def _indicators(self, architecture: Architecture, genes: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return one indicator for every value of every one of `genes`; those of inactive genes are 0."""
        return np.array(
            [architecture.genes.get(gene) == value for gene in genes for value in self._full[gene]],
            np.float32,
        )

    def _indicators_of_many(
        self, architectures: Sequence[Architecture], genes: Sequence[str]
    ) -> npt.NDArray[np.float32]:
        """Return what `_indicators` says of each, [n, d]."""
        columns = []
        owned = [architecture.genes for architecture in architectures]
        for gene in genes:
            values = self._full[gene]
            positions = {value: index for index, value in enumerate(values)}
            found = (positions.get(own.get(gene), -1) for own in owned)  # type: ignore[arg-type]
            codes = np.fromiter(found, np.int64, len(owned))
            columns.append(codes[:, None] == np.arange(len(values)))
        return np.concatenate(columns, axis=1).astype(np.float32)

    def _check(self, architecture: Architecture) -> None:
        """Refuse what `decode` of the unrestricted space cannot have made.

        Raises:
            ArchitectureError: if it is of another space, or no choices lead to it.
        """
        unknown = sorted(set(architecture.genes) - set(self._full))
        if architecture.space != self._name or unknown:
            raise ArchitectureError(
                f"Expected an architecture of {self._name!r}, but got one of {architecture.space!r} "
                f"with the unknown genes {unknown}."
            )
        choices = {}
        for gene, values in self._full.items():
            value = architecture.genes.get(gene, values[0])
            # A stride made smaller for want of pixels comes from the largest one.
            is_narrowed = gene.endswith("_stride") and value not in values
            choices[gene] = "2x2" if is_narrowed else value
        check_genes(choices, self._full)
        if self._architecture(choices) != architecture:
            raise ArchitectureError(
                f"Architecture {architecture.id} does not fit this space: its genes or shapes "
                f"{architecture.input_shape} -> {architecture.outputs} are not those of {self._contract}."
            )


def refuse_other_outputs(name: str, contract: NetworkContract) -> None:
    """Refuse contracts that ask for anything but one map as large as the input.

    Raises:
        ConfigError: naming the space and what is asked for.
    """
    if [output.stride for output in contract.outputs] != [1]:
        wanted = [(output.name, output.stride) for output in contract.outputs]
        raise ConfigError(
            f"Networks of the space {name!r} return one map as large as the input, but the task asks for "
            f"{wanted} (name, stride). Name a space that makes such outputs, such as `encoder`."
        )
