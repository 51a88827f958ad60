"""What a network costs on paper: parameters and multiply-accumulate operations."""

from __future__ import annotations

import copy
from math import prod
from typing import Any

import torch
from torch import Tensor, nn

_Convolution = nn.Conv1d | nn.Conv2d | nn.Conv3d
_TransposedConvolution = nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d


def count_parameters(module: nn.Module) -> int:
    """Return the number of trained values; buffers such as running means are not among them."""
    return sum(parameter.numel() for parameter in module.parameters())


def count_macs(module: nn.Module, *input_shapes: tuple[int, ...]) -> int:
    """Return multiply-accumulate operations of convolutions and linear layers for one input.

    Biases, normalisation and activations are not counted; a transposed convolution is counted at
    the positions of its input. Nothing is computed: only shapes go through a copy of the module.

    Args:
        module: takes one tensor for each shape.
        *input_shapes: of one sample, without the batch dimension.
    """
    total = 0

    def count(layer: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
        nonlocal total
        total += _macs(layer, inputs[0], output)

    network = copy.deepcopy(module).to("meta").eval()
    layers = (_Convolution, _TransposedConvolution, nn.Linear)
    for layer in network.modules():
        if isinstance(layer, layers):
            layer.register_forward_hook(count)
    with torch.no_grad():
        network(*(torch.empty((1, *shape), device="meta") for shape in input_shapes))
    return total


def _macs(layer: nn.Module, image: Tensor, output: Tensor) -> int:
    """Return those of one layer: each weight is used once at every position."""
    weights = layer.weight.numel() if isinstance(layer.weight, Tensor) else 0
    if isinstance(layer, nn.Linear):
        return weights * (output.numel() // layer.out_features)
    positions = image if isinstance(layer, _TransposedConvolution) else output
    return weights * prod(positions.shape[2:]) * positions.shape[0]
