from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hwnas.architecture import Architecture
from hwnas.errors import ArchitectureError
from hwnas.io_spec import NetworkContract, dense_logits
from hwnas.models.baselines import BASELINES
from hwnas.models.blocks import BLOCKS
from hwnas.models.cost import count_macs, count_parameters
from hwnas.models.decoders import DECODERS
from hwnas.models.unet import UNet
from hwnas.search_spaces.base import SearchSpace, make_search_space, sample_choices
from hwnas.search_spaces.range_unet import RangeUNetSpace, make_range_unet
from hwnas.search_spaces.range_unet_neighbours import nearest_baselines
from hwnas.search_spaces.range_unet_plan import STRIDES
from hwnas.testing.search_space_suite import Restrictions, SearchSpaceSuite, assert_exports_exactly

torch.set_num_threads(1)

GOLDEN = Path(__file__).with_name("golden_ids.json")
SMALL = NetworkContract(in_channels=5, height=16, widths=(32, 64), outputs=dense_logits(3), cyclic_width=True)
FULL = NetworkContract(
    in_channels=5, height=64, widths=(512, 1024, 2048), outputs=dense_logits(20), cyclic_width=True
)
NARROW = {
    "stem_width": (8, 16, 24, 32),
    "decoder_width": (16, 24, 32),
    **{f"stage{stage}_width": (16, 24, 32) for stage in range(1, 6)},
    **{f"stage{stage}_depth": (1, 2, 3) for stage in range(1, 6)},
}


def choices_of(space: SearchSpace, **wanted: Any) -> dict[str, Any]:
    return {gene: values[0] for gene, values in space.choices.items()} | wanted


@pytest.mark.slow(seconds=2)
class TestRangeUNet(SearchSpaceSuite):
    cheap = NARROW

    def make_space(self, restrictions: Restrictions) -> SearchSpace:
        return make_range_unet(SMALL, restrictions)


class TestRangeUNetOfACamera(SearchSpaceSuite):
    """Odd sizes that strides do not divide, and edges that are no neighbours."""

    contract = NetworkContract(in_channels=3, height=22, widths=(36, 50), outputs=dense_logits(2))
    cheap = NARROW
    num_builds = 4
    num_exports = 2

    def make_space(self, restrictions: Restrictions) -> SearchSpace:
        return make_range_unet(self.contract, restrictions)

    def test_has_no_cyclic_padding(self, space: SearchSpace) -> None:
        assert "cyclic_padding" not in space.choices


def test_is_registered() -> None:
    assert make_search_space("range-unet", SMALL).name == "range-unet"


@pytest.mark.parametrize("stride", sorted(STRIDES))
@pytest.mark.parametrize("decoder", sorted(DECODERS))
def test_every_block_exports_with_every_decoder_and_stride(decoder: str, stride: str, tmp_path: Path) -> None:
    """Five stages hold all five blocks; with one of the decoders the stem strides, too."""
    space = make_range_unet(NetworkContract(5, 128, (256,), dense_logits(3), cyclic_width=True), NARROW)
    wanted: dict[str, Any] = {"decoder": decoder, "num_stages": len(BLOCKS), "cyclic_padding": True}
    for number, block in enumerate(BLOCKS, start=1):
        wanted |= {f"stage{number}_block": block, f"stage{number}_kernel": (3, 5, 7)[number % 3]}
        wanted[f"stage{number}_stride"] = (
            stride if stride in space.choices[f"stage{number}_stride"] else "1x2"
        )
    wanted |= {"stem_stride": stride if decoder == "concatenation" else "1x1"}
    wanted |= {"stage1_depth": 2, "stage3_squeeze_excite": True, "activation": "hardswish"}
    architecture = space.decode(choices_of(space, **wanted))
    assert [architecture.genes[f"stage{number}_block"] for number in range(1, 6)] == list(BLOCKS)
    assert_exports_exactly(space, architecture, tmp_path / "model.onnx")


