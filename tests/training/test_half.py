import numpy as np
import pytest
import torch
from torch import nn

from hwnas.io_spec import IoSpec, TensorSpec
from hwnas.training.half import LARGEST_HALF, HalfNetwork
from tests.onnx_graphs.covering_networks import SPEC, network

torch.set_num_threads(1)


@pytest.mark.parametrize("name", ["bilinear-sum", "concatenation", "pixel-shuffle", "transposed-convolution"])
def test_values_are_halves_close_to_singles(name: str) -> None:
    module = network(name)
    image = np.random.default_rng(0).normal(1.0, 3.0, (1, 5, 16, 64)).astype(np.float32)
    half = HalfNetwork(module, SPEC, "cpu")
    found = half({"range_image": image})["logits"]
    with torch.no_grad():
        expected = module(torch.from_numpy(image)).numpy()
    assert np.array_equal(found, found.astype(np.float16).astype(np.float32))
    error = np.linalg.norm(found - expected) / np.linalg.norm(expected)
    assert 1e-5 < error < 1e-2
    assert np.abs(found).max() <= half.largest_activation < LARGEST_HALF


def test_overflow_is_seen_before_it_becomes_infinite() -> None:
    module = nn.Sequential(nn.Conv2d(1, 1, 1, bias=False), nn.Hardsigmoid())
    nn.init.constant_(module[0].weight, 300.0)
    spec = IoSpec((TensorSpec("x", (1, 1, 2, 2)),), (TensorSpec("y", (1, 1, 2, 2)),))
    half = HalfNetwork(module, spec, "cpu")
    found = half({"x": np.full((1, 1, 2, 2), 300.0, np.float32)})["y"]
    assert half.largest_activation == pytest.approx(90_000.0)
    assert np.all(found == 1.0)


def test_convolutions_agree_with_halves_of_pytorch_itself() -> None:
    torch.manual_seed(0)
    module = nn.Conv2d(4, 4, 3).eval()
    image = np.random.default_rng(1).normal(size=(1, 4, 8, 8)).astype(np.float32)
    with torch.no_grad():
        expected = module.half()(torch.from_numpy(image).half()).float().numpy()
    spec = IoSpec((TensorSpec("x", (1, 4, 8, 8)),), (TensorSpec("y", (1, 4, 6, 6)),))
    found = HalfNetwork(module.float(), spec, "cpu")({"x": image})["y"]
    np.testing.assert_allclose(found, expected, atol=2e-3, rtol=2e-3)
