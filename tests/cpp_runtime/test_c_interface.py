"""What programs in C can get wrong, and what they may rely on."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hwnas.bundle.runtime.runner import Runner
from hwnas.data.sensors import load_sensor
from hwnas.errors import ConfigError
from hwnas.thread_counts import most_threads
from tests.cpp_runtime.building import ROOT, Built
from tests.cpp_runtime.library import CppError, CppRunner
from tests.cpp_runtime.lidar_bundle import spec_of, write_lidar_bundle

POINTS = np.array([[8.0, 1.0, -1.5], [9.0, -2.0, -1.2]], np.float32)
INTENSITY = np.array([0.2, 0.4], np.float32)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return write_lidar_bundle(tmp_path / "bundle", spec_of(load_sensor("vlp-16"), 256))


def test_warnings_are_those_of_the_runner_that_is_asked(built: Built, bundle: Path) -> None:
    first, second = CppRunner(built, bundle), CppRunner(built, bundle)
    try:
        assert (first.warnings(), first.projection()) == ((), None)
        warnings = first.label(POINTS, INTENSITY).warnings
        assert warnings
        assert (second.warnings(), second.projection()) == ((), None)
        second.label(POINTS, INTENSITY)
        assert (first.warnings(), first.projection()) == ((), None)
        assert second.warnings() == warnings
    finally:
        first.close()
        second.close()


@pytest.mark.parametrize("threads", [-1, -(2**31), most_threads() + 1])
def test_threads_that_are_none_are_refused_with_the_words_of_python(
    built: Built, bundle: Path, threads: int
) -> None:
    with pytest.raises(ConfigError) as expected:
        Runner(bundle, threads=threads)
    with pytest.raises(CppError) as caught:
        CppRunner(built, bundle, threads=threads)
    assert (str(caught.value), caught.value.code) == (str(expected.value), 2)


REPLACE = """
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tests.cpp_runtime.building import Built
from tests.cpp_runtime.library import CppRunner
from tests.cpp_runtime.test_c_interface import INTENSITY, POINTS

paths = [Path(word) for word in sys.argv[1:]]
built, bundle = Built(*paths[:4]), paths[4]

def replaced(runner):
    runner.close()
    return CppRunner(built, bundle)

same = 0
for _ in range(5):
    old = CppRunner(built, bundle)
    address = old.address
    assert old.label(POINTS, INTENSITY).warnings
    with ThreadPoolExecutor(1) as elsewhere:  # which does not know what this thread was told
        new = elsewhere.submit(replaced, old).result()
    assert (new.warnings(), new.projection()) == ((), None), "those of the other runner"
    same += new.address == address
    new.close()
print(same)
"""


def test_a_runner_at_the_address_of_another_has_no_warnings_of_it(built: Built, bundle: Path) -> None:
    # So glibc gives memory that was freed last to whoever asks next, in any thread.
    environment = {**os.environ, "GLIBC_TUNABLES": "glibc.malloc.tcache_count=0:glibc.malloc.arena_max=1"}
    command = [sys.executable, "-c", REPLACE, built.directory, built.library, built.infer, built.onnxruntime]
    found = subprocess.run(
        [*map(str, command), str(bundle)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env=environment,
    )
    assert found.returncode == 0, found.stderr
    if found.stdout == "0\n":
        pytest.skip("no runner got the address of another")


def test_a_stride_of_nothing_is_refused(built: Built, bundle: Path) -> None:
    runner = CppRunner(built, bundle)
    try:
        with pytest.raises(CppError, match="`intensity` with one of at least 1") as error:
            runner.label(POINTS, INTENSITY, intensity_stride=0)
        assert error.value.code == 2
    finally:
        runner.close()
