from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from hwnas.errors import PluginError
from hwnas.latency.agent.inspection import code_for, inspect_machine
from hwnas.latency.doctor import checks
from hwnas.latency.doctor.checks import Diagnosis, diagnose, inspect_target, try_backend
from hwnas.latency.doctor.noise import measure_noise, noise_of
from hwnas.latency.doctor.tensorrt_support import lacks_capability, load_table, may_have_dla, release_of
from hwnas.latency.target import Target
from hwnas.latency.transports.local import LocalTransport
from hwnas.testing.onnx_models import write_conv_model, write_unknown_operator

ORIN: dict[str, Any] = {
    "machine": {"cpu_model": "ARMv8", "cpu_quota": None, "governor": None, "board": "NVIDIA Jetson AGX Orin"},
    "identity": {
        "l4t": "36.4.3",
        "power_mode": "MAXN (0)",
        "cpu_limits_mhz": {"policy0": [2201.6, 2201.6]},
        "device_limits_mhz": {"17000000.gpu": [1300.5, 1300.5]},
        "gpus": None,
    },
    "state": {"alarms": [], "temperatures_c": {"gpu-thermal": 45.0}, "gpus": None},
    "allowed_cores": list(range(12)),
    "load_average": 0.1,
    "memory_available_mb": 20_000.0,
    "disk_free_mb": 20_000.0,
    "is_virtual": False,
    "backends": {"tensorrt": {"versions": {"tensorrt": "10.3.0"}}, "torch": {"error": "no torch"}},
    "providers": ["CPUExecutionProvider"],
    "gpu": {"gpu": "Orin", "compute_capability": "8.7", "cuda_driver": "12.6"},
    "tensorrt": {"version": "10.3.0", "dla_cores": 2, "code_for": []},
    "rtx_capabilities": [],
}
TARGET = Target("ssh", "user@orin", "tensorrt")


def changed(**changes: Any) -> dict[str, Any]:
    """Return ORIN with values replaced; `identity__l4t` means `["identity"]["l4t"]`."""
    facts = copy.deepcopy(ORIN)
    for path, value in changes.items():
        *parents, last = path.split("__")
        place = facts
        for parent in parents:
            place = place[parent]
        place[last] = value
    return facts


def levels(diagnosis: Diagnosis) -> dict[str, str]:
    worst = {"ok": 0, "warn": 1, "problem": 2}
    found: dict[str, str] = {}
    for finding in diagnosis.findings:
        if worst[finding.level] >= worst[found.get(finding.check, "ok")]:
            found[finding.check] = finding.level
    return found


def test_a_board_in_order_has_no_complaint() -> None:
    diagnosis = diagnose(TARGET, ORIN, "", noise_of([5.0] * 100, 30.0))
    assert set(levels(diagnosis).values()) == {"ok"}, diagnosis.findings
    assert {"backend", "JetPack", "GPU", "DLA", "power mode", "clocks", "heat", "noise"} <= set(
        levels(diagnosis)
    )
    assert diagnosis.is_usable
    assert json.loads(json.dumps(diagnosis.to_json()))["is_usable"]


