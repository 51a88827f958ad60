"""Scores of networks with fresh weights: no training, some forward or backward passes; more is better."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

_ACTIVATIONS = (nn.ReLU, nn.Hardswish)


def synflow(module: nn.Module, input_shape: tuple[int, int, int]) -> float:
    """Return the sum of |weight * dR/dweight|, R the summed output for ones with all weights made positive.

    In double precision and evaluation mode: fresh batch normalisation then passes everything on.

    Source: Tanaka et al., "Pruning neural networks without any data by iteratively conserving synaptic
    flow", NeurIPS 2020; as a score: Abdelfattah et al., "Zero-Cost Proxies for Lightweight NAS", ICLR 2021.

    Args:
        module: takes [N, C, H, W]; is not changed.
        input_shape: of one sample, (C, H, W).
    """
    network = copy.deepcopy(module).double().eval()
    parameters = list(network.parameters())
    with torch.no_grad():
        for parameter in parameters:
            parameter.abs_()
    output = network(torch.ones((1, *input_shape), dtype=torch.float64)).sum()
    gradients = torch.autograd.grad(output, parameters, allow_unused=True)
    pairs = zip(parameters, gradients, strict=True)
    return sum(float((weight.detach() * slope).abs().sum()) for weight, slope in pairs if slope is not None)


def naswot(module: nn.Module, images: Tensor) -> float:
    """Return log |det K|, K_ij = the number of activations that are on, or off, for both image i and j.

    A network whose images all switch different units gets a high score; minus infinity if two images switch
    the same ones.

    Source: Mellor et al., "Neural Architecture Search without Training", ICML 2021.

    Args:
        module: takes [N, C, H, W]; is not changed. Its activations are ReLU or hard swish, on above zero.
        images: [N, C, H, W], at least two.
    """
    kernel = torch.zeros((len(images), len(images)), dtype=torch.float64)

    def count(_layer: nn.Module, inputs: tuple[Any, ...], _output: Tensor) -> None:
        is_on = (inputs[0] > 0).flatten(1).double()
        kernel.add_(is_on @ is_on.T + (1 - is_on) @ (1 - is_on).T)

    network = copy.deepcopy(module).train()  # statistics of these images: fresh running ones say nothing
    for layer in network.modules():
        if isinstance(layer, _ACTIVATIONS):
            layer.register_forward_hook(count)
    with torch.no_grad():
        network(images)
    return float(torch.linalg.slogdet(kernel).logabsdet)
