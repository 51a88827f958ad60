"""What a machine says about its clocks, heat and power: as it is set up, and as it is at the moment.

Everything is read below a root directory, so that tests can lay out the files of a board. What is set up
(`read_identity`) goes into the fingerprint; what changes by itself (`read_state`) is noted at the start and
the end of a measurement. Where the platform says nothing, an entry is None or missing, never zero.
"""

from __future__ import annotations

import os
import re
from typing import Any, Dict, List, Mapping, Optional

from hwnas.latency.agent.nvml import Nvml
from hwnas.latency.agent.power_rails import PowerRails
from hwnas.latency.backends.system_files import entries, read_number, read_text

# Cooling devices whose state is above zero only while something is slowed down: Jetson's alerts of
# throttling, and ACPI's passive cooling of processors.
_COOLING_ALARMS = ("throttle-alert", "Processor")
_THROTTLE_COUNTERS = ("core_throttle_count", "package_throttle_count")
_EMC_CLOCKS = ("sys/kernel/debug/bpmp/debug/clk/emc/rate", "sys/kernel/debug/clk/emc/clk_rate")


def read_identity(root: str = "/", nvml: Optional[Nvml] = None) -> Dict[str, Any]:
    """Return how the machine is set up: release of its board software, power mode, clock limits, GPUs."""
    return {
        "l4t": _l4t_release(root),
        "power_mode": power_mode(root),
        "cpu_limits_mhz": _cpu_limits_mhz(root),
        "device_limits_mhz": _device_limits_mhz(root),
        "gpus": nvml.identity() if nvml else None,
    }


def read_state(root: str = "/", nvml: Optional[Nvml] = None) -> Dict[str, Any]:
    """Return clocks in MHz, temperatures in °C, power in mW, alarms raised now, counters of throttling."""
    rails = PowerRails(root)
    return {
        "clocks_mhz": _clocks_mhz(root),
        "temperatures_c": _temperatures_c(root),
        "power_mw": rails.power_mw() or None,
        "alarms": rails.alarms() + _cooling_alarms(root),
        "throttle_counters": _throttle_counters(root),
        "gpus": nvml.state() if nvml else None,
    }


def throttling(start: Mapping[str, Any], end: Mapping[str, Any]) -> List[str]:
    """Return what slowed the machine down between two states: alarms in either, counters that rose."""
    found = [str(alarm) for state in (start, end) for alarm in state["alarms"]]
    for name, count in end["throttle_counters"].items():
        before = start["throttle_counters"].get(name, count)
        if count > before:
            found.append(f"{name} rose by {count - before:g}")
    for index, (before, after) in enumerate(zip(start["gpus"] or [], end["gpus"] or [])):  # noqa: B905 - 3.8
        found += [f"GPU {index}: {alarm}" for state in (before, after) for alarm in state["alarms"]]
        if (after["thermal_violation_ns"] or 0) > (before["thermal_violation_ns"] or 0):
            found.append(f"GPU {index}: slowed down by heat for a time")
    return list(dict.fromkeys(found))


def power_mode(root: str = "/") -> Optional[str]:
    """Return the Jetson power mode, such as `MAXN (0)`, from the files that `nvpmodel -q` looks at."""
    status = re.search(r"pmode:\s*(\d+)", read_text(root, "var/lib/nvpmodel/status") or "")
    if status is None:
        return None
    number = int(status.group(1))
    models = read_text(root, "etc/nvpmodel.conf") or ""
    for found in re.finditer(r"<\s*POWER_MODEL\s+ID=(\d+)\s+NAME=(\S+)\s*>", models):
        if int(found.group(1)) == number:
            return f"{found.group(2)} ({number})"
    return str(number)


def _l4t_release(root: str) -> Optional[str]:
    """Return such as `36.4.3`; the file begins `# R36 (release), REVISION: 4.3, ...`."""
    text = read_text(root, "etc/nv_tegra_release") or ""
    found = re.search(r"R(\d+)\s*\(release\),\s*REVISION:\s*([\d.]+)", text)
    return f"{found.group(1)}.{found.group(2)}" if found else None


