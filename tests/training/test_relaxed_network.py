from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hwnas.architecture import Architecture, Choice
from hwnas.io_spec import NetworkContract, dense_logits
from hwnas.search_spaces.base import SearchSpace, make_search_space, sample_choices
from hwnas.testing.tiny import TinySpace
from hwnas.training.relaxed_network import Options, RelaxedNetwork
from hwnas.training.shared_weights import SharedWeights

torch.set_num_threads(1)
CONTRACT = NetworkContract(5, 16, (64,), dense_logits(4), cyclic_width=True)
CHOICES = {
    "stem_width": [8, 16],
    "num_stages": [2, 3],
    "decoder_width": [16, 24],
    **{f"stage{stage}_width": [16, 24] for stage in range(1, 6)},
    **{f"stage{stage}_depth": [1, 2, 3] for stage in range(1, 6)},
}


@pytest.fixture(scope="module")
def space() -> SearchSpace:
    return make_search_space("range-unet", CONTRACT, CHOICES)


@pytest.fixture(scope="module")
def shared(space: SearchSpace) -> SharedWeights:
    return SharedWeights(space, seed=0)


def drawn(space: SearchSpace, seed: int) -> Options:
    rng = np.random.default_rng(seed)
    first, other = sample_choices(space, rng), sample_choices(space, rng)
    return Options(first, {gene: value for gene, value in other.items() if value != first[gene]})


def reported(shared: SharedWeights, space: SearchSpace, choices: dict[str, object], images: Tensor) -> Tensor:
    with torch.no_grad():
        return shared.outputs(space.decode(choices), images)


@pytest.mark.parametrize("seed", range(12))
def test_the_ends_are_the_two_networks(space: SearchSpace, shared: SharedWeights, seed: int) -> None:
    options, network = drawn(space, seed), RelaxedNetwork(space, shared)
    images = torch.randn(2, *CONTRACT_SHAPE, generator=torch.Generator().manual_seed(seed))
    genes = network.mixable(options)
    assert genes
    for share, end in ((1.0, options.first), (0.0, {**options.first, **only(options.second, genes)})):
        shares = {gene: torch.tensor(share) for gene in genes}
        with torch.no_grad():
            found = network.outputs(options, shares, images)
        assert torch.allclose(found, reported(shared, space, dict(end), images), atol=1e-4)


CONTRACT_SHAPE = (5, 16, 64)


class Pair(nn.Module):
    """Two inputs and two outputs, and a part that happens to be called like one of `range-unet`."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.decoder = nn.Linear(3, width)
        self.score = nn.Linear(width, 1)

    def forward(self, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        both = self.decoder(first + second)
        return both, self.score(both)


class PairSpace(TinySpace):
    choices: ClassVar = {"stage1_width": (4, 8), "kind": ("plain", "other")}

    def decode(self, choices: Mapping[str, Choice]) -> Architecture:
        return Architecture("pairs", choices, (3, 1, 1), dense_logits(1))

    def build(self, architecture: Architecture) -> nn.Module:
        return Pair(int(architecture.genes["stage1_width"]))


def test_spaces_of_plugins_may_have_several_inputs_and_no_decoder() -> None:
    space = PairSpace()
    shared = SharedWeights(space, seed=0)
    network = RelaxedNetwork(space, shared)
    options = Options({"stage1_width": 4, "kind": "plain"}, {"stage1_width": 8, "kind": "other"})
    inputs = (torch.ones(2, 3), torch.zeros(2, 3))
    assert network.mixable(options) <= {"stage1_width"}
    with torch.no_grad():
        found = network.outputs(options, {}, inputs)
        expected = shared.outputs(space.decode(options.first), inputs)
    assert [tuple(output.shape) for output in found] == [(2, 4), (2, 1)]
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))


def only(choices: object, genes: set[str]) -> dict[str, object]:
    return {gene: value for gene, value in dict(choices).items() if gene in genes}  # type: ignore[call-overload]


@pytest.fixture
def double() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.usefixtures("double")
def test_gradients_say_which_option_is_better(space: SearchSpace) -> None:
    """The derivative in a share is what a small step of it changes."""
    options, network = drawn(space, 3), RelaxedNetwork(space, SharedWeights(space, seed=0))
    images = torch.randn(2, *CONTRACT_SHAPE, generator=torch.Generator().manual_seed(3))
    genes = sorted(network.mixable(options))

    def loss(shares: dict[str, Tensor]) -> Tensor:
        return network.outputs(options, shares, images).square().mean()

    half = {gene: torch.tensor(0.5, requires_grad=True) for gene in genes}
    loss(half).backward()  # type: ignore[no-untyped-call]
    gradients = {gene: float(share.grad) for gene, share in half.items() if share.grad is not None}
    assert {"decoder", "stage1_kernel", "stage2_depth"} <= set(gradients)
    step, largest = 1e-6, max(map(abs, gradients.values()))
    for gene, gradient in gradients.items():
        ends = [float(loss({**half, gene: torch.tensor(0.5 + sign * step)}).detach()) for sign in (-1, 1)]
        numeric = (ends[1] - ends[0]) / (2 * step)
        assert gradient == pytest.approx(numeric, rel=0.05, abs=0.02 * largest)


def test_what_moves_channels_of_a_concatenation_is_not_mixed(
    space: SearchSpace, shared: SharedWeights
) -> None:
    network, found = RelaxedNetwork(space, shared), set()
    for seed in range(40):
        options = drawn(space, seed)
        genes = network.mixable(options)
        decoders = {options.first["decoder"], options.second.get("decoder", options.first["decoder"])}
        if decoders & {"pixel-shuffle", "transposed-convolution"}:
            assert "decoder_width" not in genes
        if "concatenation" in decoders:
            assert not genes & {"stem_width", "stage1_width"}
        assert not genes & {"num_stages", "stem_stride", "activation", "cyclic_padding"}
        found |= {gene.removeprefix("stage1_") for gene in genes}
    assert found >= {"block", "depth", "width", "kernel", "squeeze_excite", "decoder", "stem_width"}
