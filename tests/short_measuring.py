"""Measurements that end soon, for tests of what is done with figures, not of the figures.

`python -m tests.short_measuring search run.yaml` is the command line with them; `ENVIRONMENT` lets it be found
from any directory.
"""

from __future__ import annotations

import os
from pathlib import Path

from hwnas.latency.measure.protocol import MeasuringProtocol

REPOSITORY = Path(__file__).parents[1]
MOST = {
    "processes": 1,
    "warmup_s": 0.02,
    "max_warmup_s": 0.1,
    "block_s": 0.02,
    "reference_block_s": 0.02,
    "min_rounds": 3,
    "min_samples": 10,
    "max_s": 0.3,
    "limit_s": 1.0,
    "max_attempts": 1,
}
"""Upper bounds of settings, whatever a run file or a command asks for."""


_CHECKED = MeasuringProtocol.__post_init__


def bounded(self: MeasuringProtocol) -> None:
    """Check a protocol that was made, and bound it."""
    _CHECKED(self)
    for name, most in MOST.items():
        object.__setattr__(self, name, min(getattr(self, name), most))


def shorten() -> None:
    """Bound every protocol that this process makes from here on."""
    MeasuringProtocol.__post_init__ = bounded  # type: ignore[method-assign]


def environment() -> dict[str, str]:
    """Return the environment of commands that find this module."""
    path = os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path}


if __name__ == "__main__":
    from hwnas.cli.main import main

    shorten()
    main()
