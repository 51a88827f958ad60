"""Nothing that hwnas runs tells anybody about it: no look-up, no connection, no identifier on the disk."""

from __future__ import annotations

import ast
import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest

import hwnas
from hwnas.bundle.export import export_bundle
from hwnas.bundle.trained_member import TrainedMember
from hwnas.onnxruntime_loading import VARIABLE, load_onnxruntime
from tests.bundle.small_lidar import FixedMeter, SmallSpace, SmallTask, make_scan, write_run
from tests.tracing import Traced

PACKAGE = Path(hwnas.__file__).parent


def test_onnxruntime_is_imported_in_one_place() -> None:
    found = []
    for path in PACKAGE.rglob("*.py"):
        source = path.read_text()
        for node in ast.walk(ast.parse(source)) if "onnxruntime" in source else ():
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module or ""]
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") in {
                "import_module",
                "__import__",
            }:
                names = [str(getattr(argument, "value", "")) for argument in node.args]
            found += [path.name for name in names if name.partition(".")[0] == "onnxruntime"]
    assert found == []


def test_the_environment_is_as_before_and_a_decision_of_the_user_stays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = []
    monkeypatch.setattr("importlib.import_module", lambda name: seen.append((name, os.environ.get(VARIABLE))))
    monkeypatch.delenv(VARIABLE, raising=False)
    load_onnxruntime()
    assert VARIABLE not in os.environ
    monkeypatch.setenv(VARIABLE, "0")
    load_onnxruntime("onnxruntime.quantization")
    assert os.environ[VARIABLE] == "0"
    assert seen == [("onnxruntime", "1"), ("onnxruntime.quantization", "0")]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = write_run(tmp_path_factory.mktemp("telemetry") / "run", widths=(8,))
    member = TrainedMember.from_json(json.loads((run / "trained.json").read_text())["members"][0], run)
    task = SmallTask({})
    return export_bundle(task, SmallSpace(task.contract, {}), member, run / "b", meter=FixedMeter())


def test_infer_and_bench_ask_nobody_and_write_nothing_elsewhere(bundle: Path, tmp_path: Path) -> None:
    points, intensity, _ = make_scan(1)
    scan = tmp_path / "scan.bin"
    scan.write_bytes(np.column_stack([points, intensity]).astype("<f4").tobytes())
    for arguments in (
        ["infer", str(bundle), str(scan), "-o", "labels"],
        ["bench", str(bundle), "--quick"],
    ):
        traced = Traced([sys.executable, "-m", "hwnas", *arguments], tmp_path / arguments[0])
        assert traced.done.returncode == 0, traced.done.stderr
        assert traced.network() == []
        assert traced.written_elsewhere() == []
        assert [path for path in traced.home.rglob("*") if "icrosoft" in str(path)] == []
        assert list(traced.home.iterdir()) == []


def test_a_program_that_uses_the_package_keeps_its_environment(bundle: Path, tmp_path: Path) -> None:
    program = (
        "import os, sys, time; from hwnas.bundle.runtime import Runner; Runner(sys.argv[1]); time.sleep(1); "
        f"print(os.environ.get({VARIABLE!r}))"
    )
    traced = Traced([sys.executable, "-c", program, str(bundle)], tmp_path)
    assert traced.done.stdout == "None\n", traced.done.stderr
    assert traced.network() == []
    assert list(traced.home.iterdir()) == []


def test_what_onnxruntime_would_do_otherwise_is_noticed(bundle: Path, tmp_path: Path) -> None:
    """Where a user has decided for telemetry, this test sees it: so it would see it everywhere."""
    import onnxruntime

    program = "import sys; from hwnas.bundle.runtime import Runner; Runner(sys.argv[1])"
    traced = Traced([sys.executable, "-c", program, str(bundle)], tmp_path, **{VARIABLE: "0"})
    has_telemetry = tuple(int(part) for part in onnxruntime.__version__.split(".")[:2]) >= (1, 29)
    assert bool(list(traced.home.iterdir())) is has_telemetry
