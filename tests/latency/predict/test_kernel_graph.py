"""The kernels that are derived from genes are those that ONNX Runtime runs."""

from __future__ import annotations

import platform
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from hwnas.architecture import Architecture
from hwnas.latency.agent.inputs import bind_random_inputs
from hwnas.latency.backends.errors import AgentError
from hwnas.latency.backends.onnxruntime import OnnxRuntime
from hwnas.latency.backends.onnxruntime_kernels import read_kernels
from hwnas.latency.predict.exporting import io_spec_of
from hwnas.latency.predict.kernels import (
    COLUMNS,
    KIND,
    KINDS,
    group_rows,
    parse_signature,
    row_of_kernel,
    signature,
)
from hwnas.latency.predict.range_unet_kernels import range_unet_kernels
from hwnas.latency.predict.space_kernels import BLOCKS, kernel_graph_of
from hwnas.onnx_graphs.export import export_onnx
from hwnas.search_spaces.base import BlockSignature
from tests.latency.predict.small_space import small_space, some


def kernels_that_run(architecture: Architecture, directory: Path) -> list[dict]:
    torch.set_num_threads(1)
    model, io_spec = directory / f"{architecture.id}.onnx", io_spec_of(architecture)
    export_onnx(small_space().build(architecture), io_spec, model, metadata={})
    backend = OnnxRuntime(1)
    return backend.kernels(str(model), lambda: bind_random_inputs(backend, io_spec.to_json(), 0), 2)


def lowered(architecture: Architecture, block: int) -> Counter[str]:
    rows, _ = range_unet_kernels([architecture], block)
    return Counter(signature(row) for row in rows.tolist())


@pytest.mark.skipif(
    platform.machine() not in {"x86_64", "AMD64"}, reason="other processors lay images out otherwise"
)
@pytest.mark.parametrize("architecture", some(6, seed=3), ids=lambda architecture: architecture.id)
def test_kernels_are_those_of_the_optimised_graph(architecture: Architecture, tmp_path: Path) -> None:
    kernels = kernels_that_run(architecture, tmp_path)
    ran = Counter(signature(row_of_kernel(kernel)) for kernel in kernels)
    ran = Counter({name: count for name, count in ran.items() if not name.startswith("other")})
    assert ran in [lowered(architecture, block) for block in BLOCKS]
    assert all(kernel["ms"] >= 0 for kernel in kernels)


def test_many_networks_have_the_kernels_of_each_alone() -> None:
    architectures = some(60)
    rows, owners = range_unet_kernels(architectures, 16)
    for index, architecture in enumerate(architectures):
        together = Counter(signature(row) for row in rows[owners == index].tolist())
        assert together == lowered(architecture, 16), architecture.id


def test_plain_images_need_no_reordering() -> None:
    rows, _ = range_unet_kernels(some(20), 1)
    kinds = {KINDS[kind] for kind in np.unique(rows[:, KIND])}
    assert "convolution" in kinds
    assert not kinds & {"reorder-input", "reorder-output"}


def test_no_network_has_no_kernels() -> None:
    rows, owners = range_unet_kernels([], 16)
    assert rows.shape == (0, len(COLUMNS))
    assert owners.shape == (0,)


def test_spaces_without_rules_have_no_kernel_graph() -> None:
    assert kernel_graph_of("camera-cnn", 16) is None
    assert kernel_graph_of("range-unet", 16) is not None


def test_signatures_are_read_back() -> None:
    rows, _ = range_unet_kernels(some(5), 16)
    for row in rows.tolist():
        assert parse_signature(signature(row)) == row
    with pytest.raises(ValueError, match="no kind of kernel"):
        parse_signature("teleport width=3")


def test_equal_rows_are_grouped() -> None:
    rows, _ = range_unet_kernels(some(10), 16)
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
