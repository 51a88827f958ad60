"""Skips tests where TensorRT for RTX cannot be imported."""

from __future__ import annotations

import pytest

from hwnas.latency.backends.errors import AgentError
from hwnas.latency.backends.tensorrt_build import import_tensorrt

try:
    import_tensorrt("tensorrt-rtx")
except AgentError as error:
    _reason = str(error)
else:
    _reason = ""
needs_rtx = pytest.mark.skipif(bool(_reason), reason=_reason)
