"""What `inspect` knows and does not know of the work in a graph, and says."""

from __future__ import annotations

import json
from pathlib import Path

import onnx
from onnx import helper
from typer.testing import CliRunner

from hwnas.cli.main import make_app
from hwnas.onnx_graphs.counting.operators import CONTROL_FLOW, COUNTED, FREE, UNCOUNTABLE
from tests.onnx_graphs.made_up_graphs import number, report_of, value, weight


def test_every_operator_of_onnx_is_decided_on() -> None:
    domains = {"", "ai.onnx.ml", "ai.onnx.preview", "ai.onnx.preview.training"}
    known = {*COUNTED, *FREE, *UNCOUNTABLE, *CONTROL_FLOW}
    defined = {
        f"{schema.domain}.{schema.name}" if schema.domain else schema.name
        for schema in onnx.defs.get_all_schemas()
        if schema.domain in domains
    }
    assert defined <= known
    assert len(COUNTED) + len(FREE) + len(UNCOUNTABLE) + len(CONTROL_FLOW) == len(known)


def test_what_is_computed_once_is_no_work(tmp_path: Path) -> None:
    nodes = [helper.make_node("MatMul", ["a", "b"], ["w"]), helper.make_node("MatMul", ["x", "w"], ["y"])]
    report = report_of(tmp_path, nodes, [value("x", [3, 5])], [weight("a", 5, 2), weight("b", 2, 7)])
    assert (report.macs, report.parameters) == (105, 24)


def test_what_nobody_knows_is_said(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"]),
        helper.make_node("Levitate", ["a"], ["b"], domain="nowhere"),
        helper.make_node("MatMul", ["b", "b"], ["y"]),
    ]
    report = report_of(tmp_path, nodes, [value("x", [3, 5])], [weight("w", 5, 7)])
    assert (report.macs, report.known_macs) == (None, 105)
    assert report.unknown == {"MatMul": 1, "nowhere.Levitate": 1}
    assert report.unknown_text == "2 layers (MatMul 1, nowhere.Levitate 1)"
    assert report.to_json()["macs"] is None
    fourier = helper.make_node("STFT", ["x", "step", "", "n"], ["y"])
    found = report_of(tmp_path, [fourier], [value("x", [1, 64, 1])], [number("step", 8), number("n", 16)])
    assert found.unknown == {"STFT": 1}


def test_the_command_takes_inputs_and_says_what_is_unknown(tmp_path: Path) -> None:
    node = helper.make_node("MatMul", ["x", "w"], ["y"], name="product")
    report_of(tmp_path, [node], [value("x", ["n", "rows", 5])], [weight("w", 5, 7)])

    def lines(*arguments: str) -> str:
        result = CliRunner().invoke(make_app(), ["inspect", str(tmp_path / "m.onnx"), *arguments])
        assert result.exit_code == 0, result.output
        return result.output

    assert "1 layer, MACs unknown, 35 parameters" in lines()
    assert "unknown: 1 layer (MatMul 1)" in lines()
    assert "unknown MACs" in lines("--layers")
    assert "1 layer, 210 MACs, 35 parameters" in lines("--input", "x=2x3x5")
    document = json.loads(lines("--json", "--input", "x=2x3x5"))
    assert (document["macs"], document["unknown"], document["inputs"][0]["shape"]) == (210, {}, [2, 3, 5])


def test_what_keeps_onnx_busy_for_ever_is_not_asked_of_it(tmp_path: Path) -> None:
    node = helper.make_node("Einsum", ["a", "b"], ["y"], equation="bij,\u0115bjk->bik")
    report = report_of(tmp_path, [node], [value("a", [5, 2, 3]), value("b", [5, 3, 4])])
    assert report.unknown == {"Einsum": 1}
    endless = helper.make_node("Range", ["zero", "end", "one"], ["y"])
    numbers = [number("zero", 0), number("end", 1 << 60), number("one", 1)]
    assert report_of(tmp_path, [endless], [], numbers).macs == 0
