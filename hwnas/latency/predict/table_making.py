"""A table from nothing: profile a target, fit, say where it comes from."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import hwnas
from hwnas.io_spec import NetworkContract
from hwnas.latency.measure.meter import open_meter
from hwnas.latency.predict.fitting import fit_table
from hwnas.latency.predict.profiling import ProfileProgress, ProfileSettings, header_of, profile
from hwnas.latency.predict.table import LatencyTable
from hwnas.search_spaces.base import SearchSpace


def make_table(
    target: str,
    space: SearchSpace,
    contract: NetworkContract,
    directory: Path,
    settings: ProfileSettings,
    listener: Callable[[ProfileProgress], None] = lambda _: None,
) -> LatencyTable:
    """Return the table of a target; goes on with what `directory` holds.

    Args:
        target: URL of the target.
        space: to draw networks from; registered under its name.
        contract: that its networks meet.
        directory: keeps raw measurements.
        settings: see `ProfileSettings`.
        listener: is told how far it is.

    Raises:
        MeasurementError: as `profile`.
        LatencyTableError: if too few networks were measured.
    """
    meter = open_meter(target)
    with meter:
        networks = profile(meter, space, contract, directory, settings, listener)
    provenance = {
        "hwnas_version": hwnas.__version__,
        "made": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "command": "hwnas profile",
        "settings": asdict(settings),
        "measuring_s": round(sum(network.seconds for network in networks), 1),
    }
    return fit_table(networks, header_of(directory), space, contract, provenance)
