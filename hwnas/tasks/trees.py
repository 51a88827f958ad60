"""Trees of tensors: what samples are made of, and what networks return.

A tree is a tensor, or a tuple, list or mapping of trees. Targets of a detector may be a mapping of tensors,
and a network with two outputs returns two.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

Tree = Any
"""A tensor, or a tuple, list or mapping of trees (a type that no checker of today follows)."""


def leaves(tree: Tree) -> list[Tensor]:
    """Return the tensors of a tree, mappings in their own order.

    Raises:
        TypeError: if it holds anything but tensors, tuples, lists and mappings.
    """
    if isinstance(tree, Tensor):
        return [tree]
    if isinstance(tree, Mapping):
        tree = list(tree.values())
    if isinstance(tree, list | tuple):
        return [leaf for part in tree for leaf in leaves(part)]
    raise TypeError(f"a tree holds tensors, tuples, lists and mappings, but found {type(tree).__name__}")


def mapped(tree: Tree, change: Callable[[Tensor], Tensor]) -> Tree:
    """Return a tree of the same form whose tensors are those that `change` returns.

    Raises:
        TypeError: if it holds anything but tensors, tuples, lists and mappings.
    """
    if isinstance(tree, Tensor):
        return change(tree)
    if isinstance(tree, Mapping):
        return {name: mapped(part, change) for name, part in tree.items()}
    if isinstance(tree, list | tuple):
        return tuple(mapped(part, change) for part in tree)
    raise TypeError(f"a tree holds tensors, tuples, lists and mappings, but found {type(tree).__name__}")


def arguments(inputs: Tree) -> tuple[Tree, ...]:
    """Return inputs as the arguments of a network: one tensor, or several in the order of its `forward`."""
    if isinstance(inputs, Mapping):
        return tuple(inputs.values())
    return tuple(inputs) if isinstance(inputs, list | tuple) else (inputs,)


def run(module: nn.Module, inputs: Tree) -> Tree:
    """Return what a network says of its inputs, see `arguments`."""
    return module(*arguments(inputs))


def named(outputs: Tree, names: Sequence[str]) -> dict[str, Tensor]:
    """Return what a network returned by the names of its outputs.

    Args:
        outputs: a tensor, several in the order of `names`, or a mapping with these names.
        names: of all outputs.

    Raises:
        ValueError: if there are more or fewer, or others.
    """
    if isinstance(outputs, Mapping):
        if list(outputs) != list(names):
            raise ValueError(f"the network returns {list(outputs)}, but its outputs are {list(names)}")
        return dict(outputs)
    parts = [outputs] if isinstance(outputs, Tensor) else list(outputs)
    if len(parts) != len(names):
        raise ValueError(f"the network returns {len(parts)} outputs, but must return {list(names)}")
    return dict(zip(names, parts, strict=True))