@pytest.mark.parametrize(
    ("changes", "check", "level", "text"),
    [
        ({"identity__l4t": "40.1.0"}, "JetPack", "warn", "not in the table"),
        ({"identity__l4t": "36.3.0"}, "JetPack", "problem", "8.6.2"),
        ({"tensorrt": None, "backends": {}}, "JetPack", "problem", "none is found"),
        ({"tensorrt__version": "10.16.2.10"}, "JetPack", "warn", "found is 10.16.2.10"),
        ({"tensorrt__code_for": ["8.6", "9.0"]}, "TensorRT code", "problem", "this GPU is 8.7"),
        ({"tensorrt__code_for": ["8.6", "8.7"]}, "TensorRT code", "ok", "holds code for 8.7"),
        ({"tensorrt__version": "10.13.3.9"}, "TensorRT code", "problem", "isaac-ros-cli#22"),
        ({"rtx_capabilities": ["SM86"]}, "TensorRT for RTX", "warn", "this GPU is 8.7"),
        ({"gpu": {"error": "no NVIDIA driver"}}, "GPU", "problem", "no NVIDIA driver"),
        ({"identity__power_mode": "15W (1)"}, "power mode", "warn", "not the fastest"),
        ({"identity__power_mode": None}, "power mode", "warn", "unknown"),
        (
            {"identity__device_limits_mhz": {"gpu": [306.0, 1300.5]}},
            "clocks",
            "warn",
            "clocks may change (gpu)",
        ),
        ({"state__alarms": ["oc1"]}, "heat", "problem", "oc1"),
        ({"state__temperatures_c": {"gpu": 91.0}}, "heat", "warn", "gpu 91 °C"),
        ({"load_average": 9.0}, "load", "warn", "other programs"),
        ({"machine__cpu_quota": "50000 100000"}, "processors", "warn", "0.5 processors"),
        ({"allowed_cores": []}, "processors", "problem", "only 0"),
        ({"is_virtual": True}, "virtual machine", "warn", "neighbours"),
        ({"disk_free_mb": 10.0}, "disk", "warn", "10 MiB"),
    ],
)
def test_each_trouble_is_found_with_advice(
    changes: dict[str, Any], check: str, level: str, text: str
) -> None:
    diagnosis = diagnose(TARGET, changed(**changes), "")
    finding = next(found for found in diagnosis.findings if found.check == check and found.level == level)
    assert text in finding.found
    assert bool(finding.advice) == (level != "ok")


def test_absent_dla_is_a_problem_only_if_asked_for() -> None:
    facts = changed(
        identity__l4t="39.2.1", tensorrt={"version": "10.16.2.10", "dla_cores": 0, "code_for": []}
    )
    assert levels(diagnose(TARGET, facts, ""))["DLA"] == "ok"
    wished = Target("ssh", "user@orin", "tensorrt", options=(("dla_core", "0"),))
    assert levels(diagnose(wished, facts, ""))["DLA"] == "problem"


def test_governor_and_persistence_of_a_desktop() -> None:
    gpus = [{"persistence_mode": False}]
    facts = changed(
        identity__l4t=None, machine__governor=["powersave"], identity__gpus=gpus, identity__power_mode=None
    )
    found = levels(diagnose(TARGET, facts, ""))
    assert found["clocks"] == found["persistence mode"] == "warn"
    assert not {"JetPack", "power mode", "DLA"} & set(found)


def test_refused_backend_makes_the_target_unusable() -> None:
    diagnosis = diagnose(TARGET, ORIN, "The backend 'tensorrt' needs its Python module")
    assert not diagnosis.is_usable
    assert diagnosis.findings[0].level == "problem"


@pytest.mark.parametrize(
    ("samples", "level"),
    [([5.0] * 100, "ok"), ([5.0] * 50 + [5.3] * 50, "warn"), ([5.0] * 50 + [6.0] * 50, "problem")],
)
def test_noise_is_assessed_by_how_windows_differ(samples: list[float], level: str) -> None:
    noise = noise_of(samples, 30.0)
    assert noise.drift == pytest.approx(max(samples) / min(samples) - 1)
    assert levels(diagnose(TARGET, ORIN, "", noise))["noise"] == level


