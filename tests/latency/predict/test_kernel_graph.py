"""The kernels that are derived from genes are those that ONNX Runtime runs."""

from __future__ import annotations

import platform
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hwnas.architecture import Architecture
from hwnas.errors import PluginError
from hwnas.kernel_graph.kernels import (
    COLUMNS,
    KIND,
    KINDS,
    group_rows,
    parse_signature,
    row_of_kernel,
    signature,
)
from hwnas.latency.agent.inputs import bind_random_inputs
from hwnas.latency.backends.errors import AgentError
from hwnas.latency.backends.onnxruntime import OnnxRuntime
from hwnas.latency.backends.onnxruntime_kernels import read_kernels
from hwnas.latency.predict.decomposition import BLOCKS, kernels_of_space
from hwnas.latency.predict.exporting import io_spec_of
from hwnas.onnx_graphs.export import export_onnx
from hwnas.search_spaces.base import BlockSignature
from hwnas.search_spaces.range_unet_kernels import kernels_of_range_unet
from hwnas.testing.tiny import TinySpace
from tests.latency.predict.small_space import small_space, some


def kernels_that_run(architecture: Architecture, directory: Path) -> list[dict]:
    torch.set_num_threads(1)
    model, io_spec = directory / f"{architecture.id}.onnx", io_spec_of(architecture)
    export_onnx(small_space().build(architecture), io_spec, model, metadata={})
    backend = OnnxRuntime(1)
    return backend.kernels(str(model), lambda: bind_random_inputs(backend, io_spec.to_json(), 0), 2)


def decomposed(architecture: Architecture, block: int) -> Counter[str]:
    rows, _ = kernels_of_range_unet([architecture], block)
    return Counter(signature(row) for row in rows.tolist())


@pytest.mark.skipif(
    platform.machine() not in {"x86_64", "AMD64"}, reason="other processors lay images out otherwise"
)
@pytest.mark.parametrize("architecture", some(6, seed=3), ids=lambda architecture: architecture.id)
def test_kernels_are_those_of_the_optimised_graph(architecture: Architecture, tmp_path: Path) -> None:
    kernels = kernels_that_run(architecture, tmp_path)
    ran = Counter(signature(row_of_kernel(kernel)) for kernel in kernels)
    ran = Counter({name: count for name, count in ran.items() if not name.startswith("other")})
    assert ran in [decomposed(architecture, block) for block in BLOCKS]
    assert all(kernel["ms"] >= 0 for kernel in kernels)


def test_many_networks_have_the_kernels_of_each_alone() -> None:
    architectures = some(60)
    rows, owners = kernels_of_range_unet(architectures, 16)
    for index, architecture in enumerate(architectures):
        together = Counter(signature(row) for row in rows[owners == index].tolist())
        assert together == decomposed(architecture, 16), architecture.id


def test_plain_images_need_no_reordering() -> None:
    rows, _ = kernels_of_range_unet(some(20), 1)
    kinds = {KINDS[kind] for kind in np.unique(rows[:, KIND])}
    assert "convolution" in kinds
    assert not kinds & {"reorder-input", "reorder-output"}


def test_no_network_has_no_kernels() -> None:
    rows, owners = kernels_of_range_unet([], 16)
    assert rows.shape == (0, len(COLUMNS))
    assert owners.shape == (0,)


def test_spaces_that_tell_no_kernels_have_none() -> None:
    assert kernels_of_space(TinySpace(), 16) is None
    assert kernels_of_space(small_space(), 16) is not None


@pytest.mark.parametrize(
    ("rows", "owners", "message"),
    [
        (np.zeros((2, 11), np.int32), [0, 0], "int32 of shape \\(2, 11\\)"),
        (np.zeros((2, len(COLUMNS))), [0, 0], "float64"),
        (np.zeros((2, len(COLUMNS)), np.int32), [0], "for 1 kernels"),
        (np.zeros((2, len(COLUMNS)), np.int32), [0, 3], "about 3 networks, but names those from 0 to 3"),
    ],
)
def test_kernels_of_a_wrong_form_are_refused(
    rows: np.ndarray[Any, Any], owners: list[int], message: str
) -> None:
    class Odd(TinySpace):
        def kernels(self, _architectures: object, _block: int) -> Any:
            return rows, np.array(owners)

    decompose = kernels_of_space(Odd(), 16)
    assert decompose is not None
    with pytest.raises(PluginError, match=message):
        decompose(some(3))


def test_signatures_are_read_back() -> None:
    rows, _ = kernels_of_range_unet(some(5), 16)
    for row in rows.tolist():
        assert parse_signature(signature(row)) == row
    with pytest.raises(ValueError, match="no kind of kernel"):
        parse_signature("teleport width=3")


def test_equal_rows_are_grouped() -> None:
    rows, _ = kernels_of_range_unet(some(10), 16)
    different, index = group_rows(rows)
    assert np.array_equal(different[index], rows)
    assert len(different) == len(np.unique(rows, axis=0))


def test_unknown_operators_are_kept_as_other() -> None:
    kernel = {
        "operator": "Einsum",
        "attributes": {},
        "input_shapes": [[1, 4]],
        "output_shapes": [[1, 4]],
    }
    assert KINDS[row_of_kernel(kernel)[KIND]] == "other"


def test_other_providers_refuse_to_tell_kernels() -> None:
    backend = OnnxRuntime(1)
    backend._provider = "CUDAExecutionProvider"
    with pytest.raises(AgentError, match="cannot be timed"):
        backend.kernels("model.onnx", lambda: None, 1)


def test_a_profile_of_another_graph_is_refused(tmp_path: Path) -> None:
    trace, graph = tmp_path / "trace.json", tmp_path / "graph.onnx"
    trace.write_text(
        '[{"cat": "Node", "name": "strange_kernel_time", "dur": 5, "args": {"op_name": "Conv"}}]'
    )
    graph.write_bytes(b"\x08\x08")
    with pytest.raises(AgentError, match="lacks"):
        read_kernels(str(trace), str(graph), 0)


def test_blocks_of_a_space_are_those_of_its_networks() -> None:
    # The decoder's rules here follow `hwnas.models`; new blocks there must come with rules here.
    space = small_space()
    kinds = {block.kind for architecture in some(80) for block in space.blocks(architecture)}
    assert isinstance(space.blocks(some(1)[0])[0], BlockSignature)
    assert kinds <= {
        "stem",
        "basic-residual",
        "inverted-bottleneck",
        "depthwise-separable",
        "dilated-context",
        "convnext",
        "decoder-bilinear-sum",
        "decoder-concatenation",
        "decoder-pixel-shuffle",
        "decoder-transposed-convolution",
        "head",
    }
