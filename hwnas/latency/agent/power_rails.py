"""Power rails of a Jetson: INA3221 monitors as the kernel's hwmon shows them.

Channel N has the rail's name in `inN_label`, millivolts in `inN_input` and milliamperes in `currN_input`
(Linux, Documentation/hwmon/ina3221). Channel 7 is the sum of shunt voltages, no rail.
"""

from __future__ import annotations

import os
from typing import Dict, List, Optional, Tuple

from hwnas.latency.backends.system_files import entries, read_number, read_text

_CHANNELS = ("1", "2", "3")
_UNCONNECTED = "NC"
# A rail that feeds the whole module, where the board has one (Orin NX and Nano; Thor; older boards).
_WHOLE_MODULE = ("VDD_IN", "VIN", "POM_5V_IN")
_ALARMS = ("crit_alarm", "max_alarm")


class PowerRails:
    """The rails found below a root directory; reading them again finds no new ones."""

    def __init__(self, root: str = "/") -> None:
        """Look for monitors in `sys/class/hwmon`."""
        self._rails: List[Tuple[str, str, str]] = []
        for directory in entries(root, "sys/class/hwmon"):
            if read_text(directory, "name") != "ina3221":
                continue
            for channel in _CHANNELS:
                label = read_text(directory, f"in{channel}_label")
                measures_current = read_number(directory, f"curr{channel}_input") is not None
                if label and label != _UNCONNECTED and measures_current:
                    self._rails.append((label, directory, channel))

    @property
    def names(self) -> Tuple[str, ...]:
        """Labels of the rails, in the order of the monitors."""
        return tuple(label for label, _, _ in self._rails)

    @property
    def whole_module(self) -> Tuple[str, ...]:
        """The rails whose sum stands for the module: the one that feeds it, otherwise all of them."""
        feeding = tuple(name for name in _WHOLE_MODULE if name in self.names)
        return feeding[:1] or self.names

    def power_mw(self) -> Dict[str, float]:
        """Return the power of every rail that can be read, in milliwatts."""
        found = {}
        for label, directory, channel in self._rails:
            millivolts = read_number(directory, f"in{channel}_input")
            milliamperes = read_number(directory, f"curr{channel}_input")
            if millivolts is not None and milliamperes is not None:
                found[label] = millivolts * milliamperes / 1000.0
        return found

    def alarms(self) -> List[str]:
        """Return the over-current alarms that are raised now, such as `VDD_IN curr1_crit_alarm`."""
        return [
            f"{label} curr{channel}_{alarm}"
            for label, directory, channel in self._rails
            for alarm in _ALARMS
            if _is_raised(os.path.join(directory, f"curr{channel}_{alarm}"))
        ]


def _is_raised(path: str) -> bool:
    value: Optional[float] = read_number(path)
    return value is not None and value != 0
