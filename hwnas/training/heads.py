"""Which parameters of a network are its head."""

from __future__ import annotations

from dataclasses import replace

import torch

from hwnas.architecture import Architecture
from hwnas.search_spaces.base import SearchSpace, make_search_space
from hwnas.tasks.base import Task


def head_parameters(space: SearchSpace, task: Task, architecture: Architecture) -> frozenset[str]:
    """Return the names of the parameters whose shape follows from the number of outputs.

    They are found by building the network with one output channel more; so nothing need be known of it.
    """
    contract = task.contract
    outputs = tuple(replace(output, channels=output.channels + 1) for output in architecture.outputs)
    wider = make_search_space(
        space.name,
        replace(contract, outputs=outputs),
        {gene: list(values) for gene, values in space.choices.items()},
    ).build(replace(architecture, outputs=outputs))
    shapes = {name: tensor.shape for name, tensor in wider.named_parameters()}
    with torch.random.fork_rng(devices=[]):
        own = space.build(architecture)
    return frozenset(name for name, tensor in own.named_parameters() if shapes[name] != tensor.shape)
