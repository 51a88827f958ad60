from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from hwnas.testing.tiny_site import write_tiny_site
from tests import forked


@pytest.fixture(scope="session")
def tiny_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the tiny plug-in as an installed distribution."""
    site = tmp_path_factory.mktemp("site")
    write_tiny_site(site)
    return site


@pytest.fixture
def tiny_plugin(tiny_site: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The plug-in, visible in this process and in those it starts."""
    monkeypatch.syspath_prepend(str(tiny_site))
    before = os.environ.get("PYTHONPATH")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(tiny_site), before])))
    yield tiny_site
    sys.modules.pop("hwnas_tiny_plugin", None)


@pytest.fixture
def forked_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers of a search that are forked from a loaded process, for tests of what a search does with them."""
    forked.fork_workers(monkeypatch.setattr)


def run_settings(**changes: Any) -> dict[str, Any]:
    """A run that takes seconds; `changes` are dotted by double underscores."""
    value: dict[str, Any] = {
        "task": {"name": "tiny-stripes"},
        "space": {"name": "tiny-space", "choices": {}},
        "search": {"strategy": "random", "trials": 3, "workers": 1},
        "training": {"proxy": {"steps": 6}, "full": {"steps": 12}},
        "measuring": {
            kind: {
                "processes": 1,
                "warmup_s": 0.01,
                "max_warmup_s": 0.05,
                "block_s": 0.01,
                "reference_block_s": 0.01,
                "min_samples": 6,
                "max_s": 0.05,
                "limit_s": 0.2,
                "max_attempts": 1,
            }
            for kind in ("search", "final")
        },
    }
    for dotted, change in changes.items():
        *sections, key = dotted.split("__")
        part = value
        for section in sections:
            part = part.setdefault(section, {})
        part[key] = change
    return value


@pytest.fixture
def write_run(tmp_path: Path) -> Callable[..., Path]:
    """Writes a run file with changes and returns its path."""

    def write(**changes: Any) -> Path:
        path = tmp_path / "run.yaml"
        path.write_text(yaml.safe_dump(run_settings(**changes)))
        return path

    return write