def _cpu_limits_mhz(root: str) -> Optional[Dict[str, List[Optional[float]]]]:
    """Return [lowest, highest] of every cpufreq policy."""
    limits = {
        os.path.basename(policy): [
            _mhz(read_number(policy, "scaling_min_freq"), 1e3),
            _mhz(read_number(policy, "scaling_max_freq"), 1e3),
        ]
        for policy in entries(root, "sys/devices/system/cpu/cpufreq")
        if os.path.basename(policy).startswith("policy")
    }
    return limits or None


def _device_limits_mhz(root: str) -> Optional[Dict[str, List[Optional[float]]]]:
    """Return [lowest, highest] of every devfreq device; on Jetson the GPU is one."""
    limits = {
        os.path.basename(device): [
            _mhz(read_number(device, "min_freq"), 1e6),
            _mhz(read_number(device, "max_freq"), 1e6),
        ]
        for device in entries(root, "sys/class/devfreq")
    }
    return limits or None


def _clocks_mhz(root: str) -> Dict[str, float]:
    found: Dict[str, Optional[float]] = {}
    for policy in entries(root, "sys/devices/system/cpu/cpufreq"):
        if os.path.basename(policy).startswith("policy"):
            found[os.path.basename(policy)] = _mhz(read_number(policy, "scaling_cur_freq"), 1e3)
    for device in entries(root, "sys/class/devfreq"):
        found[os.path.basename(device)] = _mhz(read_number(device, "cur_freq"), 1e6)
    rates = [read_number(root, path) for path in _EMC_CLOCKS]  # readable by the administrator only
    found["emc"] = next((_mhz(rate, 1e6) for rate in rates if rate is not None), None)
    return {name: clock for name, clock in found.items() if clock is not None}


def _temperatures_c(root: str) -> Dict[str, float]:
    """Return thermal zones, and the sensors of x86 processors; zones that are switched off say nothing."""
    found = {}
    for zone in entries(root, "sys/class/thermal"):
        if os.path.basename(zone).startswith("thermal_zone"):
            name, value = read_text(zone, "type"), read_number(zone, "temp")
            if value is not None:
                found[name or os.path.basename(zone)] = value / 1000
    for chip in entries(root, "sys/class/hwmon"):
        if read_text(chip, "name") not in ("coretemp", "k10temp", "zenpower"):
            continue
        for path in entries(chip):
            match = re.fullmatch(r"temp(\d+)_input", os.path.basename(path))
            value = read_number(path) if match else None
            if match and value is not None:
                found[read_text(chip, f"temp{match.group(1)}_label") or os.path.basename(path)] = value / 1000
    return found


def _cooling_alarms(root: str) -> List[str]:
    found = []
    for device in entries(root, "sys/class/thermal"):
        kind = read_text(device, "type") or ""
        if not os.path.basename(device).startswith("cooling_device"):
            continue
        if kind.endswith(_COOLING_ALARMS) and (read_number(device, "cur_state") or 0) > 0:
            found.append(f"{kind} is active")
    return found


def _throttle_counters(root: str) -> Dict[str, float]:
    """Return how often heat (x86) and over-current (Jetson's `ocN_event_cnt`) throttled so far."""
    paths = [
        os.path.join(cpu, "thermal_throttle", counter)
        for cpu in entries(root, "sys/devices/system/cpu")
        if re.fullmatch(r"cpu\d+", os.path.basename(cpu))
        for counter in _THROTTLE_COUNTERS
    ]
    for chip in entries(root, "sys/class/hwmon"):
        paths += [path for path in entries(chip) if re.fullmatch(r"oc\d+_event_cnt", os.path.basename(path))]
    start = len(os.path.join(root, ""))
    counts = {path[start:]: read_number(path) for path in paths}
    return {path: count for path, count in counts.items() if count is not None}


def _mhz(value: Optional[float], per_mhz: float) -> Optional[float]:
    return None if value is None else value / per_mhz
