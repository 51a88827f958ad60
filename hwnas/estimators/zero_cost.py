"""Scores of networks with fresh weights: no training, some forward or backward passes; more is better."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from hwnas.tasks.base import LossFunction
from hwnas.tasks.trees import Tree, leaves, mapped, run

_ACTIVATIONS = (nn.ReLU, nn.Hardswish)
_EPSILON = 1e-5


def synflow(module: nn.Module, input_shapes: Sequence[tuple[int, ...]]) -> float:
    """Return the sum of |weight * dR/dweight|, R the summed output for ones with all weights made positive.

    In double precision and evaluation mode: fresh batch normalisation then passes everything on.

    Source: Tanaka et al., "Pruning neural networks without any data by iteratively conserving synaptic
    flow", NeurIPS 2020; as a score: Abdelfattah et al., "Zero-Cost Proxies for Lightweight NAS", ICLR 2021.

    Args:
        module: is not changed.
        input_shapes: of one sample, one for each input, such as (C, H, W).
    """
    network = copy.deepcopy(module).double().eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.abs_()
    ones = tuple(torch.ones((1, *shape), dtype=torch.float64) for shape in input_shapes)
    output = _sum(run(network, ones))
    return sum(float((weight * slope).abs().sum()) for weight, slope in _slopes(output, network))


def snip(module: nn.Module, inputs: Tree, targets: Tree, loss: LossFunction) -> float:
    """Return the sum of |weight * dL/dweight| over the weights of convolutions and linear layers.

    Source: Lee et al., "SNIP: Single-shot network pruning based on connection sensitivity", ICLR 2019; as a
    score: Abdelfattah et al., ICLR 2021.

    Args:
        module: is not changed.
        inputs: of a batch.
        targets: of the batch, as the loss takes them.
        loss: of outputs and targets.
    """
    network = copy.deepcopy(module).train()
    return sum(
        float((weight * slope).abs().sum())
        for weight, slope in _slopes(loss(run(network, inputs), targets), network)
        if weight.ndim > 1
    )


def grad_norm(module: nn.Module, inputs: Tree, targets: Tree, loss: LossFunction) -> float:
    """Return the sum over layers of the Euclidean norm of dL/dweight, of convolutions and linear layers.

    Source: Abdelfattah et al., "Zero-Cost Proxies for Lightweight NAS", ICLR 2021, section 3.2.

    Args: as `snip`.
    """
    network = copy.deepcopy(module).train()
    return sum(
        float(slope.norm())
        for weight, slope in _slopes(loss(run(network, inputs), targets), network)
        if weight.ndim > 1
    )


def naswot(module: nn.Module, inputs: Tree) -> float:
    """Return log |det K|, K_ij = the number of activations that are on, or off, for both image i and j.

    A network whose images all switch different units gets a high score; minus infinity if two images switch
    the same ones.

    Source: Mellor et al., "Neural Architecture Search without Training", ICML 2021.

    Args:
        module: is not changed. Its activations are ReLU or hard swish, on above zero.
        inputs: of a batch of at least two samples.
    """
    size = len(leaves(inputs)[0])
    kernel = torch.zeros((size, size), dtype=torch.float64)

    def count(_layer: nn.Module, values: tuple[Any, ...], _output: Tensor) -> None:
        is_on = (values[0] > 0).flatten(1).double()
        kernel.add_(is_on @ is_on.T + (1 - is_on) @ (1 - is_on).T)

    network = copy.deepcopy(module).train()  # statistics of these images: fresh running ones say nothing
    for layer in network.modules():
        if isinstance(layer, _ACTIVATIONS):
            layer.register_forward_hook(count)
    with torch.no_grad():
        run(network, inputs)
    return float(torch.linalg.slogdet(kernel).logabsdet)


def jacob_cov(module: nn.Module, inputs: Tree) -> float:
    """Return -sum(log(v + k) + 1 / (v + k)), v the eigenvalues of the correlation of the images' Jacobians.

    An image's Jacobian is the gradient of its summed output after its own values, a row of C * H * W; k is
    1e-5. Where all images have the same slopes, the correlation has one eigenvalue and the score is very low.

    Source: Mellor et al., "Neural Architecture Search without Training", arXiv:2006.04647 version 1; named
    `jacob_cov` in Abdelfattah et al., ICLR 2021.

    Args:
        module: is not changed.
        inputs: of a batch of at least two samples.
    """
    network = copy.deepcopy(module).train()
    inputs = mapped(inputs, lambda tensor: tensor.clone().requires_grad_())
    slopes = torch.autograd.grad(_sum(run(network, inputs)), leaves(inputs))
    rows = torch.cat([slope.flatten(1) for slope in slopes], dim=1).double()
    rows = rows - rows.mean(dim=1, keepdim=True)
    rows = rows / rows.norm(dim=1, keepdim=True).clamp_min(torch.finfo(torch.float64).tiny)
    eigenvalues = torch.linalg.eigvalsh(rows @ rows.T).clamp_min(0.0) + _EPSILON
    return float(-(eigenvalues.log() + 1.0 / eigenvalues).sum())


def _sum(outputs: Tree) -> Tensor:
    return torch.stack([leaf.sum() for leaf in leaves(outputs)]).sum()


def _slopes(output: Tensor, network: nn.Module) -> list[tuple[Tensor, Tensor]]:
    """Return each trained value that the output depends on with its gradient."""
    parameters = list(network.parameters())
    gradients = torch.autograd.grad(output, parameters, allow_unused=True)
    pairs = zip(parameters, gradients, strict=True)
    return [(weight.detach(), slope) for weight, slope in pairs if slope is not None]
