"""`nas-cell`: one searched cell, stacked into an encoder-decoder over images.

Every stage of the encoder is a residual block that strides and widens, followed by copies of the cell; a
decoder joins the levels. The cell is that of NAS-Bench-201, so that cells carry over: found on one task or in
a table, `Cell.choices` restricts a search of another network to them.

Source: Dong and Yang, "NAS-Bench-201", ICLR 2020 (cell, residual blocks between stages, widths that double);
Stacking: Zoph et al., "Learning Transferable Architectures for Scalable Image Recognition", CVPR 2018.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
from torch import nn

from hwnas.architecture import Architecture, Choice
from hwnas.io_spec import NetworkContract
from hwnas.kernel_graph.images import Index
from hwnas.kernel_graph.kernels import Rows
from hwnas.models.blocks import BlockSettings
from hwnas.models.cell_layers import CellLayers, Edge
from hwnas.models.decoders import DECODERS, DecoderSettings
from hwnas.models.unet import Shape, StagePlan, UNet, UNetPlan
from hwnas.search_spaces.base import BlockSignature, Fits, SearchSpace, Seeds
from hwnas.search_spaces.cells import EDGES, ENCODING_PARTS, NONE, OPERATIONS, Cell, encode_cell
from hwnas.search_spaces.gene_space import GeneSpace, refuse_other_outputs
from hwnas.search_spaces.nas_cell_kernels import kernels_of_nas_cell
from hwnas.search_spaces.nas_cell_seeds import choices_of_cells, read_cells
from hwnas.search_spaces.range_unet_plan import STRIDES, block_signatures, fitting_stride

NAME = "nas-cell"
MAX_STAGES = 4
_BLOCK = "basic-residual"
_CELLS = "cells"


def full_choices(contract: NetworkContract) -> dict[str, tuple[Choice, ...]]:
    """Return all genes of networks that meet `contract`, with all their values."""
    choices: dict[str, tuple[Choice, ...]] = {
        "input_width": contract.widths,
        "stem_width": (8, 16, 24, 32, 48, 64),
        "stem_stride": tuple(STRIDES),
        "num_stages": (2, 3, 4),
        _CELLS: (1, 2, 3, 5),
        **{f"edge{number}": OPERATIONS for number in range(1, len(EDGES) + 1)},
    }
    for stage in range(1, MAX_STAGES + 1):
        choices[f"stage{stage}_stride"] = tuple(STRIDES) if stage == 1 else ("1x2", "2x2")
    choices |= {"decoder": tuple(DECODERS), "decoder_width": (16, 24, 32, 48, 64, 96, 128, 256)}
    if contract.cyclic_width:
        choices["cyclic_padding"] = (False, True)
    return choices


class NasCellSpace(GeneSpace):
    """The space; see the module."""

    def __init__(self, contract: NetworkContract, restrictions: Mapping[str, Sequence[Choice]]) -> None:
        """Fix the contract and restrict some genes.

        Raises:
            ConfigError: if a restriction names an unknown gene or value, or the contract asks for other
                outputs than one map as large as the input.
        """
        refuse_other_outputs(NAME, contract)
        super().__init__(NAME, contract, full_choices(contract), restrictions)

    def encode(self, architecture: Architecture) -> npt.NDArray[np.float32]:
        """Return the features of the cell, and an indicator for every value of every gene beside it."""
        self._check(architecture)
        outside = self._indicators(architecture, self._outside)
        return np.concatenate([encode_cell(Cell.of(architecture.genes)), outside])

    def encode_many(self, architectures: Sequence[Architecture]) -> npt.NDArray[np.float32]:
        """Return what `encode` says of each, [n, d]; that they are of this space is not checked."""
        cells = np.stack([_encoded(Cell.of(architecture.genes)) for architecture in architectures])
        return np.concatenate([cells, self._indicators_of_many(architectures, self._outside)], axis=1)

    @property
    def _outside(self) -> list[str]:
        return [gene for gene in self._full if not gene.startswith("edge")]

    @property
    def encoding_parts(self) -> tuple[int, ...]:
        """Lengths of the parts of an encoding: those of the cell, then all else."""
        return (*ENCODING_PARTS, sum(len(self._full[gene]) for gene in self._outside))

    def build(self, architecture: Architecture) -> nn.Module:
        """Return the network with fresh weights: [N, C, H, W] in, logits [N, K, H, W] out."""
        self._check(architecture)
        edges, is_cyclic = _edges(architecture), bool(architecture.genes.get("cyclic_padding", False))

        def cells_after(stage: StagePlan) -> list[nn.Module]:
            channels = stage.output_shape[0]
            return [CellLayers(edges, channels, is_cyclic=is_cyclic) for _ in range(_num_cells(architecture))]

        return UNet(_plan(architecture), cells_after)

    def blocks(self, architecture: Architecture) -> list[BlockSignature]:
        """Return stem, residual blocks with the cells after each, decoder and head, in order of execution."""
        self._check(architecture)
        cell = str(Cell.of(architecture.genes))
        is_cyclic = bool(architecture.genes.get("cyclic_padding", False))
        settings: tuple[tuple[str, Choice], ...] = (("cell", cell), ("is_cyclic", is_cyclic))
        stem, *residuals, decoder, head = block_signatures(_plan(architecture))
        signatures = [stem]
        for residual in residuals:
            shape = residual.output_shape
            signatures.append(residual)
            signatures += [BlockSignature("cell", (shape,), shape, settings)] * _num_cells(architecture)
        return [*signatures, decoder, head]

    def seeds(self, file: Path, most: int, *, seed: int, fits: Fits) -> Seeds:
        """Return networks with the cells of a file, see `read_cells`; how they are stacked is drawn.

        Args:
            file: of cells.
            most: cells to take.
            seed: of all genes but those of the cell.
            fits: says of a network whether it may be within the limits; a cell is stacked anew until it is.

        Raises:
            ConfigError: if the file cannot be used, or a cell is outside of what the space allows.
        """
        choices, left_out = choices_of_cells(self, read_cells(file), most, seed, fits)
        return Seeds(tuple(choices), tuple(map(str, left_out)))

    def kernels(self, architectures: Sequence[Architecture], block: int) -> tuple[Rows, Index]:
        """Return the kernels of networks, and for each the position of its network in `architectures`."""
        return kernels_of_nas_cell(architectures, block)

    def _architecture(self, choices: Mapping[str, Choice]) -> Architecture:
        # Cells that are built alike become one; a cell that is the identity needs no number of copies.
        cell = Cell.of(choices).canonical()
        genes = {gene: value for gene, value in choices.items() if not gene.startswith("stage")}
        genes |= cell.choices()
        if cell.is_identity:
            del genes[_CELLS]
        size = (self._contract.height, int(choices["input_width"]))
        genes["stem_stride"], size = fitting_stride(str(choices["stem_stride"]), size)
        for stage in range(1, int(choices["num_stages"]) + 1):
            gene = f"stage{stage}_stride"
            genes[gene], size = fitting_stride(str(choices[gene]), size)
        shape = (self._contract.in_channels, self._contract.height, int(choices["input_width"]))
        return Architecture(NAME, genes, shape, self._contract.outputs)


@lru_cache(maxsize=5**6)
def _encoded(cell: Cell) -> npt.NDArray[np.float32]:
    """Return the features of a cell; there are no more cells than that."""
    return encode_cell(cell)


def _num_cells(architecture: Architecture) -> int:
    """Return how many cells follow each residual block; none where the cell would change nothing."""
    return int(architecture.genes.get(_CELLS, 0))


def _edges(architecture: Architecture) -> list[Edge]:
    operations = Cell.of(architecture.genes).operations
    return [(*edge, name) for edge, name in zip(EDGES, operations, strict=True) if name != NONE]


def _plan(architecture: Architecture) -> UNetPlan:
    """Return the network around the cells, of an architecture that is known to be valid."""
    genes = architecture.genes
    is_cyclic, stem_width = bool(genes.get("cyclic_padding", False)), int(genes["stem_width"])
    channels, height, width = architecture.input_shape
    stride = STRIDES[str(genes["stem_stride"])]
    stem = BlockSettings(channels, stem_width, stride=stride, is_cyclic=is_cyclic)
    stem_shape: Shape = (stem_width, height // stride[0], width // stride[1])
    shape, stages = stem_shape, []
    for index in range(int(genes["num_stages"])):
        stride = STRIDES[str(genes[f"stage{index + 1}_stride"])]
        output = (stem_width * 2**index, shape[1] // stride[0], shape[2] // stride[1])
        block = BlockSettings(shape[0], output[0], stride=stride, is_cyclic=is_cyclic)
        stages.append(StagePlan(_BLOCK, (block,), shape, output))
        shape = output
    decoder = DecoderSettings(
        channels=(stem_width, *(stage.output_shape[0] for stage in stages)),
        strides=tuple(stage.blocks[0].stride for stage in stages),
        width=int(genes["decoder_width"]),
        is_cyclic=is_cyclic,
    )
    kind, num_classes = str(genes["decoder"]), architecture.outputs[0].channels
    return UNetPlan(architecture.input_shape, stem, stem_shape, tuple(stages), kind, decoder, num_classes)


def make_nas_cell(contract: NetworkContract, restrictions: Mapping[str, Sequence[Choice]]) -> SearchSpace:
    """Return the space for networks that meet `contract`.

    Raises:
        ConfigError: if a restriction names an unknown gene or value.
    """
    return NasCellSpace(contract, restrictions)
