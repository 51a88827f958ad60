"""The target of a run: opened under the protocol of the moment, and known again."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from hwnas.config import RunConfig
from hwnas.errors import StudyError
from hwnas.latency.measure.meter import open_meter
from hwnas.latency.measure.protocol import MeasuringProtocol
from hwnas.latency.measurement import LatencyMeter
from hwnas.latency.target import Target
from hwnas.search.run_directory import RunDirectory
from hwnas.search.storage.place import place_of_run
from hwnas.search.study import SearchStudy, differences
from hwnas.text import argument

_OF_OPTIONS = ("backend_options", "backend_settings")
"""What the options of a backend change in a fingerprint."""


@contextmanager
def opened_meter(
    config: RunConfig, *, final: bool, exclusive: Callable[[], AbstractContextManager[None]] = nullcontext
) -> Iterator[LatencyMeter]:
    """Open the run's target under its quick protocol, or the one for final measurements.

    Args:
        config: the run.
        final: which protocol, and which options of the backend.
        exclusive: context that is entered while the clock runs.

    Raises:
        ConfigError: if the backend has no such option.
        MeasurementError: if the target cannot be used.
    """
    protocol = MeasuringProtocol.final() if final else MeasuringProtocol.search()
    changes = (config.measuring.final if final else config.measuring.search).overrides()
    target = final_target(config) if final else config.target
    meter = open_meter(target, dataclasses.replace(protocol, **changes), exclusive=exclusive)
    try:
        yield meter
    finally:
        meter.close()


def final_target(config: RunConfig) -> str:
    """Return the URL of a run's target with the options that final measurements are made with.

    Raises:
        ConfigError: if its backend has no such option.
    """
    changes = {name: str(value) for name, value in config.measuring.final.options.items()}
    if not changes:
        return config.target
    target = Target.parse(config.target)
    options = tuple(sorted({**dict(target.options), **changes}.items()))
    return Target.parse(dataclasses.replace(target, options=options).url).url


def refuse_other_target(run: RunDirectory, meter: LatencyMeter) -> None:
    """Compare a meter's target with the one that the run's study was measured on.

    Final measurements may be made with other options of the backend, but nowhere else.

    Raises:
        StudyError: if they differ, with what differs.
    """
    config = run.load_config()
    study = SearchStudy(place_of_run(run, config), read_only=True)
    recorded = study.identity.get("target_fingerprint", {})
    study.close()
    found = json.loads(json.dumps(dict(meter.fingerprint())))
    if config.measuring.final.options:
        recorded, found = (
            {key: value for key, value in fingerprint.items() if key not in _OF_OPTIONS}
            for fingerprint in (recorded, found)
        )
    changed = differences(recorded, found)
    if changed:
        listing = "\n  ".join(changed)
        raise StudyError(
            "Measurements of one run must come from one target, but since the search this changed:\n"
            f"  {listing}\nRestore it, or measure again with: hwnas search {argument(run.path)} "
            "--resume --rebase"
        )
