"""Suites that a plug-in has to pass, for pytest; install `hwnas[testing]` beside it.

A distribution that registers the search space `my-space` joins in five lines, in any test module of its own:

```python
from hwnas.testing import SearchSpaceSuite

class TestMySpace(SearchSpaceSuite):
    name = "my-space"
```

Its `contract` may be another one than the small default. The other suites work alike: `StrategySuite` takes
`strategy`, `EstimatorSuite` `estimator`, `ExecutorSuite` `executor` and `BackendSuite` `backend`, with
`options` or `settings` where it needs some; `TaskSuite` takes `task`, and tests the processor that the task
names; `TrainerSuite` takes `trainer`; `LatencyMeterSuite` takes a fixture `meter`.

hwnas itself never imports this package, and the package imports pytest only with a suite.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hwnas.testing.backend_suite import BackendSuite
    from hwnas.testing.estimator_suite import EstimatorSuite
    from hwnas.testing.executor_suite import ExecutorSuite
    from hwnas.testing.latency_meter_suite import LatencyMeterSuite
    from hwnas.testing.search_space_suite import SearchSpaceSuite
    from hwnas.testing.strategy_suite import StrategySuite
    from hwnas.testing.task_suite import TaskSuite
    from hwnas.testing.trainer_suite import TrainerSuite

__all__ = [
    "BackendSuite",
    "EstimatorSuite",
    "ExecutorSuite",
    "LatencyMeterSuite",
    "SearchSpaceSuite",
    "StrategySuite",
    "TaskSuite",
    "TrainerSuite",
]

_MODULES = {
    "BackendSuite": "backend_suite",
    "EstimatorSuite": "estimator_suite",
    "ExecutorSuite": "executor_suite",
    "LatencyMeterSuite": "latency_meter_suite",
    "SearchSpaceSuite": "search_space_suite",
    "StrategySuite": "strategy_suite",
    "TaskSuite": "task_suite",
    "TrainerSuite": "trainer_suite",
}


def __getattr__(name: str) -> Any:
    """Import a suite when it is asked for."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
