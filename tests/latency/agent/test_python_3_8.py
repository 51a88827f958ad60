from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from hwnas.files import sha256_of_file
from hwnas.latency.transports.agent_archive import agent_archive, travelling_modules
from hwnas.testing.onnx_models import write_conv_model
from tests.latency.agent.python_3_8 import problems

PREPARED = Path(__file__).parents[3] / ".venv38" / "bin" / "python"
"""What `scripts/prepare_test_programs` leaves."""

TRAVELLING = travelling_modules()
# The network's own stages need numpy wherever they run; everything else imports it where it is used.
NEEDS_NUMPY = ("hwnas.data.", "hwnas.range_view.", "hwnas.bundle.runtime.", "hwnas.scan", "hwnas.arrays")
# Part of the reference backend, which imports it once torch is there.
NEEDS_TORCH = "hwnas.latency.backends.torch_operators"


@pytest.mark.parametrize("name", sorted(TRAVELLING))
def test_what_travels_is_python_3_8(name: str) -> None:
    needed = ["numpy"] * name.startswith(NEEDS_NUMPY) + ["torch"] * (name == NEEDS_TORCH)
    allowed = frozenset({"hwnas", *needed})
    assert problems(TRAVELLING[name].read_text(encoding="utf-8"), allowed) == []


def test_only_what_needs_numpy_imports_the_types_of_arrays() -> None:
    importing = {
        name
        for name, path in TRAVELLING.items()
        if "\nfrom hwnas.arrays import" in path.read_text(encoding="utf-8")
    }
    assert importing
    assert all(name.startswith(NEEDS_NUMPY) for name in importing)


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("match x:\n    case 1: pass", "atch"),
        ("with (open(a) as b, open(c) as d): pass", "arenthesized"),
        ("try: pass\nexcept* ValueError: pass", "xcept"),
        ("type X = int", "line 1"),
        ("def f[T](x: T): pass", "line 1"),
        ("@a[0].b\ndef f(): pass", "decorator"),
        ("import numpy", "imports numpy"),
        ("if True:\n    from torch import nn", "imports torch"),
        ("class A:\n    import onnx", "imports onnx"),
        ("import tomllib", "tomllib"),
        ("from functools import cache", "functools.cache"),
        ("import functools as f\n@f.cache\ndef g(): pass", "functools.cache"),
        ("from itertools import pairwise as p\np(x)", "itertools.pairwise"),
        ("'ab'.removeprefix('a')", "removeprefix"),
        ("zip(a, b, strict=True)", "strict"),
        ("from dataclasses import dataclass\n@dataclass(slots=True)\nclass A: pass", "slots"),
        ("x = dict[str, int]", r"dict\[...\]"),
        ("def f(x: list[int]): pass", r"list\[...\]"),
        ("from collections.abc import Callable\nX = Callable[[int], int]", "Callable"),
        ("X = int | None", "union"),
        ("x = {} | y", "merges"),
    ],
)
def test_what_is_newer_is_found(source: str, problem: str) -> None:
    found = problems(source, frozenset({"hwnas"}))
    assert found
    assert any(problem.replace("\\", "") in text for text in found), found


@pytest.mark.parametrize(
    "source",
    [
        "from __future__ import annotations\ndef f(x: list[int] | None) -> dict[str, int]: pass",
        "def f():\n    import numpy",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import torch",
        "if (n := len(a)) > 1: print(f'{n!r}')",
        "def f(a, /, b, *, c): pass",
        "flags = a | b",
        "from typing import Dict\nx: Dict[str, int] = {}",
    ],
)
def test_what_is_old_enough_is_let_through(source: str) -> None:
    assert problems(source, frozenset({"hwnas"})) == []


@pytest.fixture(scope="module")
def old_python() -> str:
    """A Python 3.8 with numpy and onnxruntime."""
    prepared = str(PREPARED) if PREPARED.is_file() else None
    for python in (os.environ.get("HWNAS_PYTHON38"), prepared, shutil.which("python3.8")):
        if python and _runs(python):
            return python
    pytest.skip("no Python 3.8 with numpy and onnxruntime: see scripts/prepare_test_programs")


def _runs(python: str) -> bool:
    code = "import sys, numpy, onnxruntime; assert sys.version_info[:2] == (3, 8)"
    return subprocess.run([python, "-c", code], capture_output=True, check=False).returncode == 0


def test_the_archive_measures_under_python_3_8(old_python: str, tmp_path: Path) -> None:
    model, archive = tmp_path / "model.onnx", tmp_path / "agent.pyz"
    spec = write_conv_model(model).to_json()
    archive.write_bytes(agent_archive().content)
    backend = "hwnas.latency.backends.onnxruntime:OnnxRuntimeCpu"
    requests = [
        {"operation": "lock", "wait_s": 0},
        {"operation": "set_up", "backend": backend, "threads": 1, "cores": []},
        {"operation": "load", "model": str(model), "io_spec": spec, "seed": 0},
        {"operation": "warm_up", "min_s": 0.01, "max_s": 0.2, "tolerance": 0.1},
        {"operation": "clock", "count": 5},
        {"operation": "state"},
    ]
    environment = {"PATH": os.environ["PATH"], "HWNAS_MEASURING_LOCK": str(tmp_path / "lock")}
    process = subprocess.Popen(
        [old_python, "-W", "error", str(archive), "1", "600"],
        cwd=tmp_path,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    replies = []
    with process:
        for request in requests:
            process.stdin.write(json.dumps(request).encode() + b"\n")
            process.stdin.flush()
            replies.append(json.loads(process.stdout.readline()))
    assert not [reply for reply in replies if "error" in reply]
    assert replies[1]["fingerprint"]["python"].startswith("3.8.")
    assert len(replies[4]["samples_ms"]) == 5


def test_every_module_of_the_archive_is_imported_by_python_3_8(old_python: str, tmp_path: Path) -> None:
    archive = tmp_path / "agent.pyz"
    archive.write_bytes(agent_archive().content)
    names = [name for name in TRAVELLING if not name.endswith("__main__") and name != NEEDS_TORCH]
    code = f"import sys, importlib; sys.path.insert(0, {str(archive)!r}); [importlib.import_module(n) for n in {names}]"
    done = subprocess.run(
        [old_python, "-W", "error", "-c", code], cwd=tmp_path, capture_output=True, check=False
    )
    assert done.stderr.decode() == ""


def test_files_are_kept_by_python_3_8(old_python: str, tmp_path: Path) -> None:
    model = tmp_path / "model.onnx"
    write_conv_model(model)
    store = TRAVELLING["hwnas.latency.agent.store"]
    arguments = ["models", sha256_of_file(model), "model.onnx", str(model.stat().st_size), str(1 << 30)]
    done = subprocess.run(
        [old_python, str(store), *arguments],
        env={"XDG_CACHE_HOME": str(tmp_path / "cache")},
        input=model.read_bytes(),
        capture_output=True,
        check=True,
    )
    asked, kept = (json.loads(line) for line in done.stdout.splitlines())
    assert asked == {"send": True}
    assert Path(kept["path"]).read_bytes() == model.read_bytes()
