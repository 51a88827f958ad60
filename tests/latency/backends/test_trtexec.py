from __future__ import annotations

import json
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from hwnas.errors import MeasurementError
from hwnas.latency.backends.errors import AgentError
from hwnas.latency.backends.onnx_file import OnnxOutline
from hwnas.latency.backends.trtexec import Trtexec, find_program
from hwnas.latency.backends.trtexec_flags import (
    build_flags,
    named_files,
    parse_version,
    read_times,
    run_flags,
    weak_typing_flags,
)
from hwnas.latency.transports.local import LocalTransport
from hwnas.testing.backend_suite import BackendSuite
from hwnas.testing.onnx_models import write_conv_relu

FAKE = Path(__file__).with_name("fake_trtexec.py")
SETTINGS = {"device": 0, "dla_core": -1, "optimization_level": 3, "workspace_mb": 0, "tf32": True}


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Path of a program that stands in for trtexec and writes its calls to `calls.jsonl`."""
    path = tmp_path / "trtexec"
    path.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{FAKE}" "$@"\n')
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("FAKE_TRTEXEC_LOG", str(tmp_path / "calls.jsonl"))
    monkeypatch.setenv("HWNAS_ENGINE_CACHE", str(tmp_path / "engines"))
    return str(path)


@pytest.fixture
def calls(tmp_path: Path) -> Callable[[], list[list[str]]]:
    return lambda: [json.loads(line) for line in (tmp_path / "calls.jsonl").read_text().splitlines()]


class TestLogicOfTrtexec(BackendSuite):
    open_options: ClassVar[dict[str, str]] = {}

    @pytest.fixture
    def backend_class(self, program: str) -> type:
        self.open_options["program"] = program
        return Trtexec


@pytest.mark.gpu
class TestTrtexec(BackendSuite):
    tolerance = 5e-3  # TF32

    @pytest.fixture
    def backend_class(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> type:
        try:
            find_program("")
        except AgentError as error:
            pytest.skip(str(error))
        monkeypatch.setenv("HWNAS_ENGINE_CACHE", str(tmp_path / "engines"))
        return Trtexec


@pytest.mark.parametrize(
    ("banner", "version"),
    [
        ("&&&& RUNNING TensorRT.trtexec [TensorRT v101602] [b10] # trtexec --help", (10, 16, 2, 10)),
        ("&&&& RUNNING TensorRT.trtexec [TensorRT v100300]", (10, 3, 0)),
        ("&&&& RUNNING TensorRT.trtexec [TensorRT v110300] [b99]\n[I] ...", (11, 3, 0, 99)),
        ("&&&& RUNNING TensorRT.trtexec [TensorRT v11.1.0.106] [b48] #", (11, 1, 0, 106)),
    ],
)
def test_version_of_the_banner(banner: str, version: tuple[int, ...]) -> None:
    assert parse_version(banner) == version


@pytest.mark.parametrize(
    ("banner", "reason"),
    [
        ("&&&& RUNNING TensorRT.trtexec [TensorRT v8602]", "TensorRT 10 or 11 is needed"),
        ("trtexec: not found", "must begin with"),
        ("&&&& RUNNING TensorRT.trtexec [TensorRT v120000]", "pinned for the major versions"),
    ],
)
def test_versions_without_pinned_flags_are_refused(banner: str, reason: str) -> None:
    with pytest.raises(AgentError, match=reason):
        parse_version(banner)


def test_defaults_that_changed_are_pinned_for_each_major_version() -> None:
    old = run_flags((10, 3, 0), SETTINGS, iterations=5, warmup_ms=200)
    new = run_flags((11, 1, 0), SETTINGS, iterations=5, warmup_ms=200)
    assert old == ["--iterations=5", "--duration=0", "--warmUp=200", "--device=0", "--noDataTransfers"]
    assert new[:4] == old[:4]
    assert new[4:] == ["--noCudaGraph", "--noSpinWait"]


def test_build_flags_hold_no_precision() -> None:
    flags = build_flags((10, 3, 0), {**SETTINGS, "tf32": False, "workspace_mb": 64, "dla_core": 1})
    assert "--stronglyTyped" in flags
    assert {"--noTF32", "--memPoolSize=workspace:64M", "--useDLACore=1", "--allowGPUFallback"} <= set(flags)
    assert not {"--fp16", "--int8", "--best"} & set(flags)
    assert "--stronglyTyped" not in build_flags((11, 0, 0), SETTINGS)


def test_weak_typing_follows_the_types_of_the_file() -> None:
    outline = OnnxOutline((), (), ("Conv", "QuantizeLinear"), ("float16",), ())
    assert weak_typing_flags(["--stronglyTyped", "--device=0"], outline) == ["--device=0", "--fp16", "--int8"]


# The form that the sources of trtexec 10.x state for `--exportTimes`; the first query is of the warm-up.
TIMES = """[
  { "startEnqMs" : 0.02, "endEnqMs" : 0.1, "startH2dMs" : 0.02, "endH2dMs" : 0.02, "startComputeMs" : 0.05
  , "endComputeMs" : 9.2, "startD2hMs" : 9.2, "endD2hMs" : 9.2, "h2dMs" : 0, "computeMs" : 9.15, "d2hMs" : 0
  , "latencyMs" : 9.15 }
, { "startEnqMs" : 501.02, "endEnqMs" : 501.1, "startH2dMs" : 501.02, "endH2dMs" : 501.02
  , "startComputeMs" : 501.5, "endComputeMs" : 503.25, "startD2hMs" : 503.25, "endD2hMs" : 503.25, "h2dMs" : 0
  , "computeMs" : 1.75, "d2hMs" : 0, "latencyMs" : 1.75 }
]"""


def test_exported_times_without_warm_up() -> None:
    assert read_times(TIMES, 500, "times.json") == [1.75]
    assert read_times(TIMES, 0, "times.json") == [9.15, 1.75]


@pytest.mark.parametrize("content", ["", "[1]", "{}x", '[{"latencyMs": 1}]', TIMES.replace("1.75 }", "-1 }")])
def test_other_contents_are_refused(content: str) -> None:
    with pytest.raises(AgentError, match=r"times\.json.*Run it again"):
        read_times(content, 0, "times.json")


@pytest.mark.parametrize("name", ["a,b", "a:b", "a b", "", "a'b", "ä"])
def test_names_that_could_be_misread_are_refused(name: str) -> None:
    with pytest.raises(AgentError, match="rename it"):
        named_files("--loadInputs", {name: "/tmp/x"})


def test_every_flag_is_known_to_its_version(
    program: str, calls: Callable[[], list[list[str]]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_conv_relu(tmp_path / "model.onnx")
    for banner in ("[TensorRT v100300] [b26]", "[TensorRT v110401] [b5]"):
        monkeypatch.setenv("FAKE_TRTEXEC_BANNER", banner)
        backend = Trtexec(1, program=program, tf32="off", dla_core="0", workspace_mb="10")
        backend.load(str(tmp_path / "model.onnx"))
        backend.bind({"image": np.zeros((1, 3, 8, 16), np.float32)})
        samples_ms = backend.clock(7)
        assert len(samples_ms) == 7
        assert min(samples_ms) > 0
    assert sum("--skipInference" in call for call in calls()) == 2, "each version builds its own engine"


def test_engine_is_built_once(program: str, calls: Callable[[], list[list[str]]], tmp_path: Path) -> None:
    write_conv_relu(tmp_path / "model.onnx")
    for build in ("0", "0", "1"):
        backend = Trtexec(1, program=program, build=build)
        backend.load(str(tmp_path / "model.onnx"))
    builds = [call for call in calls() if "--skipInference" in call]
    assert len(builds) == 2
    assert ["--timingCacheFile" in " ".join(call) for call in builds] == [True, False]
    assert backend.engine_bytes() == (tmp_path / "model.onnx").stat().st_size
    assert backend.build_record()["typing"] == "strong"


def test_old_versions_fall_back_to_weak_typing(
    program: str, calls: Callable[[], list[list[str]]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_TRTEXEC_FAULT", "no strong typing")
    nodes = [helper.make_node("Add", ["x", "w"], ["y"])]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT16, [2]) for name in "xy"]
    weight = helper.make_tensor("w", TensorProto.FLOAT16, [2], np.ones(2, np.float16).tobytes(), raw=True)
    graph = helper.make_graph(nodes, "g", values[:1], values[1:], [weight])
    opset = helper.make_opsetid("", 20)
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=9), tmp_path / "m.onnx")
    with pytest.raises(AgentError, match="strong typing does not cover"):
        Trtexec(1, program=program).load(str(tmp_path / "m.onnx"))
    monkeypatch.setenv("FAKE_TRTEXEC_BANNER", "[TensorRT v100300] [b26]")
    backend = Trtexec(1, program=program)
    backend.load(str(tmp_path / "m.onnx"))
    assert backend.build_record()["typing"] == "weak"
    assert "--fp16" in calls()[-1]


def test_hanging_program_is_ended(program: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_conv_relu(tmp_path / "model.onnx")
    backend = Trtexec(1, program=program, timeout_s="1")
    monkeypatch.setenv("FAKE_TRTEXEC_FAULT", "hang")
    with pytest.raises(AgentError, match="did not end within 1 s"):
        backend.load(str(tmp_path / "model.onnx"))


def test_missing_program_is_said() -> None:
    with pytest.raises(AgentError, match="libnvinfer-bin"):
        Trtexec(1, program="/no/such/trtexec")


def test_agent_uses_its_clock_and_refuses_other_clocks(program: str, tmp_path: Path) -> None:
    io_spec = write_conv_relu(tmp_path / "model.onnx").to_json()
    model = {"model": str(tmp_path / "model.onnx"), "io_spec": io_spec, "seed": 0}
    agent = LocalTransport(1).start_agent()
    try:
        backend = "hwnas.latency.backends.trtexec:Trtexec"
        settings = {"backend": backend, "threads": 1, "cores": [], "options": {"program": program}}
        fingerprint = agent.request("set_up", timeout_s=60, **settings)["fingerprint"]
        agent.request("load", timeout_s=60, **model)
        warmup = agent.request("warm_up", timeout_s=60, min_s=0, max_s=0, tolerance=0.1)
        samples_ms = agent.request("clock", timeout_s=60, count=3)["samples_ms"]
        with pytest.raises(MeasurementError, match="clocks itself"):
            agent.request("resources", timeout_s=60, **model, idle_s=0, busy_s=0)
    finally:
        agent.close()
    assert fingerprint["backend_versions"]["trtexec"] == "10.13.3.9"
    assert fingerprint["backend_settings"]["clock"] == "GPU events"
    assert warmup["median_ms"] > 0
    assert len(samples_ms) == 3
