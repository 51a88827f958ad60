"""Lays out the files through which machines tell about themselves."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


def write_files(root: Path, files: Mapping[str, object]) -> None:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{content}\n")


def lay_out_orin_nano(root: Path) -> None:
    """A Jetson Orin Nano under L4T 36.4.3 in its 15 W mode."""
    monitor, gpu = "sys/class/hwmon/hwmon1", "sys/class/devfreq/17000000.gpu"
    write_files(
        root,
        {
            "etc/nv_tegra_release": "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64",
            "etc/nvpmodel.conf": "< POWER_MODEL ID=0 NAME=15W >\nCPU_ONLINE CORE_0 1\n\n< POWER_MODEL ID=1 NAME=7W >",
            "var/lib/nvpmodel/status": "pmode:0000 fmode:quiet",
            "sys/devices/system/cpu/cpufreq/policy0/scaling_min_freq": 729600,
            "sys/devices/system/cpu/cpufreq/policy0/scaling_max_freq": 1510400,
            "sys/devices/system/cpu/cpufreq/policy0/scaling_cur_freq": 1344000,
            f"{gpu}/min_freq": 306000000,
            f"{gpu}/max_freq": 624750000,
            f"{gpu}/cur_freq": 306000000,
            "sys/kernel/debug/bpmp/debug/clk/emc/rate": 2133000000,
            "sys/class/thermal/thermal_zone0/type": "cpu-thermal",
            "sys/class/thermal/thermal_zone0/temp": 48562,
            "sys/class/thermal/cooling_device0/type": "cpu-throttle-alert",
            "sys/class/thermal/cooling_device0/cur_state": 0,
            "sys/class/thermal/cooling_device1/type": "pwm-fan",
            "sys/class/thermal/cooling_device1/cur_state": 2,
            "sys/class/hwmon/hwmon0/name": "pwmfan",
            "sys/class/hwmon/hwmon0/in1_label": "VDD_FAN",
            "sys/class/hwmon/hwmon2/name": "soctherm_oc",
            "sys/class/hwmon/hwmon2/oc1_event_cnt": 4,
            f"{monitor}/name": "ina3221",
            f"{monitor}/in7_label": "sum of shunt voltages",
            f"{monitor}/in7_input": 0,
            **_channel(monitor, 1, "VDD_IN", 5000, 800),
            **_channel(monitor, 2, "VDD_CPU_GPU_CV", 5000, 200),
            **_channel(monitor, 3, "VDD_SOC", 5000, 300),
        },
    )


def lay_out_agx_orin(root: Path) -> None:
    """Two monitors, none of whose rails feeds the whole module; one channel is not connected."""
    for number, channels in (
        (1, [("VDD_GPU_SOC", 12000, 100), ("VDD_CPU_CV", 12000, 50), ("VIN_SYS_5V0", 5000, 600)]),
        (2, [("NC", 12000, 0), ("VDDQ_VDD2_1V8AO", 5000, 100), ("NC", 0, 0)]),
    ):
        monitor = f"sys/class/hwmon/hwmon{number}"
        files: dict[str, object] = {f"{monitor}/name": "ina3221"}
        for channel, (label, millivolts, milliamperes) in enumerate(channels, start=1):
            files.update(_channel(monitor, channel, label, millivolts, milliamperes))
        write_files(root, files)


def lay_out_thor(root: Path) -> None:
    """The GPU's devfreq devices have other names, and one of them no `load` file."""
    write_files(
        root,
        {
            "etc/nv_tegra_release": "# R38 (release), REVISION: 2.0, GCID: 41844464, BOARD: generic, EABI: aarch64",
            "var/lib/nvpmodel/status": "pmode:0001",
            "sys/class/devfreq/gpu-gpc-0/min_freq": 315000000,
            "sys/class/devfreq/gpu-gpc-0/max_freq": 1575000000,
            "sys/class/devfreq/gpu-gpc-0/cur_freq": 1575000000,
            "sys/class/devfreq/gpu-nvd-0/min_freq": 114750000,
            "sys/class/devfreq/gpu-nvd-0/max_freq": 1692000000,
            "sys/class/devfreq/gpu-nvd-0/cur_freq": 114750000,
            "sys/class/hwmon/hwmon3/name": "ina3221",
            **_channel("sys/class/hwmon/hwmon3", 1, "VDD_GPU", 9000, 1000),
            **_channel("sys/class/hwmon/hwmon3", 2, "VDD_CPU_SOC_MSS", 9000, 500),
            **_channel("sys/class/hwmon/hwmon3", 3, "VIN", 18000, 1500),
        },
    )


def lay_out_x86(root: Path) -> None:
    """Two processors with counters of throttling and a sensor."""
    cpu, chip = "sys/devices/system/cpu", "sys/class/hwmon/hwmon0"
    write_files(
        root,
        {
            f"{cpu}/cpufreq/policy0/scaling_min_freq": 800000,
            f"{cpu}/cpufreq/policy0/scaling_max_freq": 4700000,
            f"{cpu}/cpufreq/policy0/scaling_cur_freq": 3200000,
            f"{cpu}/cpu0/thermal_throttle/core_throttle_count": 7,
            f"{cpu}/cpu0/thermal_throttle/package_throttle_count": 9,
            f"{cpu}/cpu1/thermal_throttle/core_throttle_count": 0,
            f"{cpu}/cpuidle/current_driver": "intel_idle",
            f"{chip}/name": "coretemp",
            f"{chip}/temp1_label": "Package id 0",
            f"{chip}/temp1_input": 61000,
            "sys/class/thermal/cooling_device0/type": "Processor",
            "sys/class/thermal/cooling_device0/cur_state": 0,
        },
    )


def _channel(monitor: str, channel: int, label: str, millivolts: int, milliamperes: int) -> dict[str, object]:
    return {
        f"{monitor}/in{channel}_label": label,
        f"{monitor}/in{channel}_input": millivolts,
        f"{monitor}/curr{channel}_input": milliamperes,
        f"{monitor}/curr{channel}_crit_alarm": 0,
        f"{monitor}/curr{channel}_max_alarm": 0,
    }