def test_table_says_what_the_sources_say() -> None:
    assert release_of("36.4.3")["tensorrt"] == "10.3"
    assert release_of("38.4.0")["tensorrt"] == "10.13.3"
    assert release_of("39.2.1")["jetpack"] == "7.2.1"
    assert release_of("35.1") is None
    assert lacks_capability("tensorrt", "10.13.3.9", "8.7")
    assert not lacks_capability("tensorrt", "10.13.3.9", "11.0")
    assert not lacks_capability("tensorrt", "10.16.1.11", "8.7")
    assert lacks_capability("tensorrt-rtx", "1.7.1.116", "9.0")
    assert may_have_dla("10.3.0", "NVIDIA Jetson AGX Orin")
    assert may_have_dla("10.7.0.23", "NVIDIA Jetson Orin NX")
    assert not may_have_dla("10.13.3", "NVIDIA Jetson AGX Orin")
    assert may_have_dla("11.4.1.5", "NVIDIA Jetson AGX Orin")
    assert not may_have_dla("11.4.1.5", "NVIDIA Jetson AGX Thor")
    assert not may_have_dla("11.3.0", "NVIDIA Jetson AGX Orin")
    assert all(
        row["source"] for rows in ("releases", "compute_capabilities", "dla") for row in load_table()[rows]
    )


def test_code_of_split_libraries(tmp_path: Path) -> None:
    for name in (
        "libnvinfer_builder_resource_sm87.so.10.16.2",
        "libnvinfer_builder_resource_sm120.so.10",
        "x.so",
    ):
        (tmp_path / name).touch()
    assert code_for(str(tmp_path)) == ["8.7", "12.0"]
    assert code_for("") == code_for(str(tmp_path / "none")) == []


def test_this_machine_is_told_as_it_is() -> None:
    facts = inspect_machine(
        {"onnxruntime-cpu": "hwnas.latency.backends.onnxruntime:OnnxRuntimeCpu", "no": "a:B"}
    )
    json.dumps(facts, allow_nan=False)
    assert facts["backends"]["onnxruntime-cpu"]["versions"]["onnxruntime"]
    assert "cannot be imported" in facts["backends"]["no"]["error"]
    assert "CPUExecutionProvider" in facts["providers"]
    assert facts["memory_available_mb"] > 0


def test_local_target_from_inspection_to_noise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HWNAS_MEASURING_LOCK", str(tmp_path / "lock"))
    io_spec = write_conv_model(tmp_path / "model.onnx")
    target, transport = Target.parse("local"), LocalTransport(1)
    facts = inspect_target(transport)
    assert {"onnxruntime", "tensorrt", "trtexec", "torch"} <= set(facts["backends"])
    assert try_backend(transport, target, tmp_path / "model.onnx", io_spec) == ""
    noise = measure_noise(transport, target, tmp_path / "model.onnx", io_spec, 0.2)
    assert noise.seconds >= 0.2
    assert len(noise.windows_ms) == 10
    assert diagnose(target, facts, "", noise).is_usable


def test_backend_that_cannot_be_set_up_is_said(tmp_path: Path) -> None:
    io_spec = write_conv_model(tmp_path / "model.onnx")
    target = Target("local", backend="trtexec", options=(("program", "/none"),))
    reason = try_backend(LocalTransport(1), target, tmp_path / "model.onnx", io_spec)
    assert "trtexec is not here" in reason


def test_backend_that_fails_only_when_it_loads_is_said(tmp_path: Path) -> None:
    write_unknown_operator(tmp_path / "odd.onnx")
    io_spec = write_conv_model(tmp_path / "model.onnx")
    reason = try_backend(LocalTransport(1), Target("local"), tmp_path / "odd.onnx", io_spec)
    assert "refuses the model" in reason


def test_a_broken_backend_of_others_is_said_and_hides_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HWNAS_MEASURING_LOCK", str(tmp_path / "lock"))
    sound = checks.backend_class

    def backend_class(name: str) -> Any:
        if name == "trtexec":
            raise PluginError(
                "Plug-in 'trtexec' of hwnas.backends: `run` must be a method, but there is none."
            )
        return sound(name)

    monkeypatch.setattr(checks, "backend_class", backend_class)
    facts = inspect_target(LocalTransport(1))
    assert "versions" in facts["backends"]["onnxruntime-cpu"]
    found = [each for each in diagnose(Target.parse("local"), facts, "").findings if each.level == "warn"]
    assert [each.found for each in found if each.check == "backends"] == [
        facts["backends"]["trtexec"]["error"]
    ]
    assert diagnose(Target.parse("local"), facts, "").is_usable
