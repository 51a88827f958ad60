"""Small networks of the range-unet space that together hold every block and every decoder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from hwnas.io_spec import IoSpec, NetworkContract, TensorSpec, dense_logits
from hwnas.models.decoders import DECODERS
from hwnas.onnx_graphs.export import export_onnx
from hwnas.search_spaces.base import make_search_space
from hwnas.search_spaces.range_unet_covering import covering_choices

CONTRACT = NetworkContract(in_channels=5, height=16, widths=(64,), outputs=dense_logits(3), cyclic_width=True)
SPEC = IoSpec((TensorSpec("range_image", (1, 5, 16, 64)),), (TensorSpec("logits", (1, 3, 16, 64)),))


def choices(name: str) -> dict[str, Any]:
    """Return the genes of the covering network with the decoder `name`."""
    return covering_choices(make_search_space("range-unet", CONTRACT, {}), name, num_stages=2)


def network(name: str) -> nn.Module:
    """Return it with weights and batch statistics that differ from those of a fresh network."""
    space = make_search_space("range-unet", CONTRACT, {})
    torch.manual_seed(0)
    module = space.build(space.decode(choices(name)))
    nn.init.normal_(module.head.weight, std=0.5)  # type: ignore[union-attr, arg-type]
    with torch.no_grad():
        for _ in range(3):
            module(torch.randn(2, 5, 16, 64) * 3 + 1)
    return module.eval()


def write_all(directory: Path) -> None:
    """Export each into `directory` as `<decoder>.onnx`."""
    for name in DECODERS:
        export_onnx(network(name), SPEC, directory / f"{name}.onnx", metadata={"b": "1", "a": "2"})
