"""Weights for another task: those of a trained network, with a head for the classes that are asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from hwnas.errors import TrainingError


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
