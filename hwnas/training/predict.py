"""A PyTorch module as a function from arrays to arrays."""

from __future__ import annotations

import torch
from torch import nn

from hwnas.io_spec import IoSpec
from hwnas.tasks.base import Arrays, Predict
from hwnas.tasks.trees import named


def torch_predict(module: nn.Module, io_spec: IoSpec) -> Predict:
    """Return a function that runs a module in evaluation mode, on the device where it is.

    Args:
        module: takes one tensor for each input of `io_spec`, in order.
        io_spec: names of inputs and outputs.
    """
    module.eval()
    device = next((parameter.device for parameter in module.parameters()), torch.device("cpu"))
    names = [tensor.name for tensor in io_spec.outputs]

    def predict(inputs: Arrays) -> Arrays:
        with torch.inference_mode():
            found = module(*(torch.from_numpy(inputs[spec.name]).to(device) for spec in io_spec.inputs))
        return {name: tensor.float().cpu().numpy() for name, tensor in named(found, names).items()}

    return predict
