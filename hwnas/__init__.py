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
    PointCloudError,
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
    from hwnas.config.search_options import SearchOptions
    from hwnas.config.template import write_run_file
    from hwnas.data.inspection.dataset_report import inspect_dataset
    from hwnas.data.synthetic import synthesize_dataset
    from hwnas.latency.bench import bench, bench_at_fixed_rate, bench_end_to_end, bench_pair, bench_resources
    from hwnas.latency.doctor.doctor import doctor
    from hwnas.latency.engines.inspection import inspect_model
    from hwnas.latency.measure.jobs.job import emit_job
    from hwnas.latency.measure.jobs.results import ingest_job
    from hwnas.latency.predict.profile import profile
    from hwnas.latency.target import Target
    from hwnas.plugins import installed_plugins
    from hwnas.robotics.synthetic_drive import synthesize_drive
    from hwnas.run.quickstart import quickstart
    from hwnas.run.run import Run
    from hwnas.scan import DataWarning
    from hwnas.search.plugin_checks import check_plugins
    from hwnas.viewing.view import View, ViewOptions, view

_MODULES = {
    "Bundle": "hwnas.bundle.bundle",
    "DataWarning": "hwnas.scan",
    "Run": "hwnas.run.run",
    "Runner": "hwnas.bundle.runtime.runner",
    "SearchOptions": "hwnas.config.search_options",
    "Target": "hwnas.latency.target",
    "View": "hwnas.viewing.view",
    "ViewOptions": "hwnas.viewing.view",
    "VerificationSettings": "hwnas.bundle.verification.result",
    "bench": "hwnas.latency.bench",
    "bench_at_fixed_rate": "hwnas.latency.bench",
    "bench_end_to_end": "hwnas.latency.bench",
    "bench_pair": "hwnas.latency.bench",
    "bench_resources": "hwnas.latency.bench",
    "check_plugins": "hwnas.search.plugin_checks",
    "doctor": "hwnas.latency.doctor.doctor",
    "emit_job": "hwnas.latency.measure.jobs.job",
    "ingest_job": "hwnas.latency.measure.jobs.results",
    "inspect_dataset": "hwnas.data.inspection.dataset_report",
    "inspect_model": "hwnas.latency.engines.inspection",
    "installed_plugins": "hwnas.plugins",
    "profile": "hwnas.latency.predict.profile",
    "quickstart": "hwnas.run.quickstart",
    "synthesize_dataset": "hwnas.data.synthetic",
    "synthesize_drive": "hwnas.robotics.synthetic_drive",
    "view": "hwnas.viewing.view",
    "write_run_file": "hwnas.config.template",
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
    "PointCloudError",
    "Run",
    "Runner",
    "SearchOptions",
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
    "View",
    "ViewOptions",
    "__version__",
    "bench",
    "bench_at_fixed_rate",
    "bench_end_to_end",
    "bench_pair",
    "bench_resources",
    "check_plugins",
    "doctor",
    "emit_job",
    "ingest_job",
    "inspect_dataset",
    "inspect_model",
    "installed_plugins",
    "profile",
    "quickstart",
    "synthesize_dataset",
    "synthesize_drive",
    "view",
    "write_run_file",
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
