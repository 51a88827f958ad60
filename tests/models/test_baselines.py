"""Counts of the networks as published, which their descriptions must reproduce to be right."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from hwnas.io_spec import IoSpec, TensorSpec
from hwnas.models.baselines import BASELINES
from hwnas.models.cost import count_macs, count_parameters
from hwnas.onnx_graphs.export import export_onnx

torch.set_num_threads(1)

COSTS = {
    "salsanext": (5, 6_711_572, 62.30),
    "fidnet34": (8, 6_053_972, 338.46),
    "cenet34": (5, 6_774_228, 433.26),
    "rangenet21": (5, 24_712_980, 195.96),
    "rangenet53": (5, 50_377_364, 359.71),
}
"""Channels of the image, parameters, 10^9 multiply-accumulate operations at 64 x 2048, 20 classes."""


@pytest.mark.parametrize("name", COSTS)
def test_cost(name: str) -> None:
    channels, parameters, giga_macs = COSTS[name]
    network = BASELINES[name](channels, 20)
    assert count_parameters(network) == parameters
    assert round(count_macs(network, (channels, 64, 2048)) / 1e9, 2) == giga_macs


def test_all_have_a_known_cost() -> None:
    assert set(COSTS) == set(BASELINES)


@pytest.mark.parametrize("name", [name for name in COSTS if name != "rangenet53"])
def test_computes_and_exports(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = BASELINES[name](5, 4).eval()
    spec = IoSpec((TensorSpec("image", (1, 5, 16, 64)),), (TensorSpec("logits", (1, 4, 16, 64)),))
    export_onnx(network, spec, tmp_path / "model.onnx", metadata={})
    image = torch.randn(1, 5, 16, 64)
    with torch.no_grad():
        expected = network(image).numpy()
    assert expected.shape == (1, 4, 16, 64)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    found = session.run(None, {"image": image.numpy()})[0]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * np.abs(expected).max())
