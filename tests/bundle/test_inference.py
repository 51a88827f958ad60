"""Files through bundles whose processor is not that of LiDARs, from Python and from the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from typer.testing import CliRunner

import hwnas
from hwnas.bundle.inference.results import InferenceStatus
from hwnas.bundle.runtime.arrays import ArraysProcessor
from hwnas.cli.main import make_app
from hwnas.files import sha256_of_file
from tests.bundle.made_up_bundle import change, write_bundle


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A bundle whose network returns the first three channels of its image."""
    path = write_bundle(tmp_path / "bundle")
    shapes = {"image": [1, 5, 16, 256], "logits": [1, 3, 16, 256]}
    image, logits = (
        helper.make_tensor_value_info(n, TensorProto.FLOAT, shape) for n, shape in shapes.items()
    )
    ends = {"starts": [0], "ends": [3], "axes": [1]}
    constants = [numpy_helper.from_array(np.array(value, np.int64), name) for name, value in ends.items()]
    nodes = [helper.make_node("Slice", ["image", *ends], ["logits"])]
    graph = helper.make_graph(nodes, "first channels", [image], [logits], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.save(model, path / "model.onnx")
    file = path / "model.onnx"

    def state(content: dict[str, Any]) -> None:
        content["files"]["model.onnx"] = {"sha256": sha256_of_file(file), "bytes": file.stat().st_size}
        content["task"] = {"name": "made up", "words": {"sample": "cube"}}

    change(path, state)
    return path


@pytest.fixture
def cubes(tmp_path: Path) -> Path:
    """Two files that are cubes, and one that is none."""
    directory = tmp_path / "cubes"
    (directory / "deep").mkdir(parents=True)
    for number, name in enumerate(("a.npz", "deep/b.npz")):
        np.savez(directory / name, image=np.full((1, 5, 16, 256), number, np.float32))
    (directory / "c.npz").write_bytes(b"no cube")
    return directory


def test_every_file_is_run_and_what_cannot_be_is_named(bundle: Path, cubes: Path, tmp_path: Path) -> None:
    reported: list[InferenceStatus] = []
    out = tmp_path / "out"
    found = hwnas.Bundle(bundle).infer(cubes, out, progress=reported.append)
    assert [(status.number, status.wanted, status.sample) for status in reported] == [
        (number, 3, "cube") for number in (1, 2, 3)
    ]
    assert (found.sample, found.ids) == ("cube", None)
    assert [file.path.name for file in found.files] == ["a.npz", "b.npz"]
    assert [file.result for file in found.files] == [out / "a.npz", out / "deep" / "b.npz"]
    assert all(file.run_ms > 0 for file in found.files)
    assert (np.load(found.files[1].result)["logits"] == 1).all()
    assert [problem.path for problem in found.problems] == [cubes / "c.npz"]
    assert "c.npz" in found.problems[0].message
    with pytest.raises(hwnas.ConfigError, match="exists already"):
        hwnas.Bundle(bundle).infer(cubes, out)
    assert len(hwnas.Bundle(bundle).infer([cubes / "a.npz"], out, force=True).files) == 1
    (out / "deep" / "b.npz").write_bytes(b"notes of mine")
    with pytest.raises(hwnas.ConfigError, match=r"b\.npz.*would become a result"):
        hwnas.Bundle(bundle).infer(cubes, out, force=True)
    with (out / ".hwnas-infer.jsonl").open("a") as record:
        record.write('{"file": "torn')
    assert len(hwnas.Bundle(bundle).infer([cubes / "a.npz"], out, force=True).files) == 1
    with pytest.raises(hwnas.ConfigError, match="`columns=` are for LiDAR bundles"):
        hwnas.Bundle(bundle).infer(cubes, tmp_path / "other", columns="x,y")
    assert not (tmp_path / "other").exists()


def test_what_a_processor_finds_on_the_way_is_among_the_warnings(
    bundle: Path, cubes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def warnings_of(_self: object, result: dict[str, np.ndarray]) -> tuple[str, ...]:
        return (f"The first value is {result['logits'].flat[0]:g}.",)

    monkeypatch.setattr(ArraysProcessor, "warnings_of", warnings_of, raising=False)
    found = hwnas.Bundle(bundle).infer([cubes / "deep" / "b.npz"], tmp_path / "out")
    assert found.files[0].warnings == ("The first value is 1.",)


@pytest.mark.parametrize("damage", [b'{"file": "torn', b"\xff\xfe\n", b"[1]\n", b"\0" * 100])
def test_results_written_after_a_kill_are_known_again(
    bundle: Path, cubes: Path, tmp_path: Path, damage: bytes
) -> None:
    (cubes / "c.npz").unlink()
    out = tmp_path / "out"
    hwnas.Bundle(bundle).infer([cubes / "a.npz"], out)
    with (out / ".hwnas-infer.jsonl").open("ab") as record:
        record.write(damage)
    hwnas.Bundle(bundle).infer([cubes / "deep" / "b.npz"], out)
    found = hwnas.Bundle(bundle).infer([cubes / "deep" / "b.npz"], out, force=True)
    assert [file.result.name for file in found.files] == ["b.npz"]
    assert len(hwnas.Bundle(bundle).infer([cubes / "a.npz"], out, force=True).files) == 1


def test_the_command_prints_the_same(bundle: Path, cubes: Path, tmp_path: Path) -> None:
    found = hwnas.Bundle(bundle).infer(cubes, tmp_path / "out").to_json()
    arguments = ["infer", str(bundle), str(cubes), "-o", str(tmp_path / "out"), "--force"]
    done = CliRunner().invoke(make_app(), [*arguments, "--json"])
    assert isinstance(done.exception, hwnas.DataError)
    assert "1 of 3 cubes could not be used" in str(done.exception)
    printed = json.loads(done.stdout)
    for reported in (found, printed):
        assert all(entry.pop("run_ms") > 0 for entry in reported["files"])
    assert printed == found
    shown = CliRunner().invoke(make_app(), arguments)
    assert "a.npz  in " in shown.stdout
