"""Tries a search space on two networks before anything is measured or trained."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from hwnas.architecture import Architecture, Choice
from hwnas.io_spec import IoSpec
from hwnas.plugins import Blame, Plugin, find_plugin, wrong
from hwnas.search_spaces.base import (
    GROUP,
    BlockSignature,
    SearchSpace,
    SupportsEncodingParts,
    SupportsKernelDecomposition,
    checked_kernels,
    encode_many,
)

_BLOCK = 16


def try_space(space: SearchSpace, io_spec: Callable[[Architecture], IoSpec] | None = None) -> None:
    """Decode, encode and build two networks of a space, run them once and read their blocks.

    Args:
        space: registered under its name.
        io_spec: inputs and outputs of a network, as the task states them; the networks are not run without.

    Raises:
        PluginError: if the space breaks its contract, naming distribution and method.
    """
    plugin = find_plugin(GROUP, space.name)
    networks = [_decoded(plugin, space, number) for number in (0, 1)]
    _try_encoding(plugin, space, networks)
    for network in networks:
        _try_blocks(plugin, space, network)
        _try_building(plugin, space, network, io_spec)
    if isinstance(space, SupportsKernelDecomposition):
        with Blame(plugin, "kernels", "return the kernels of networks"):
            checked_kernels(space, networks, _BLOCK)


def _decoded(plugin: Plugin, space: SearchSpace, number: int) -> Architecture:
    """Return the network of the first values of all genes, or of the second ones."""
    choices: dict[str, Choice] = {}
    with Blame(plugin, "choices", "map every gene to its values"):
        every: Mapping[str, Sequence[Choice]] = dict(space.choices)
        for gene, values in every.items():
            if not len(values) or not all(isinstance(value, str | int | float | bool) for value in values):
                raise wrong(plugin, "choices", "give every gene plain values", f"gives {gene!r} {values!r}")
            choices[gene] = values[min(number, len(values) - 1)]
    if not choices:
        raise wrong(plugin, "choices", "have at least one gene", "it is empty")
    with Blame(plugin, "decode", "return the architecture of any choices"):
        found: object = space.decode(choices)
        again: object = space.decode(choices)
    if not isinstance(found, Architecture):
        raise wrong(plugin, "decode", "return an Architecture", f"returned {type(found).__name__}")
    if found != again:
        raise wrong(plugin, "decode", "return the same for equal choices", f"returned {found} and {again}")
    if found.space != space.name:
        raise wrong(plugin, "decode", f"name the space {space.name!r}", f"the network is of {found.space!r}")
    return found


def _try_encoding(plugin: Plugin, space: SearchSpace, networks: Sequence[Architecture]) -> None:
    expected = "return a vector of finite numbers, equally long for all networks"
    codes = []
    for network in networks:
        with Blame(plugin, "encode", expected):
            code = np.asarray(space.encode(network))
        if code.ndim != 1 or not np.issubdtype(code.dtype, np.number) or not np.isfinite(code).all():
            raise wrong(plugin, "encode", expected, f"returned {code.dtype} of shape {code.shape}")
        codes.append(code)
    if len(codes[0]) != len(codes[1]):
        raise wrong(plugin, "encode", expected, f"the lengths are {len(codes[0])} and {len(codes[1])}")
    if networks[0] != networks[1] and np.array_equal(codes[0], codes[1]):
        raise wrong(plugin, "encode", "tell networks apart", "two get the same vector")
    with Blame(plugin, "encode_many", "return what `encode` says of each"):
        together = encode_many(space, networks)
    if together.shape != (2, len(codes[0])) or not np.array_equal(together, np.stack(codes)):
        raise wrong(plugin, "encode_many", "return what `encode` says of each", f"returned {together.shape}")
    if isinstance(space, SupportsEncodingParts) and sum(space.encoding_parts) != len(codes[0]):
        found = f"{space.encoding_parts} of {len(codes[0])}"
        raise wrong(plugin, "encoding_parts", "add up to the length of an encoding", f"it is {found}")


def _try_blocks(plugin: Plugin, space: SearchSpace, network: Architecture) -> None:
    expected = "return the blocks of a network as a list of BlockSignature"
    with Blame(plugin, "blocks", expected):
        blocks = list(space.blocks(network))
    others = [type(block).__name__ for block in blocks if not isinstance(block, BlockSignature)]
    if others or not blocks:
        raise wrong(plugin, "blocks", expected, f"returned {others or 'none'}")


def _try_building(
    plugin: Plugin,
    space: SearchSpace,
    network: Architecture,
    io_spec: Callable[[Architecture], IoSpec] | None,
) -> None:
    with Blame(plugin, "build", "return the network of an architecture"), torch.random.fork_rng(devices=[]):
        module: object = space.build(network)
    if not isinstance(module, nn.Module):
        raise wrong(plugin, "build", "return a torch.nn.Module", f"returned {type(module).__name__}")
    if io_spec is None:
        return
    spec = io_spec(network)
    shapes = [tuple(tensor.shape) for tensor in spec.inputs]
    expected = f"build a network from {shapes} to {[tuple(tensor.shape) for tensor in spec.outputs]}"
    with Blame(plugin, "build", expected), torch.random.fork_rng(devices=[]), torch.inference_mode():
        made = module.eval()(*(torch.zeros(shape) for shape in shapes))
    found = [tuple(tensor.shape) if isinstance(tensor, Tensor) else type(tensor) for tensor in _listed(made)]
    if found != [tuple(tensor.shape) for tensor in spec.outputs]:
        raise wrong(plugin, "build", expected, f"that of {network.id} gives {found}")


def _listed(made: object) -> list[object]:
    """Return the outputs of a network in their order."""
    if isinstance(made, Mapping):
        return list(made.values())
    return list(made) if isinstance(made, tuple | list) else [made]
