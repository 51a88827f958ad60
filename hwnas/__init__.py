"""Finds neural networks that are accurate and fast on one particular piece of hardware.

The front door of the package. Names are loaded when they are used, so that `import hwnas` is quick:

```python
import hwnas

run = hwnas.Run.create("run.yaml")
run.search()
run.train(pick=3)
for bundle in run.export(precision=["fp32", "fp16"]):
    print(bundle.path, bundle.verify().passed)
run.front.to_dataframe()
run.plot_front().show()
```
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from hwnas.errors import (
    ArchitectureError,
    BundleError,
    ConfigError,
    DataError,
    EstimatorContractError,
    ExportError,
    FileAccessError,
    HwnasError,
    LatencyTableError,
    MeasurementError,
    ModelFileError,
    PluginError,
    StudyError,
    TargetLostError,
    TargetReplyError,
    TargetSilentError,
    TargetUnreachableError,
    TooSlowError,
    TrainingError,
    TrainingInterruptedError,
    VerificationError,
)
from hwnas.version import __version__

if TYPE_CHECKING:
    from hwnas.bundle.bundle import Bundle
    from hwnas.bundle.runtime.runner import Runner
    from hwnas.bundle.verification.result import VerificationSettings
    from hwnas.latency.bench import bench
    from hwnas.latency.doctor.doctor import doctor
    from hwnas.latency.engines.inspection import inspect_model
    from hwnas.latency.predict.profile import profile
    from hwnas.latency.target import Target
    from hwnas.run.run import Run
    from hwnas.scan import DataWarning

_MODULES = {
    "Bundle": "hwnas.bundle.bundle",
    "DataWarning": "hwnas.scan",
    "Run": "hwnas.run.run",
    "Runner": "hwnas.bundle.runtime.runner",
    "Target": "hwnas.latency.target",
    "VerificationSettings": "hwnas.bundle.verification.result",
    "bench": "hwnas.latency.bench",
    "doctor": "hwnas.latency.doctor.doctor",
    "inspect_model": "hwnas.latency.engines.inspection",
    "profile": "hwnas.latency.predict.profile",
}
"""Where the names are that cost time to load."""

__all__ = [
    "ArchitectureError",
    "Bundle",
    "BundleError",
    "ConfigError",
    "DataError",
    "DataWarning",
    "EstimatorContractError",
    "ExportError",
    "FileAccessError",
    "HwnasError",
    "LatencyTableError",
    "MeasurementError",
    "ModelFileError",
    "PluginError",
    "Run",
    "Runner",
    "StudyError",
    "Target",
    "TargetLostError",
    "TargetReplyError",
    "TargetSilentError",
    "TargetUnreachableError",
    "TooSlowError",
    "TrainingError",
    "TrainingInterruptedError",
    "VerificationError",
    "VerificationSettings",
    "__version__",
    "bench",
    "doctor",
    "inspect_model",
    "profile",
]


def __getattr__(name: str) -> Any:
    """Load a public name when it is used for the first time (PEP 562)."""
    if name not in _MODULES:
        raise AttributeError(f"module 'hwnas' has no attribute {name!r}")
    value = getattr(importlib.import_module(_MODULES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Return the public names, those not loaded yet included."""
    return sorted({*globals(), *__all__})
