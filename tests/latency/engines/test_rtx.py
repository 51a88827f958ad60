"""Real builds for GPUs that this machine does not have."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from hwnas.latency.backends.cuda_driver import open_driver_if_any
from hwnas.latency.engines.rtx import (
    BUILT,
    CANNOT_RUN_THERE,
    CAPABILITIES,
    FAILED,
    REFUSED,
    build_all,
    why_not_here,
    write_precisions,
)
from hwnas.models.blocks import BLOCKS
from hwnas.models.decoders import DECODERS
from hwnas.onnx_graphs.export import export_onnx
from hwnas.search_spaces.base import make_search_space
from hwnas.search_spaces.range_unet_covering import covering_networks
from tests.latency.backends.rtx import needs_rtx
from tests.onnx_graphs.covering_networks import CONTRACT, SPEC, network

torch.set_num_threads(1)
SCRIPT = Path(__file__).resolve().parents[3] / "scripts" / "build_rtx_engines"


def write_graph(path: Path, nodes: list[onnx.NodeProto], constants: dict[str, np.ndarray]) -> dict[str, Path]:
    """Write a graph from `image` [1, 16, 8, 16] to `score`."""
    inputs = [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 16, 8, 16])]
    outputs = [helper.make_tensor_value_info("score", TensorProto.FLOAT, [1, 16, 8, 16])]
    tensors = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    tensors.append(helper.make_tensor("zero", TensorProto.FLOAT8E4M3FN, [], [0.0]))
    graph = helper.make_graph(nodes, "g", inputs, outputs, tensors)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9), path)
    return {"fp32": path}


def test_covering_networks_hold_every_block_and_every_decoder() -> None:
    space = make_search_space("range-unet", CONTRACT, {})
    for num_stages in (2, 3, 5):
        genes = [dict(found.genes) for found in covering_networks(space, num_stages).values()]
        assert {found["decoder"] for found in genes} == set(DECODERS)
        held = {value for found in genes for gene, value in found.items() if gene.endswith("_block")}
        assert held == set(BLOCKS)
        assert {found["activation"] for found in genes} == {"relu", "hardswish"}


@needs_rtx
@pytest.mark.parametrize("decoder", ["concatenation", "transposed-convolution"])
def test_every_precision_builds_for_every_capability(tmp_path: Path, decoder: str) -> None:
    path = tmp_path / "model.onnx"
    export_onnx(network(decoder), SPEC, path, metadata={})
    rng = np.random.default_rng(0)
    images = [rng.normal(1.0, 3.0, (1, 5, 16, 64)).astype(np.float32) for _ in range(2)]
    files = write_precisions(path, [{"range_image": image} for image in images])
    assert sorted(files) == ["fp16", "fp32", "int8", "mixed"]
    assert len({file.read_bytes() for file in files.values()}) == 4
    builds = list(build_all(decoder, files))
    assert [(build.state, build.detail) for build in builds] == [(BUILT, "")] * 12
    assert {build.capability for build in builds} == {"SM86", "SM89", "SM120"} == set(CAPABILITIES)
    assert all(build.engine_bytes is not None and build.engine_bytes > 100_000 for build in builds)


@needs_rtx
def test_gpus_that_lack_a_type_are_told_from_those_that_have_it(tmp_path: Path) -> None:
    """Arithmetic in FP8 begins with compute capability 8.9."""
    names = {"image": "pixels", "weight": "kernel"}
    nodes = []
    for source, name in names.items():
        nodes += [
            helper.make_node("QuantizeLinear", [source, "scale", "zero"], [f"{name}8"], f"stem/{name}"),
            helper.make_node("DequantizeLinear", [f"{name}8", "scale", "zero"], [name], f"stem/{name}_2"),
        ]
    nodes.append(helper.make_node("Conv", ["pixels", "kernel"], ["score"], "stem/Conv", pads=[1] * 4))
    weight = np.random.default_rng(0).normal(size=(16, 16, 3, 3)).astype(np.float32)
    constants = {"weight": weight, "scale": np.float32(0.1)}
    builds = list(build_all("fp8", write_graph(tmp_path / "m.onnx", nodes, constants), ["SM86", "SM89"]))
    assert [build.state for build in builds] == [CANNOT_RUN_THERE, BUILT]
    assert "GPUs of SM86 cannot run it" in builds[0].detail
    assert "fp8" in builds[0].detail
    assert builds[0].engine_bytes is None


@needs_rtx
def test_gpus_that_it_does_not_build_for_are_named(tmp_path: Path) -> None:
    nodes = [helper.make_node("Relu", ["image"], ["score"], "stem/Relu")]
    builds = list(build_all("relu", write_graph(tmp_path / "m.onnx", nodes, {}), ["SM87", "SM90", "SM89"]))
    assert [build.state for build in builds] == [CANNOT_RUN_THERE, CANNOT_RUN_THERE, BUILT]
    assert "but not for 'SM87'" in builds[0].detail


@needs_rtx
@pytest.mark.parametrize(
    ("node", "reported"),
    [
        (
            helper.make_node(
                "ScatterElements",
                ["rectified", "index", "rectified"],
                ["score"],
                "head.pool/ScatterElements",
                reduction="max",
                axis=1,
            ),
            r"node 1 'head\.pool/ScatterElements' \(ScatterElements\) of module 'head\.pool'.*reduction",
        ),
        (
            helper.make_node(
                "DeformConv",
                ["rectified", "weight", "offset"],
                ["score"],
                "head.bent/DeformConv",
                pads=[1] * 4,
            ),
            r"node 1 'head\.bent/DeformConv' \(DeformConv\) of module 'head\.bent'",
        ),
    ],
)
def test_refused_nodes_are_named_with_their_modules(
    tmp_path: Path, node: onnx.NodeProto, reported: str
) -> None:
    constants = {
        "index": np.zeros((1, 16, 8, 16), np.int64),
        "weight": np.ones((16, 16, 3, 3), np.float32),
        "offset": np.zeros((1, 18, 8, 16), np.float32),
    }
    nodes = [helper.make_node("Relu", ["image"], ["rectified"], "stem/Relu"), node]
    (build,) = build_all("net", write_graph(tmp_path / "m.onnx", nodes, constants), ["SM89"])
    assert build.state == REFUSED
    assert re.search(reported, build.detail), build.detail


@needs_rtx
def test_a_file_that_is_no_model_fails(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"nothing")
    (build,) = build_all("net", {"fp32": tmp_path / "m.onnx"}, ["SM89"])
    assert (build.state, build.engine_bytes) == (FAILED, None)
    assert "no whole ONNX file" in build.detail


def test_built_is_told_from_runs_here() -> None:
    driver = open_driver_if_any()
    if driver is None:
        assert why_not_here("SM89") == "this machine has no NVIDIA GPU"
        return
    own = "SM" + driver.identity()["compute_capability"].replace(".", "")
    assert why_not_here(own) == ""
    assert own in why_not_here("SM75")


@needs_rtx
@pytest.mark.slow
def test_script_says_which_engines_it_built() -> None:
    command = [sys.executable, str(SCRIPT), "--json", "--capabilities", "SM120", "--stages", "2"]
    command += ["--height", "16", "--width", "64"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=500)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["all_built"]
    assert set(document["networks"]) == set(DECODERS)
    assert {(build["network"], build["precision"]) for build in document["builds"]} == {
        (name, precision) for name in DECODERS for precision in ("fp32", "fp16", "int8", "mixed")
    }