def modules_in_order(network: UNet) -> list[torch.nn.Module]:
    return [network.stem, *(block for stage in network.stages for block in stage), network.decoder]


@pytest.mark.parametrize("seed", range(10))
def test_blocks_are_those_of_the_network(seed: int) -> None:
    space = make_range_unet(SMALL, NARROW)
    architecture = space.decode(sample_choices(space, np.random.default_rng(seed)))
    network = space.build(architecture)
    assert isinstance(network, UNet)
    seen: list[tuple[tuple[Any, ...], tuple[int, ...]]] = []

    def note(_: torch.nn.Module, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
        images = inputs[0] if isinstance(inputs[0], list) else [inputs[0]]
        seen.append((tuple(tuple(image.shape[1:]) for image in images), tuple(output.shape[1:])))

    modules = modules_in_order(network)
    for module in modules:
        module.register_forward_hook(note)
    with torch.no_grad():
        logits = network.eval()(torch.zeros(1, *architecture.input_shape))
    blocks = space.blocks(architecture)
    assert seen == [(block.input_shapes, block.output_shape) for block in blocks[:-1]]
    assert blocks[-1].input_shapes == (seen[-1][1],)
    assert blocks[-1].output_shape == tuple(logits.shape[1:])
    for module, block in zip(modules[1:-1], blocks[1:-2], strict=True):
        assert type(module) is BLOCKS[block.kind]
    assert (
        type(network.decoder).__name__
        == type(DECODERS[architecture.genes["decoder"]](space.plan(architecture).decoder)).__name__
    )


@given(seed=st.integers(0, 2**32 - 1), gene=st.sampled_from(sorted(make_range_unet(FULL, {}).choices)))
@settings(max_examples=200, deadline=None)
def test_genes_of_an_architecture_all_matter(seed: int, gene: str) -> None:
    """Changing one gene changes the architecture exactly when it changes the network."""
    space = make_range_unet(FULL, {})
    choices = sample_choices(space, np.random.default_rng(seed))
    one = space.decode(choices)
    for value in space.choices[gene]:
        other = space.decode({**choices, gene: value})
        same_network = other.input_shape == one.input_shape and space.blocks(other) == space.blocks(one)
        assert same_network == (other == one)


@given(seed=st.integers(0, 2**32 - 1), height=st.integers(4, 128), width=st.integers(8, 2048))
@settings(max_examples=100, deadline=None)
def test_levels_fit_for_every_size(seed: int, height: int, width: int) -> None:
    space = RangeUNetSpace(NetworkContract(5, height, (width,), dense_logits(2)), {})
    plan = space.plan(space.decode(sample_choices(space, np.random.default_rng(seed))))
    shapes = [plan.stem_shape, *(stage.output_shape for stage in plan.stages)]
    assert all(shape[1] >= 4 and shape[2] >= 8 for shape in shapes)
    for finer, coarser, stride in zip(shapes, shapes[1:], plan.decoder.strides, strict=False):
        assert (coarser[1] * stride[0], coarser[2] * stride[1]) == finer[1:]


def test_genes_without_influence_leave_no_trace() -> None:
    space = make_range_unet(FULL, {})
    base = choices_of(space, num_stages=2, stage2_block="dilated-context")
    one = space.decode(base)
    assert one == space.decode({**base, "stage2_kernel": 7, "stage3_width": 256, "stage5_stride": "2x2"})
    assert not [gene for gene in one.genes if gene.startswith(("stage3", "stage4", "stage5"))]
    assert "stage2_kernel" not in one.genes


def test_strides_stop_where_the_image_is_small() -> None:
    space = make_range_unet(SMALL, {})
    wide = {f"stage{stage}_stride": "2x2" for stage in range(1, 6)}
    genes = space.decode(choices_of(space, input_width=64, num_stages=5, **wide)).genes
    assert [genes[f"stage{stage}_stride"] for stage in range(1, 6)] == ["2x2", "2x2", "1x2", "1x1", "1x1"]
    narrower = wide | {"stage3_stride": "1x2", "stage5_stride": "1x2"}
    assert space.decode(choices_of(space, input_width=64, num_stages=5, **narrower)).genes == genes


def test_what_decode_cannot_make_is_refused() -> None:
    space = make_range_unet(FULL, {})
    architecture = space.decode(choices_of(space))
    for change in (
        {"stage2_stride": "1x1"},
        {"stage2_depth": 5},
        {"stage3_width": 16},
        {"cyclic_padding": 0},
    ):
        changed = Architecture(
            "range-unet", {**architecture.genes, **change}, architecture.input_shape, dense_logits(20)
        )
        with pytest.raises(ArchitectureError):
            space.build(changed)


@pytest.mark.parametrize("decoder", sorted(DECODERS))
def test_cyclic_networks_do_not_know_where_the_image_begins(decoder: str) -> None:
    """Rotating the input by the encoder's stride rotates the output.

    Bilinear enlarging and transposed convolutions look over the edge by one pixel, so that only
    the columns near it may differ for decoders that use them.
    """
    space = make_range_unet(SMALL, {})
    wanted = {"cyclic_padding": True, "input_width": 64, "stage1_stride": "1x2", "decoder": decoder}
    network = space.build(space.decode(choices_of(space, **wanted))).eval()
    image = torch.randn(1, 5, 16, 64)
    with torch.no_grad():
        rotated = network(image.roll(32, dims=3)).roll(-32, dims=3)
        logits = network(image)
    difference = (rotated - logits).abs().amax(dim=(0, 1, 2))
    if decoder == "pixel-shuffle":
        assert difference.max() < 1e-5
    # Columns 16 and 48 are as far as can be from the edges of both images.
    assert difference[[16, 48]].max() < 1e-5
    plain = space.build(space.decode(choices_of(space, **wanted | {"cyclic_padding": False}))).eval()
    with torch.no_grad():
        assert (plain(image.roll(32, dims=3)).roll(-32, dims=3) - plain(image)).abs().max() > 1e-4


def test_ids_are_those_of_earlier_versions() -> None:
    """These ids are in users' files: a change of this file orphans their results."""
    golden = json.loads(GOLDEN.read_text())
    space = make_range_unet(FULL, {})
    assert len(golden) >= 12
    for entry in golden:
        assert space.decode(entry["choices"]).id == entry["id"], entry["choices"]


def test_neighbours_of_the_baselines() -> None:
    space = make_range_unet(FULL, {})
    neighbours = nearest_baselines(space)
    assert set(neighbours) == set(BASELINES) - {"rangenet53"}
    architectures = {name: space.decode(choices) for name, choices in neighbours.items()}
    assert len(set(architectures.values())) == len(architectures)
    for name, architecture in architectures.items():
        network = space.build(architecture)
        baseline = BASELINES[name](5, 20)
        assert architecture.input_shape == (5, 64, 2048)
        macs, expected = (count_macs(each, (5, 64, 2048)) for each in (network, baseline))
        # As near as the genes allow: the same order of cost; of RangeNet's width only a part is there.
        assert 0.4 < macs / expected < 2.5, (name, macs, expected)
        if name != "rangenet21":
            assert 0.4 < count_parameters(network) / count_parameters(baseline) < 2.5, name


def test_small_networks_exist() -> None:
    space = make_range_unet(FULL, {})
    network = space.build(space.decode(choices_of(space, stem_stride="2x2")))
    assert count_parameters(network) < 50_000
    assert count_macs(network, (5, 64, 512)) < 150e6


def test_weights_follow_the_seed() -> None:
    space = make_range_unet(SMALL, {})
    architecture = space.decode(choices_of(space))
    states = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        states.append(torch.cat([p.flatten() for p in space.build(architecture).parameters()]))
    assert torch.equal(states[0], states[1])
    assert not torch.equal(states[0], states[2])
