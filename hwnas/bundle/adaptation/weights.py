"""Weights for another task: those of a trained network, with a head for the classes that are asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from hwnas.architecture import Architecture
from hwnas.errors import TrainingError
from hwnas.search_spaces.base import SearchSpace, make_search_space
from hwnas.tasks.base import Task
from hwnas.tasks.trees import Tree, run


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


def transferred(
    weights: Mapping[str, Tensor],
    module: nn.Module,
    head: frozenset[str],
    *,
    trained: Sequence[str],
    wanted: Sequence[str],
) -> None:
    """Copy weights into a network of the same genes that may tell other classes apart.

    The head keeps what it knows of classes that have the same name; other rows stay as they were initialised.

    Args:
        weights: by name, of the trained network.
        module: gets them.
        head: names of its parameters that have a row for each class.
        trained: classes of the trained network, in the order of its outputs.
        wanted: classes of `module`.

    Raises:
        TrainingError: if anything but the head differs.
    """
    state = module.state_dict()
    unlike = [name for name in state if name not in weights]
    unlike += [name for name in weights if name not in state]
    rows = [(new, trained.index(name)) for new, name in enumerate(wanted) if name in trained]
    for name, tensor in state.items():
        if name in unlike:
            continue
        given = weights[name]
        if name in head and (tuple(trained) != tuple(wanted)):
            if (
                given.shape[1:] != tensor.shape[1:]
                or len(tensor) != len(wanted)
                or len(given) != len(trained)
            ):
                unlike.append(name)
                continue
            for new, old in rows:
                tensor[new] = given[old]
        elif given.shape == tensor.shape:
            tensor.copy_(given)
        else:
            unlike.append(name)
    if unlike:
        raise TrainingError(
            f"The weights are of another network: {sorted(set(unlike))[:3]} differ. Adapt a network to tasks "
            "whose inputs have the same channels and whose outputs have a channel for each class."
        )
    module.load_state_dict(state)


def re_estimate_batch_norms(module: nn.Module, batches: Sequence[Tree]) -> int:
    """Replace the running statistics of batch norms by those of some inputs; no labels are needed.

    Each layer gets the mean over the batches (Schneider et al., "Improving robustness against common
    corruptions by covariate shift adaptation", NeurIPS 2020, with no weight on the old statistics).

    Args:
        module: is changed; left in evaluation mode.
        batches: inputs, each with its batch axis.

    Returns:
        How many layers have such statistics; with none, nothing changed.
    """
    layers = [
        layer
        for layer in module.modules()
        if isinstance(layer, nn.modules.batchnorm._BatchNorm) and layer.track_running_stats  # noqa: SLF001
    ]
    module.eval()
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # the plain mean over all batches
        layer.train()
    with torch.no_grad():
        for batch in batches if layers else ():
            run(module, batch)
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
    module.eval()
    return len(layers)
