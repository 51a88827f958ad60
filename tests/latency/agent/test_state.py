from __future__ import annotations

import json
from pathlib import Path

from hwnas.latency.agent.nvml import Nvml
from hwnas.latency.agent.power_rails import PowerRails
from hwnas.latency.agent.state import power_mode, read_identity, read_state, throttling
from tests.latency.agent.fake_boards import (
    lay_out_agx_orin,
    lay_out_orin_nano,
    lay_out_thor,
    lay_out_x86,
    write_files,
)
from tests.latency.agent.fake_nvml import FakeLibrary


def test_orin_nano(tmp_path: Path) -> None:
    lay_out_orin_nano(tmp_path)
    assert read_identity(str(tmp_path)) == {
        "l4t": "36.4.3",
        "power_mode": "15W (0)",
        "cpu_limits_mhz": {"policy0": [729.6, 1510.4]},
        "device_limits_mhz": {"17000000.gpu": [306.0, 624.75]},
        "gpus": None,
    }
    assert read_state(str(tmp_path)) == {
        "clocks_mhz": {"policy0": 1344.0, "17000000.gpu": 306.0, "emc": 2133.0},
        "temperatures_c": {"cpu-thermal": 48.562},
        "power_mw": {"VDD_IN": 4000.0, "VDD_CPU_GPU_CV": 1000.0, "VDD_SOC": 1500.0},
        "alarms": [],
        "throttle_counters": {"sys/class/hwmon/hwmon2/oc1_event_cnt": 4.0},
        "gpus": None,
    }
    assert PowerRails(str(tmp_path)).whole_module == ("VDD_IN",)


def test_agx_orin_has_no_rail_of_the_whole_module(tmp_path: Path) -> None:
    lay_out_agx_orin(tmp_path)
    rails = PowerRails(str(tmp_path))
    assert rails.whole_module == rails.names
    assert rails.power_mw() == {
        "VDD_GPU_SOC": 1200.0,
        "VDD_CPU_CV": 600.0,
        "VIN_SYS_5V0": 3000.0,
        "VDDQ_VDD2_1V8AO": 500.0,
    }


def test_thor(tmp_path: Path) -> None:
    lay_out_thor(tmp_path)
    identity, state = read_identity(str(tmp_path)), read_state(str(tmp_path))
    assert (identity["l4t"], identity["power_mode"]) == ("38.2.0", "1")
    assert identity["device_limits_mhz"]["gpu-gpc-0"] == [315.0, 1575.0]
    assert state["clocks_mhz"] == {"gpu-gpc-0": 1575.0, "gpu-nvd-0": 114.75}
    assert PowerRails(str(tmp_path)).whole_module == ("VIN",)


def test_x86(tmp_path: Path) -> None:
    lay_out_x86(tmp_path)
    state = read_state(str(tmp_path))
    assert state["temperatures_c"] == {"Package id 0": 61.0}
    assert state["clocks_mhz"] == {"policy0": 3200.0}
    assert sorted(state["throttle_counters"].values()) == [0.0, 7.0, 9.0]
    assert state["power_mw"] is None


def test_a_machine_that_says_nothing(tmp_path: Path) -> None:
    assert set(read_identity(str(tmp_path)).values()) == {None}
    state = read_state(str(tmp_path))
    assert (state["power_mw"], state["gpus"]) == (None, None)
    assert not any(state.values())
    assert throttling(state, state) == []


def test_unreadable_numbers_are_left_out(tmp_path: Path) -> None:
    lay_out_orin_nano(tmp_path)
    write_files(
        tmp_path,
        {
            "sys/class/thermal/thermal_zone0/temp": "",
            "sys/class/hwmon/hwmon1/curr2_input": "n/a",
            "var/lib/nvpmodel/status": "what",
        },
    )
    state = read_state(str(tmp_path))
    assert state["temperatures_c"] == {}
    assert set(state["power_mw"]) == {"VDD_IN", "VDD_SOC"}
    assert power_mode(str(tmp_path)) is None


def test_every_kind_of_throttling_is_named(tmp_path: Path) -> None:
    lay_out_orin_nano(tmp_path)
    lay_out_x86(tmp_path)
    before = read_state(str(tmp_path))
    assert throttling(before, before) == []
    write_files(
        tmp_path,
        {
            "sys/class/hwmon/hwmon1/curr1_crit_alarm": 1,
            "sys/class/hwmon/hwmon1/curr3_max_alarm": 1,
            "sys/class/hwmon/hwmon2/oc1_event_cnt": 6,
            "sys/class/thermal/cooling_device0/type": "gpu-throttle-alert",
            "sys/class/thermal/cooling_device0/cur_state": 1,
            "sys/devices/system/cpu/cpu1/thermal_throttle/core_throttle_count": 1,
        },
    )
    assert throttling(before, read_state(str(tmp_path))) == [
        "VDD_IN curr1_crit_alarm",
        "VDD_SOC curr3_max_alarm",
        "gpu-throttle-alert is active",
        "sys/devices/system/cpu/cpu1/thermal_throttle/core_throttle_count rose by 1",
        "sys/class/hwmon/hwmon2/oc1_event_cnt rose by 2",
    ]


def test_gpus(tmp_path: Path) -> None:
    library = FakeLibrary()
    nvml = Nvml(library)
    first, second = read_identity(str(tmp_path), nvml)["gpus"]
    assert first == {
        "name": "GPU of test 1",
        "driver": "580.65.06",
        "cuda_of_driver": "13.2",
        "compute_capability": "9.0",
        "power_limit_w": 300.0,
        "persistence_mode": None,
        "mig_mode": None,
    }
    assert (second["name"], second["power_limit_w"]) == ("GPU of test 2", None)
    before = read_state(str(tmp_path), nvml)
    assert before["gpus"][0] == {
        "clocks_mhz": {"graphics": 1000, "sm": 1001, "memory": 1002},
        "temperature_c": 44,
        "power_mw": 70_000,
        "memory_used_mb": 1024.0,
        "alarms": [],
        "is_power_capped": True,
        "thermal_violation_ns": 0,
    }
    assert before["gpus"][1]["is_power_capped"] is None
    assert throttling(before, before) == []
    library.reasons, library.violation_ns = 0x60, 5
    after = json.loads(json.dumps(read_state(str(tmp_path), nvml)))
    assert throttling(before, after) == [
        "GPU 0: software thermal slowdown",
        "GPU 0: hardware thermal slowdown",
        "GPU 0: slowed down by heat for a time",
    ]
