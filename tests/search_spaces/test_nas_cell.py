from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch

from hwnas.errors import ArchitectureError
from hwnas.io_spec import NetworkContract, dense_logits
from hwnas.models.cell_layers import CellLayers
from hwnas.search_spaces.base import SearchSpace, encode_many, make_search_space, sample_choices
from hwnas.search_spaces.cells import EDGES, ENCODING_PARTS, IDENTITY, NONE, OPERATIONS, Cell, encode_cell
from hwnas.search_spaces.nas_cell import make_nas_cell
from hwnas.testing.search_space_suite import Restrictions, SearchSpaceSuite
from hwnas.training.shared_weights import SharedWeights

SMALL = NetworkContract(in_channels=5, height=16, widths=(32, 64), outputs=dense_logits(3), cyclic_width=True)
CHEAP = {"stem_width": (8, 16), "decoder_width": (16, 24), "cells": (1, 2)}
FOUND = "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|skip_connect~0|none~1|avg_pool_3x3~2|"


@pytest.mark.slow(seconds=2)
class TestNasCell(SearchSpaceSuite):
    cheap = CHEAP

    def make_space(self, restrictions: Restrictions) -> SearchSpace:
        return make_nas_cell(SMALL, restrictions)


class TestNasCellOfACamera(SearchSpaceSuite):
    """Odd sizes that strides do not divide, and edges that are no neighbours."""

    cheap = CHEAP
    num_builds = 4
    num_exports = 2

    def make_space(self, restrictions: Restrictions) -> SearchSpace:
        return make_nas_cell(NetworkContract(3, 22, (36, 50), dense_logits(2)), restrictions)


def first_choices(space: SearchSpace, **wanted: Any) -> dict[str, Any]:
    return {gene: values[0] for gene, values in space.choices.items()} | wanted


def all_cells() -> list[Cell]:
    return [Cell(names) for names in itertools.product(OPERATIONS, repeat=len(EDGES))]


def computed(cell: Cell, image: torch.Tensor) -> torch.Tensor:
    """Return what a cell computes whose convolutions are fixed numbers, node by node and edge by edge."""
    makes = {"skip_connect": 1.0, "nor_conv_1x1": 2.0, "nor_conv_3x3": 5.0, "avg_pool_3x3": 11.0}
    nodes = [image, *(torch.zeros_like(image) for _ in range(3))]
    for (source, target), name in zip(EDGES, cell.operations, strict=True):
        if name != NONE:
            # Not linear, so that the order along a way matters.
            nodes[target] = nodes[target] + torch.sin(makes[name] * nodes[source])
    return nodes[3]


def test_is_registered() -> None:
    assert make_search_space("nas-cell", SMALL).name == "nas-cell"


def test_cells_are_read_and_written() -> None:
    cell = Cell.parse(FOUND)
    assert str(cell) == FOUND
    assert Cell.of(cell.choices()) == cell
    for wrong in ("", FOUND[:-1], FOUND.replace("skip", "jump"), FOUND.replace("~2", "~1"), FOUND + "+"):
        with pytest.raises(ArchitectureError):
            Cell.parse(wrong)


def test_canonical_cells_compute_the_same() -> None:
    image = torch.linspace(0.1, 2.0, 7, dtype=torch.float64)
    for cell in all_cells()[::7]:
        canonical = cell.canonical()
        assert canonical.canonical() == canonical
        if cell.is_connected:
            assert torch.allclose(computed(canonical, image), computed(cell, image))
        else:
            assert canonical.operations == IDENTITY


def test_fewer_cells_are_different_than_can_be_written() -> None:
    canonical = {cell.canonical() for cell in all_cells()}
    assert len(canonical) < len(all_cells()) * 0.7
    image = torch.linspace(0.1, 2.0, 7, dtype=torch.float64)
    results = {tuple(np.round(computed(cell, image).numpy(), 9)) for cell in canonical}
    assert len(results) > 0.95 * len(canonical)


def test_unconnected_cells_leave_the_network_without_cells() -> None:
    space = make_nas_cell(SMALL, {})
    nothing = {f"edge{number}": "none" for number in range(1, 7)}
    architectures = {
        space.decode(first_choices(space, cells=cells, **(nothing | wanted)))
        for cells in (1, 5)
        for wanted in ({}, {"edge1": "nor_conv_3x3"}, {"edge4": "skip_connect"})
    }
    assert len(architectures) == 1
    (architecture,) = architectures
    assert "cells" not in architecture.genes
    assert not [block for block in space.blocks(architecture) if block.kind == "cell"]
    assert not [part for part in space.build(architecture).modules() if isinstance(part, CellLayers)]


