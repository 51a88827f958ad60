"""The suites that ship with hwnas serve a distribution in another repository."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import hwnas
from hwnas import testing

PLUGIN = """
from collections.abc import Mapping, Sequence

import numpy as np
from torch import nn

from hwnas.architecture import Architecture
from hwnas.errors import ArchitectureError
from hwnas.search_spaces.base import BlockSignature, check_genes, restrict_choices


class Space:
    name = "one-gene"

    def __init__(self, contract, restrictions):
        self.contract = contract
        self.choices = restrict_choices({"width": (4, 8, 12)}, restrictions)

    def decode(self, choices):
        check_genes(choices, self.choices)
        shape = (self.contract.in_channels, self.contract.height, self.contract.widths[0])
        return Architecture(self.name, dict(choices), shape, self.contract.outputs)

    def check(self, architecture):
        if architecture.space != self.name or self.decode(architecture.genes) != architecture:
            raise ArchitectureError("Expected an architecture of this space.")

    def encode(self, architecture):
        self.check(architecture)
        return np.array([ENCODED], np.float32)

    def build(self, architecture):
        self.check(architecture)
        width = architecture.genes["width"]
        return nn.Sequential(
            nn.Conv2d(self.contract.in_channels, width, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, self.contract.outputs[0].channels, 1),
        )

    def blocks(self, architecture):
        self.check(architecture)
        channels, height, width = architecture.input_shape
        inner = (architecture.genes["width"], height, width)
        return [
            BlockSignature("body", (architecture.input_shape,), inner),
            BlockSignature("head", (inner,), (self.contract.outputs[0].channels, height, width)),
        ]


def make(contract, restrictions):
    return Space(contract, restrictions)
"""

FIVE_LINES = """\
from hwnas.testing import SearchSpaceSuite


class TestOneGene(SearchSpaceSuite):
    name = "one-gene"
"""


def run_five_lines(repository: Path, encoded: str) -> subprocess.CompletedProcess[str]:
    """Run pytest in a repository of its own, with the plug-in installed beside hwnas."""
    site = repository / "site"
    info = site / "one_gene-0.3.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: one-gene\nVersion: 0.3\n")
    (info / "entry_points.txt").write_text("[hwnas.search_spaces]\none-gene = one_gene:make\n")
    (site / "one_gene.py").write_text(PLUGIN.replace("ENCODED", encoded))
    (repository / "test_one_gene.py").write_text(FIVE_LINES)
    path = os.pathsep.join([str(site), str(Path(hwnas.__file__).parents[1])])
    options = ["-q", "-p", "no:cacheprovider", "--rootdir", str(repository)]
    return subprocess.run(
        [sys.executable, "-m", "pytest", *options, "test_one_gene.py"],
        cwd=repository,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )


def test_five_lines_join_a_plugin_of_another_repository(tmp_path: Path) -> None:
    done = run_five_lines(tmp_path, 'architecture.genes["width"]')
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout
    assert len(FIVE_LINES.splitlines()) == 5
    # The five lines in the documentation are these, under another name.
    documented = (
        FIVE_LINES.replace("OneGene", "MySpace").replace("one-gene", "my-space").replace("\n\n\n", "\n\n")
    )
    assert documented in str(testing.__doc__)


def test_a_plugin_that_breaks_the_contract_fails_them(tmp_path: Path) -> None:
    done = run_five_lines(tmp_path, "1.0")
    assert done.returncode == 1, done.stdout
    assert "test_encoding_tells_architectures_apart" in done.stdout


def test_hwnas_needs_no_pytest() -> None:
    code = (
        "import sys, hwnas.testing, hwnas.testing.tiny, hwnas.search.plugin_checks, hwnas.cli.main; "
        "assert 'pytest' not in sys.modules and 'psutil' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_suite_is_offered() -> None:
    assert len(testing.__all__) > 5
    for name in testing.__all__:
        assert getattr(testing, name).__name__ == name
