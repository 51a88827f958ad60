"""Scores of networks with fresh weights: no training, some forward or backward passes; more is better."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from hwnas.tasks.base import LossFunction

_ACTIVATIONS = (nn.ReLU, nn.Hardswish)
_EPSILON = 1e-5


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
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.abs_()
    output = network(torch.ones((1, *input_shape), dtype=torch.float64)).sum()
    return sum(float((weight * slope).abs().sum()) for weight, slope in _slopes(output, network))


def snip(module: nn.Module, images: Tensor, targets: Tensor, loss: LossFunction) -> float:
    """Return the sum of |weight * dL/dweight| over the weights of convolutions and linear layers.

    Source: Lee et al., "SNIP: Single-shot network pruning based on connection sensitivity", ICLR 2019; as a
    score: Abdelfattah et al., ICLR 2021.

    Args:
        module: takes [N, C, H, W]; is not changed.
        images: [N, C, H, W].
        targets: [N, H, W], as the loss takes them.
        loss: of logits and targets.
    """
    network = copy.deepcopy(module).train()
    return sum(
        float((weight * slope).abs().sum())
        for weight, slope in _slopes(loss(network(images), targets), network)
        if weight.ndim > 1
    )


def grad_norm(module: nn.Module, images: Tensor, targets: Tensor, loss: LossFunction) -> float:
    """Return the sum over layers of the Euclidean norm of dL/dweight, of convolutions and linear layers.

    Source: Abdelfattah et al., "Zero-Cost Proxies for Lightweight NAS", ICLR 2021, section 3.2.

    Args: as `snip`.
    """
    network = copy.deepcopy(module).train()
    return sum(
        float(slope.norm())
        for weight, slope in _slopes(loss(network(images), targets), network)
        if weight.ndim > 1
    )


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


def jacob_cov(module: nn.Module, images: Tensor) -> float:
    """Return -sum(log(v + k) + 1 / (v + k)), v the eigenvalues of the correlation of the images' Jacobians.

    An image's Jacobian is the gradient of its summed output after its own values, a row of C * H * W; k is
    1e-5. Where all images have the same slopes, the correlation has one eigenvalue and the score is very low.

    Source: Mellor et al., "Neural Architecture Search without Training", arXiv:2006.04647 version 1; named
    `jacob_cov` in Abdelfattah et al., ICLR 2021.

    Args:
        module: takes [N, C, H, W]; is not changed.
        images: [N, C, H, W], at least two.
    """
    network = copy.deepcopy(module).train()
    inputs = images.clone().requires_grad_()
    (slopes,) = torch.autograd.grad(network(inputs).sum(), inputs)
    rows = slopes.flatten(1).double()
    rows = rows - rows.mean(dim=1, keepdim=True)
    rows = rows / rows.norm(dim=1, keepdim=True).clamp_min(torch.finfo(torch.float64).tiny)
    eigenvalues = torch.linalg.eigvalsh(rows @ rows.T).clamp_min(0.0) + _EPSILON
    return float(-(eigenvalues.log() + 1.0 / eigenvalues).sum())


def _slopes(output: Tensor, network: nn.Module) -> list[tuple[Tensor, Tensor]]:
    """Return each trained value that the output depends on with its gradient."""
    parameters = list(network.parameters())
    gradients = torch.autograd.grad(output, parameters, allow_unused=True)
    pairs = zip(parameters, gradients, strict=True)
    return [(weight.detach(), slope) for weight, slope in pairs if slope is not None]