def test_every_stage_holds_the_cells() -> None:
    space = make_nas_cell(SMALL, {})
    choices = first_choices(space, num_stages=3, cells=2, **Cell.parse(FOUND).choices())
    architecture = space.decode(choices)
    cells = [part for part in space.build(architecture).modules() if isinstance(part, CellLayers)]
    assert len(cells) == 6 == [block.kind for block in space.blocks(architecture)].count("cell")
    assert (
        sorted(
            part.kernel_size
            for cell in cells
            for part in cell.modules()
            if hasattr(part, "weight") and isinstance(part, torch.nn.Conv2d)
        )
        == [(3, 3)] * 6
    )


def test_a_found_cell_restricts_a_search() -> None:
    cell = Cell.parse(FOUND)
    space = make_nas_cell(SMALL, {gene: [name] for gene, name in cell.choices().items()})
    rng = np.random.default_rng(0)
    for _ in range(20):
        choices = {gene: values[int(rng.integers(len(values)))] for gene, values in space.choices.items()}
        assert Cell.of(space.decode(choices).genes) == cell.canonical()


def test_layers_compute_what_the_edges_say() -> None:
    layers = CellLayers([(0, 1, "avg_pool_3x3"), (0, 3, "skip_connect"), (1, 3, "skip_connect")], 2)
    image = torch.rand(1, 2, 5, 6)
    pooled = torch.nn.functional.avg_pool2d(image, 3, 1, 1, count_include_pad=False)
    assert torch.allclose(layers(image), image + pooled)


def test_cyclic_pools_do_not_know_where_the_image_begins() -> None:
    layers = CellLayers([(0, 3, "avg_pool_3x3")], 2, is_cyclic=True)
    image = torch.rand(1, 2, 5, 6)
    assert torch.allclose(layers(image.roll(2, dims=3)), layers(image).roll(2, dims=3), atol=1e-6)


@pytest.mark.parametrize("edges", [[], [(1, 0, "skip_connect")], [(0, 1, "dil_conv")]])
def test_wrong_edges_are_refused(edges: Any) -> None:
    with pytest.raises(ValueError, match="Expected"):
        CellLayers(edges, 2)


def test_features_tell_what_ways_compute() -> None:
    vector = encode_cell(Cell.parse(FOUND))
    edges, functions, amounts = np.split(vector, np.cumsum(ENCODING_PARTS)[:-1])
    assert (edges.reshape(6, 5).sum(axis=1) == 1).all()
    # Open are the direct way (a skip) and the one through both inner nodes: 3x3, skip, pooling.
    assert np.flatnonzero(functions).tolist() == [0, 1 + 3 + 1 * 3 + 2]
    assert functions.sum() == 2
    assert amounts.tolist() == [2, 0, 1, 1, 1, 1, 0, 1, 2, 2, 0, 0]


def test_a_skip_on_a_way_changes_nothing_of_what_it_computes() -> None:
    first, second = (
        encode_cell(Cell(("skip_connect", "none", "none", "none", "nor_conv_3x3", "none"))),
        encode_cell(Cell(("nor_conv_3x3", "none", "none", "none", "skip_connect", "none"))),
    )
    assert np.array_equal(first[30:], second[30:])
    assert not np.array_equal(first[:30], second[:30])


def test_many_are_encoded_as_each_alone() -> None:
    space, rng = make_nas_cell(SMALL, {}), np.random.default_rng(0)
    architectures = [space.decode(sample_choices(space, rng)) for _ in range(50)]
    assert np.array_equal(
        encode_many(space, architectures), np.stack([space.encode(each) for each in architectures])
    )


def test_operations_of_other_edges_have_weights_of_their_own() -> None:
    space = make_nas_cell(SMALL, {**CHEAP, "decoder": ["bilinear-sum"]})
    shared = SharedWeights(space, seed=0)
    rng = np.random.default_rng(1)
    for _ in range(5):
        architecture = space.decode({**sample_choices(space, rng), "input_width": 32})
        logits = shared.outputs(architecture, torch.randn(2, *architecture.input_shape))
        assert logits.shape == (2, 3, 16, 32)
        assert torch.isfinite(logits).all()
    cells = ("|nor_conv_3x3~0|+|none~0|none~1|+|none~0|skip_connect~1|none~2|", FOUND)
    modules = [space.decode(first_choices(space, cells=1, **Cell.parse(text).choices())) for text in cells]
    first, second = (shared.slices(one, space.build(one)) for one in modules)
    name = "stages.0.1.operations.edge01_nor_conv_3x3.1.weight"
    assert torch.equal(first[name], second[name]), "the same operation of the same edge"
    assert not any("edge13" in other for other in first)
