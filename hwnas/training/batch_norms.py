"""Running statistics of batch norms, taken anew."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from hwnas.tasks.trees import Tree, run


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
