"""A network between two networks of a space: shared weights, mixed where they differ.

For every gene there is a first and a second option and a share of the first. Where the share is 1 for all
genes, the result is the first network; where it is 0, the second. In between it is differentiable in the
shares.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from hwnas.architecture import Architecture, Choice
from hwnas.search_spaces.base import SearchSpace
from hwnas.tasks.trees import Tree, arguments
from hwnas.training.shared_weights import SharedWeights, cut

_SLICED = re.compile(r"(stem|decoder|stage\d+)_width|stage\d+_kernel")
_GATED = re.compile(r"stage(\d+)_depth")
_MIXED = re.compile(r"stage(\d+)_(block|squeeze_excite)|decoder")
_SHIFTING = {
    "concatenation": re.compile(r"(stem|stage\d+)_width"),
    "pixel-shuffle": re.compile("decoder_width"),
    "transposed-convolution": re.compile("decoder_width"),
}
"""Widths by decoder that move other channels in a concatenation: weights of the narrow network are then not
a part of those of the wide one."""

_REMEMBERED = 2000
_TINY = 1e-12

Shapes = Mapping[str, tuple[int, ...]]
Structure = Mapping[str, tuple[type, Any]]


@dataclass(frozen=True)
class Options:
    """Two options for every gene of a space.

    Attributes:
        first: an option of every gene.
        second: other options of some of them.
    """

    first: Mapping[str, Choice]
    second: Mapping[str, Choice]

    def numbers(self, genes: Iterable[str], choose: Callable[[tuple[int, int]], int]) -> dict[str, Choice]:
        """Return the larger (`max`) or smaller (`min`) option of each of these genes."""
        return {gene: choose(self.pair(gene)) for gene in genes}

    def pair(self, gene: str) -> tuple[int, int]:
        """Return both options of a gene whose values are numbers."""
        return int(self.first[gene]), int(self.second[gene])


@dataclass(frozen=True)
class _Body:
    """One of the two networks whose parts are mixed, as large as both options of its numbers need it."""

    architecture: Architecture
    module: nn.Module
    parameters: dict[str, Tensor]


class RelaxedNetwork:
    """Networks with mixed choices, by the names that genes of `range-unet` have; others are not mixed.

    - Widths and kernels: one convolution whose weights beyond the smaller option count by the share of the
      larger one. A convolution is linear in its weights, so that this mixes its outputs, too; for widths
      these are the soft channel masks of Wan et al., "FBNetV2", CVPR 2020.
    - Depths: a block beyond the smaller option gives its output by the share of the larger one, its input by
      the other.
    - Types of blocks, squeeze-and-excitation, decoders: outputs of both are added by their shares.
    - Strides, the number of stages and what else changes the size of images cannot be mixed. Nor can a pair
      of widths of which one only has a shortcut without weights, or that moves channels in a concatenation.

    Source: two paths at a time as Cai et al., "ProxylessNAS", ICLR 2019, section 3.2.
    """

    def __init__(self, space: SearchSpace, shared: SharedWeights) -> None:
        """Take over the space and trained weights for it."""
        self._space = space
        self._shared = shared
        self._known: dict[str, tuple[Shapes, Structure]] = {}

    def mixable(self, options: Options) -> set[str]:
        """Return the genes among those with a second option that a mixture is possible for."""
        first = self._space.decode(options.first).genes
        mixed = {gene for gene in options.second if _MIXED.fullmatch(gene) and gene in first}
        kinds = [options.first, {**options.first, **{gene: options.second[gene] for gene in mixed}}]
        numbers = set()
        for gene in options.second:
            if _SLICED.fullmatch(gene) or _GATED.fullmatch(gene):
                active = [kind for kind in kinds if gene in self._space.decode(kind).genes]
                if active and all(self._nests(gene, kind, options) for kind in active):
                    numbers.add(gene)
        if not all(self._nest_together(numbers, kind, options) for kind in kinds):
            # Widths that differ one by one may be equal in a network that has the smaller one of both.
            numbers = {gene for gene in numbers if not gene.endswith("_width")}
        return mixed | numbers

    def outputs(self, options: Options, shares: Mapping[str, Tensor], inputs: Tree) -> Tree:
        """Return what the mixture says of a batch of inputs, in training mode.

        Args:
            options: two for each gene in `shares`; for all other genes the first one is taken.
            shares: of the first option, scalars in [0, 1], for genes that `mixable` returned.
            inputs: as the space's networks take them.
        """
        numbers = [gene for gene in shares if not _MIXED.fullmatch(gene)]
        mixed = [gene for gene in shares if _MIXED.fullmatch(gene)]
        wide = {**options.first, **options.numbers(numbers, max)}
        main = self._body(wide, options, shares)
        rival = self._body({**wide, **{gene: options.second[gene] for gene in mixed}}, options, shares)
        handles = []
        for body in (main, rival):
            handles += _gate_blocks(body.module, options, shares)
        for path in sorted({_path(gene) for gene in mixed}):
            genes = [gene for gene in mixed if _path(gene) == path]
            # Genes of one part are chosen together: the first options of all of them, or the second ones.
            first, second = _joint(shares[gene] for gene in genes), _joint(1 - shares[gene] for gene in genes)
            part = rival.module.get_submodule(path)
            own = {
                name.removeprefix(path + "."): tensor
                for name, tensor in rival.parameters.items()
                if name.startswith(path + ".")
            }
            share = (first + _TINY) / (first + second + 2 * _TINY)
            handles.append(main.module.get_submodule(path).register_forward_hook(_mixing(part, own, share)))
        result = functional_call(main.module, main.parameters, arguments(inputs))
        for handle in handles:
            handle.remove()
        return result

    def _body(self, choices: Mapping[str, Choice], options: Options, shares: Mapping[str, Tensor]) -> _Body:
        architecture = self._space.decode(choices)
        module = self._space.build(architecture).train()
        parameters = self._shared.slices(architecture, module)
        for gene, share in shares.items():
            if not _SLICED.fullmatch(gene) or gene not in architecture.genes:
                continue
            smaller = min(options.pair(gene))
            of_larger = share if options.first[gene] != smaller else 1 - share
            shapes, _ = self._described({**choices, gene: smaller})
            for name, tensor in parameters.items():
                if shapes[name] != tensor.shape:
                    inside = _inside(tensor.shape, shapes[name], name)
                    parameters[name] = tensor * torch.where(inside, 1.0, of_larger)
        return _Body(architecture, module, parameters)

    def _nests(self, gene: str, kind: Mapping[str, Choice], options: Options) -> bool:
        """Return whether the network with the smaller option is a part of the one with the larger."""
        shifting = _SHIFTING.get(str(kind.get("decoder")))
        if shifting is not None and shifting.fullmatch(gene):
            return False
        pair = options.pair(gene)
        _, small = self._described({**kind, gene: min(pair)})
        _, large = self._described({**kind, gene: max(pair)})
        if any(large.get(name) != value for name, value in small.items()):
            return False
        return _GATED.fullmatch(gene) is not None or len(small) == len(large)

    def _nest_together(self, genes: set[str], kind: Mapping[str, Choice], options: Options) -> bool:
        _, large = self._described({**kind, **options.numbers(genes, max)})
        ends = ({gene: options.first[gene] for gene in genes}, {gene: options.second[gene] for gene in genes})
        return all(
            large.get(name) == value
            for end in ends
            for name, value in self._described({**kind, **end})[1].items()
        )

    def _described(self, choices: Mapping[str, Choice]) -> tuple[Shapes, Structure]:
        """Return the shapes of a network's parameters, and what its parts are."""
        architecture = self._space.decode(choices)
        if architecture.id not in self._known:
            with torch.device("meta"):
                module = self._space.build(architecture)
            shapes = {name: tuple(parameter.shape) for name, parameter in module.named_parameters()}
            structure = {
                name: (type(part), getattr(part, "is_residual", None))
                for name, part in module.named_modules()
            }
            if len(self._known) >= _REMEMBERED:
                self._known.pop(next(iter(self._known)))
            self._known[architecture.id] = (shapes, structure)
        return self._known[architecture.id]


