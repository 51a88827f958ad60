import os
import subprocess
import sys
from pathlib import Path

import onnx
import pytest
import torch

from hwnas.files import sha256_of_file
from hwnas.models.blocks import BLOCKS
from hwnas.models.decoders import DECODERS
from hwnas.onnx_graphs.export import export_onnx
from hwnas.onnx_graphs.naming import module_of
from tests.onnx_graphs.covering_networks import SPEC, choices, network

torch.set_num_threads(1)

REPOSITORY = Path(__file__).parents[2]
SCRIPT = """
import torch
from pathlib import Path
torch.set_num_threads(1)
from tests.onnx_graphs.covering_networks import write_all
write_all(Path.cwd())
"""


@pytest.fixture(scope="module")
def directories(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Every covering network, exported by two processes in two directories with two hash seeds."""
    written = []
    for seed, name in (("1", "one"), ("4242", "a directory with another name")):
        directory = tmp_path_factory.mktemp("exports") / name
        directory.mkdir()
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "PYTHONHASHSEED": seed}
        subprocess.run([sys.executable, "-c", SCRIPT], cwd=directory, env=environment, check=True)
        written.append(directory)
    return written


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(DECODERS))
def test_same_weights_give_the_same_bytes(directories: list[Path], name: str) -> None:
    one, other = (sha256_of_file(directory / f"{name}.onnx") for directory in directories)
    assert one == other


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(DECODERS))
def test_nodes_are_named_after_modules_and_tell_no_paths(directories: list[Path], name: str) -> None:
    path = directories[0] / f"{name}.onnx"
    modules = dict(network(name).named_modules())
    nodes = onnx.load(path).graph.node
    assert len({node.name for node in nodes}) == len(nodes)
    assert {module_of(node.name) for node in nodes} <= {*modules, "network"}
    assert any(module_of(node.name).startswith("decoder") for node in nodes)
    content = path.read_bytes()
    for text in (b"stack_trace", b".py", str(path.parent).encode(), str(REPOSITORY).encode()):
        assert text not in content


def test_networks_cover_all_blocks_and_decoders() -> None:
    genes = [choices(name) for name in DECODERS]
    assert {gene[f"stage{stage}_block"] for gene in genes for stage in (1, 2)} == set(BLOCKS)
    assert {gene["decoder"] for gene in genes} == set(DECODERS)


def test_simplifying_removes_what_has_no_effect(tmp_path: Path) -> None:
    class Wasteful(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = torch.nn.Conv2d(5, 3, 1)

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return self.conv(image.transpose(2, 3).transpose(2, 3).reshape(1, 5, 16, 64))

    export_onnx(Wasteful(), SPEC, tmp_path / "model.onnx", metadata={})
    assert [node.op_type for node in onnx.load(tmp_path / "model.onnx").graph.node] == ["Conv"]
