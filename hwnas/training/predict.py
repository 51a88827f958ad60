"""A PyTorch module as a function from arrays to arrays."""

from __future__ import annotations

import torch
from torch import nn

from hwnas.tasks.base import FloatArray, Predict


def torch_predict(module: nn.Module) -> Predict:
    """Return a function that runs a module in evaluation mode, on the device where it is."""
    module.eval()
    device = next((parameter.device for parameter in module.parameters()), torch.device("cpu"))

    def predict(inputs: FloatArray) -> FloatArray:
        with torch.inference_mode():
            logits = module(torch.from_numpy(inputs).to(device))
        result: FloatArray = logits.float().cpu().numpy()
        return result

    return predict
