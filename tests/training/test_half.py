import numpy as np
import pytest
import torch
from torch import nn

from hwnas.io_spec import IoSpec, TensorSpec
from hwnas.onnx_graphs.precision.half import LARGEST_HALF
from hwnas.training.half import HalfNetwork
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


class Difference(nn.Module):
    """What is not a number on the way, which the last operator hides."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nan_to_num(torch.log(x) * 0.0)


class Scratch(nn.Module):
    """Memory that nothing was written to yet is no activation."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.empty_like(x).copy_(x)


def test_what_is_not_a_number_counts_as_infinite() -> None:
    spec = IoSpec((TensorSpec("x", (1, 2)),), (TensorSpec("y", (1, 2)),))
    half = HalfNetwork(Difference(), spec, "cpu")
    half({"x": np.full((1, 2), np.nan, np.float32)})
    assert half.largest_activation == np.inf
    half({"x": np.ones((1, 2), np.float32)})
    assert half.largest_activation == np.inf, "it stays"


def test_memory_that_was_not_written_is_no_activation() -> None:
    spec = IoSpec((TensorSpec("x", (1, 2)),), (TensorSpec("y", (1, 2)),))
    torch.use_deterministic_algorithms(True)  # fills what was not written with what is not a number
    try:
        half = HalfNetwork(Scratch(), spec, "cpu")
        half({"x": np.ones((1, 2), np.float32)})
    finally:
        torch.use_deterministic_algorithms(False)
    assert half.largest_activation == 1.0


def test_convolutions_agree_with_halves_of_pytorch_itself() -> None:
    torch.manual_seed(0)
    module = nn.Conv2d(4, 4, 3).eval()
    image = np.random.default_rng(1).normal(size=(1, 4, 8, 8)).astype(np.float32)
    with torch.no_grad():
        expected = module.half()(torch.from_numpy(image).half()).float().numpy()
    spec = IoSpec((TensorSpec("x", (1, 4, 8, 8)),), (TensorSpec("y", (1, 4, 6, 6)),))
    found = HalfNetwork(module.float(), spec, "cpu")({"x": image})["y"]
    np.testing.assert_allclose(found, expected, atol=2e-3, rtol=2e-3)