def _path(gene: str) -> str:
    """Return the module that a mixed gene is about."""
    stage = _MIXED.fullmatch(gene)
    return f"stages.{int(stage[1]) - 1}" if stage is not None and stage[1] else "decoder"


def _joint(shares: Iterable[Tensor]) -> Tensor:
    return torch.stack(list(shares)).prod()


def _inside(shape: tuple[int, ...], smaller: tuple[int, ...], name: str) -> Tensor:
    """Return which elements of a weight the smaller network has, too."""
    places = torch.arange(torch.Size(shape).numel()).reshape(shape)
    inside = torch.zeros(places.numel(), dtype=torch.bool)
    inside[cut(places, smaller, name).reshape(-1)] = True
    return inside.reshape(shape)


def _gate_blocks(module: nn.Module, options: Options, shares: Mapping[str, Tensor]) -> list[Any]:
    handles = []
    for gene, share in shares.items():
        stage = _GATED.fullmatch(gene)
        if stage is None:
            continue
        pair = options.pair(gene)
        of_deeper = share if pair[0] == max(pair) else 1 - share
        for index in range(min(pair), max(pair)):
            block = module.get_submodule(f"stages.{int(stage[1]) - 1}.{index}")
            handles.append(block.register_forward_hook(_gating(of_deeper)))
    return handles


def _gating(share: Tensor) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], Tensor]:
    def gate(_block: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        return share * output + (1 - share) * inputs[0]

    return gate


def _mixing(
    rival: nn.Module, parameters: dict[str, Tensor], share: Tensor
) -> Callable[[nn.Module, tuple[Any, ...], Tensor], Tensor]:
    def mix(_part: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> Tensor:
        other: Tensor = functional_call(rival, parameters, inputs)
        return share * output + (1 - share) * other

    return mix
