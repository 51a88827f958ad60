"""Imports onnxruntime for everybody, with its telemetry off, and says what every session of it is told.

Builds since 1.29 write a device identifier to the user's cache directory and send events to their maker,
unless `ORT_DISABLE_TELEMETRY=1` is set when the library is loaded; what it finds then holds for the life of
the process (`Privacy.md` in its package, "Disabling Telemetry"). `disable_telemetry_events()` comes
too late: the first event is made while it is imported.

Whoever sets the variable, to whatever value, decides otherwise.

Python 3.8 syntax, standard library only: this module travels to boards.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from typing import Any

VARIABLE = "ORT_DISABLE_TELEMETRY"

SESSION_ENTRIES = {"session.x64quantprecision": "1"}
"""Entries of the configuration of a session without which INT8 is computed wrongly.

On x86 processors without VNNI the 8-bit kernels add pairs of products of unsigned activations and signed
weights in 16 bits, which overflow. Told so, onnxruntime makes the weights unsigned there; elsewhere nothing
changes. Source: `onnxruntime_session_options_config_keys.h`, kOrtSessionOptionsAvx2PrecisionMode.
"""

_ON_THE_PATH = "onnxruntime.transformers"


def load_onnxruntime(module: str = "onnxruntime") -> Any:
    """Import onnxruntime or a module of it; environment and `sys.path` are afterwards as they were before.

    Raises:
        ImportError: if it is not installed or cannot be loaded.
    """
    path = list(sys.path)
    # Modules of this package import each other by plain names, for which it leaves its directory on the path:
    # `import benchmark` of anybody else would find one there.
    sys.path.extend(getattr(sys.modules.get(_ON_THE_PATH), "__path__", ()))
    try:
        return _loaded(module)
    finally:
        sys.path[:] = path


def _loaded(module: str) -> Any:
    if VARIABLE in os.environ:
        return importlib.import_module(module)
    os.environ[VARIABLE] = "1"
    try:
        return importlib.import_module(module)
    finally:
        with contextlib.suppress(KeyError):
            del os.environ[VARIABLE]


def disable_telemetry() -> None:
    """Keep telemetry off in this process and its children, whoever imports onnxruntime there.

    For processes that are entirely ours: commands, and children that run other libraries.
    """
    os.environ.setdefault(VARIABLE, "1")
