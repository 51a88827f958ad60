"""Builds the C++ runtime of `export/cpp` into `build/cpp`, which git ignores; what is up to date stays.

python -m tests.cpp_runtime.building
"""

from __future__ import annotations

import fcntl
import importlib.util
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "export" / "cpp"
BUILD = ROOT / "build" / "cpp"
_MOST_S = 900.0


@dataclass(frozen=True)
class Built:
    """What was built.

    Attributes:
        directory: of the build.
        library: `libhwnas_runtime.so`.
        infer: the program `hwnas_infer`.
        onnxruntime: the library that the tests' Python uses.
    """

    directory: Path
    library: Path
    infer: Path
    onnxruntime: Path

    def program(self, name: str) -> Path:
        """Return a program of `export/cpp/tests`."""
        return self.directory / "tests" / name


def onnxruntime_library() -> Path | None:
    """Return the library inside the installed package of onnxruntime, without importing it."""
    spec = importlib.util.find_spec("onnxruntime")
    places = [] if spec is None else list(spec.submodule_search_locations or [])
    found = [path for place in places for path in Path(place, "capi").glob("libonnxruntime.so.1.*")]
    return found[0] if found else None


def why_not() -> str:
    """Return what building or running lacks on this machine; empty if nothing."""
    missing = [name for name in ("cmake", "c++") if shutil.which(name) is None]
    if not any(
        Path(place, "nlohmann", "json.hpp").is_file() for place in ("/usr/include", "/usr/local/include")
    ):
        missing.append("nlohmann-json3-dev")
    if missing:
        return f"the C++ runtime needs {', '.join(missing)}: see scripts/prepare_cpp_runtime"
    return "" if onnxruntime_library() else "the package of onnxruntime has no library of its own"


def build(name: str = "default", *options: str, targets: tuple[str, ...] = ()) -> Path:
    """Configure and build, one process at a time, and return the directory.

    Args:
        name: of the directory below `build/cpp`.
        options: for CMake.
        targets: to build; all if there are none.
    """
    directory = BUILD / name
    directory.mkdir(parents=True, exist_ok=True)
    with directory.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        run(
            "cmake",
            "-S",
            SOURCE,
            "-B",
            directory,
            "-DHWNAS_BUILD_TESTS=ON",
            "-DHWNAS_WARNINGS_AS_ERRORS=ON",
            *options,
        )
        chosen = ["--target", *targets] if targets else []
        run("cmake", "--build", directory, "--parallel", str(min(2, os.cpu_count() or 1)), *chosen)
    return directory


def build_all() -> Built:
    """Build what the tests run, or skip with what is missing."""
    missing = why_not()
    if missing:
        pytest.skip(missing)
    # What optimises more takes twice as long to compile and gives the same bits.
    directory = build("default", "-DCMAKE_BUILD_TYPE=None", "-DCMAKE_CXX_FLAGS=-O1")
    library = onnxruntime_library()
    assert library is not None
    return Built(directory, directory / "libhwnas_runtime.so", directory / "hwnas_infer", library)


def run(*command: object, cwd: Path | None = None, code: int | None = 0) -> subprocess.CompletedProcess[str]:
    """Run a command; a wrong exit code fails with what it printed."""
    words = [str(word) for word in command]
    found = subprocess.run(words, capture_output=True, text=True, check=False, timeout=_MOST_S, cwd=cwd)
    said = f"{' '.join(words)} ended with {found.returncode}:\n{found.stdout[-4000:]}{found.stderr[-6000:]}"
    assert code is None or found.returncode == code, said
    return found


if __name__ == "__main__":
    build_all()
