"""One set of weights for all networks of a space: each network is made of slices of the same tensors.

A network keeps its own code; only its parameters are cut out of larger ones, the leading channels and the
middle of the kernels. Blocks of different types at the same place have weights of their own.

Source: Yu et al., "Slimmable Neural Networks", ICLR 2019 (leading channels); Cai et al., "Once-for-All", ICLR
2020 (middles of kernels, first blocks of a stage for smaller depths).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from hwnas.architecture import Architecture, Choice
from hwnas.errors import TrainingError
from hwnas.search_spaces.base import SearchSpace, sample_choices
from hwnas.tasks.trees import Tree, arguments

_SAMPLES = 300
"""Networks that the names and largest shapes of all weights are gathered from."""
_STAGE = re.compile(r"stages\.(\d+)\.")
_JOINED = 3
"""Images of equal width, one behind the other, that `dilated-context` fuses."""


class SharedWeights(nn.Module):
    """The tensors that the networks of a space are cut from."""

    def __init__(self, space: SearchSpace, *, seed: int) -> None:
        """Make tensors as large as the largest network needs, with fresh values.

        Args:
            space: of the networks; genes `decoder` and `stageN_block`, where there are any, name types of
                blocks.
            seed: of the values, and of the networks that shapes are gathered from.
        """
        super().__init__()
        self._space = space
        rng = np.random.default_rng(seed)
        shapes: dict[str, tuple[int, ...]] = {}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            for number in range(_SAMPLES):
                drawn = sample_choices(space, rng)
                # Half of them as large as they can be, so that no weight stays smaller than it may get.
                choices = drawn if number % 2 else {**drawn, **extreme(space, max)}
                self._gather(space.decode(choices), shapes)
            self.tensors = nn.ParameterDict(
                {key: nn.Parameter(_fresh(key, shape)) for key, shape in sorted(shapes.items())}
            )

    def slices(self, architecture: Architecture, module: nn.Module) -> dict[str, Tensor]:
        """Return the parameters of a network of the space, cut out of the shared ones; gradients flow back.

        Raises:
            TrainingError: if it has weights that the shared ones do not cover.
        """
        found = {}
        for name, parameter in module.named_parameters():
            key = _key(name, architecture, module)
            if key not in self.tensors:
                raise TrainingError(f"{architecture.id} has a weight {name!r} that no shared one covers.")
            found[name] = cut(self.tensors[key], parameter.shape, name)
        return found

    def outputs(self, architecture: Architecture, inputs: Tree) -> Tree:
        """Return what a network says of a batch of inputs, in training mode."""
        module = self._space.build(architecture).train()
        return functional_call(module, self.slices(architecture, module), arguments(inputs))

    def inherit(self, architecture: Architecture, batches: Sequence[Tree]) -> nn.Module:
        """Return a network with its slices as weights and the statistics of `batches` in its batch norms.

        The running statistics of a network are its own: those of others say nothing about it.

        Source: Yu and Huang, "Universally Slimmable Networks", ICCV 2019, section 3.3.

        Args:
            architecture: of the space.
            batches: of inputs, at least one.
        """
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            module = self._space.build(architecture)
            module.load_state_dict(
                {name: tensor.detach().clone() for name, tensor in self.slices(architecture, module).items()},
                strict=False,
            )
            module.eval()
            for layer in module.modules():
                if isinstance(layer, nn.BatchNorm2d):
                    layer.reset_running_stats()
                    layer.momentum = None  # a plain mean over the batches
                    layer.train()
            for inputs in batches:
                module(*arguments(inputs))
        return module.eval()

    def _gather(self, architecture: Architecture, shapes: dict[str, tuple[int, ...]]) -> None:
        module = self._space.build(architecture)
        for name, parameter in module.named_parameters():
            key = _key(name, architecture, module)
            known = shapes.get(key, tuple(parameter.shape))
            shapes[key] = tuple(max(sizes) for sizes in zip(known, parameter.shape, strict=True))


def shared_name(name: str, genes: Mapping[str, Choice]) -> str:
    """Return the name of the shared tensor that a parameter is cut from: types of blocks are part of it.

    Spaces with blocks of one type have no gene for it.
    """
    stage = _STAGE.match(name)
    if stage is not None:
        kind = genes.get(f"stage{int(stage[1]) + 1}_block", "block")
        return f"stages.{stage[1]}.{kind}.{name[stage.end() :]}"
    if name.startswith("decoder.") and "decoder" in genes:
        return f"decoder.{genes['decoder']}.{name.removeprefix('decoder.')}"
    return name


def cut(tensor: Tensor, shape: Sequence[int], name: str = "") -> Tensor:
    """Return the leading channels and the middle of the kernel of a tensor.

    Args:
        tensor: [out, in, kernel height, kernel width], or [channels].
        shape: that is wanted, no axis longer.
        name: of the parameter; some have several images of equal width as their input.

    Raises:
        TrainingError: if the tensor is too small.
    """
    if len(shape) != tensor.ndim or any(want > have for want, have in zip(shape, tensor.shape, strict=True)):
        raise TrainingError(
            f"The shared weight for {name!r} has the shape {list(tensor.shape)}, but {list(shape)} is wanted."
        )
    for axis in range(2, tensor.ndim):
        tensor = tensor.narrow(axis, (tensor.shape[axis] - shape[axis]) // 2, shape[axis])
    tensor = tensor[: shape[0]]
    if tensor.ndim == 1:
        return tensor
    images = _JOINED if _STAGE.match(name) and name.endswith(".fuse.0.0.weight") else 1
    parts = tensor.chunk(images, dim=1)
    return (
        torch.cat([part[:, : shape[1] // images] for part in parts], dim=1)
        if images > 1
        else parts[0][:, : shape[1]]
    )


def extreme(space: SearchSpace, choose: Any) -> dict[str, Choice]:
    """Return the largest (`max`) or smallest (`min`) value of every gene whose values are numbers."""
    return {
        gene: choose(values)
        for gene, values in space.choices.items()
        if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    }


def _fresh(key: str, shape: tuple[int, ...]) -> Tensor:
    """Return initial values, as `UNet` has them."""
    tensor = torch.empty(shape)
    if tensor.ndim > 1:
        if key.startswith("head/"):
            return nn.init.normal_(tensor, std=0.01)
        return nn.init.kaiming_normal_(tensor, mode="fan_out", nonlinearity="relu")
    return tensor.fill_(1.0 if key.endswith("/weight") else 0.0)


def _key(name: str, architecture: Architecture, module: nn.Module) -> str:
    """Return the key of the shared tensor of a parameter; modules reserve dots for nesting.

    Layers without weights, such as padding, shift the numbers of those behind them: a layer is named by its
    type, and by how many of that type stand before it.
    """
    path, _, parameter = name.rpartition(".")
    parent, _, place = path.rpartition(".")
    if place.isdigit():
        siblings = list(module.get_submodule(parent).children())
        kind = type(siblings[int(place)])
        place = f"{kind.__name__}{sum(type(each) is kind for each in siblings[: int(place)])}"
    named = ".".join(part for part in (parent, place, parameter) if part)
    return shared_name(named, architecture.genes).replace(".", "/")
