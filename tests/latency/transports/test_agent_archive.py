from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
import zipfile
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest

from hwnas.errors import MeasurementError
from hwnas.latency.transports.agent_archive import agent_archive, travelling_modules


def test_the_same_bytes_in_every_process_and_at_every_time() -> None:
    code = "from hwnas.latency.transports.agent_archive import agent_archive; print(agent_archive().sha256)"
    hashes = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "TZ": zone, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
            text=True,
        ).stdout.strip()
        for zone, seed in (("UTC", "1"), ("Asia/Tokyo", "2"))
    }
    assert hashes == {agent_archive().sha256}
    assert hashlib.sha256(agent_archive().content).hexdigest() == agent_archive().sha256


def test_what_travels_is_small_and_knows_no_torch_nor_driver() -> None:
    archive = agent_archive()
    names = zipfile.ZipFile(io.BytesIO(archive.content)).namelist()
    assert "__main__.py" in names
    assert {"hwnas/latency/agent/server.py", "hwnas/latency/backends/onnxruntime.py"} <= set(names)
    for part in (
        "search",
        "cli",
        "tasks",
        "models",
        "training",
        "run",
        "report",
        "bundle/export",
        "bundle/verification",
        "latency/measure",
        "latency/predict",
        "latency/transports",
    ):
        assert not [name for name in names if name.startswith(f"hwnas/{part}")]
    assert len(archive.content) < 1 << 20


@pytest.fixture
def outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of another distribution."""
    package = tmp_path / "outside_backends"
    (package / "parts").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "backend.py").write_text(
        "import typing\nfrom . import parts\nfrom .other import thing\nimport numpy\n"
        "if typing.TYPE_CHECKING:\n    from .unused import nothing\nelse:\n    from .parts import parts\n"
    )
    (package / "other.py").write_text("def thing():\n    import outside_backends.late\n")
    (package / "late.py").write_text("from hwnas.pareto import non_dominated\n")
    (package / "unused.py").write_text("raise RuntimeError\n")
    (package / "parts" / "__init__.py").write_text("from .. import parts\n")
    (package / "native.so").write_bytes(b"")
    monkeypatch.syspath_prepend(str(tmp_path))
    return package


def test_a_backend_from_outside_travels_with_what_it_uses(outside: Path) -> None:
    added = set(travelling_modules("outside_backends.backend")) - set(travelling_modules())
    assert added == {
        "outside_backends",
        "outside_backends.backend",
        "outside_backends.other",
        "outside_backends.late",
        "outside_backends.parts",
        "hwnas.pareto",
    }
    assert agent_archive("outside_backends.backend").sha256 != agent_archive().sha256


def test_a_backend_that_is_no_source_is_refused(outside: Path) -> None:
    suffix = EXTENSION_SUFFIXES[0]
    (outside / "native.so").rename(outside / f"native{suffix}")
    with pytest.raises(MeasurementError, match=r"'outside_backends\.native' is none"):
        agent_archive("outside_backends.native")
