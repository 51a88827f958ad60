"""Memory, threads and damaged input, by programs that are built with the runtime."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from hwnas.data.sensors import load_sensor
from tests.bundle.runtime.test_scan_refusals import cloud_of, expected
from tests.cpp_runtime import fuzzing
from tests.cpp_runtime.building import ROOT, SOURCE, Built, build, run
from tests.cpp_runtime.fuzzing import SANITIZERS
from tests.cpp_runtime.lidar_bundle import spec_of, write_lidar_bundle

_STOP: Mapping[str, str] = {"ASAN_OPTIONS": "abort_on_error=1", "TSAN_OPTIONS": "halt_on_error=1"}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("programs") / "bundle"
    expects, spec = expected("vlp-16").to_json(), spec_of(load_sensor("vlp-16"), 256)
    return write_lidar_bundle(directory, spec, expects=expects, intensity_range=[0.0, 255.0])


def write_scan(path: Path, seed: int = 3, *, holes: int = 0, sensor: str = "vlp-16") -> Path:
    cloud = cloud_of(sensor, seed)
    values = np.column_stack([cloud.points, cloud.intensity * np.float32(255)]).astype("<f4")
    if holes:
        values[::holes, :3] = 0.0
    path.write_bytes(values.tobytes())
    return path


def test_after_the_first_scans_nothing_asks_for_memory(built: Built, bundle: Path, tmp_path: Path) -> None:
    scans = [
        write_scan(tmp_path / f"{seed}.bin", seed, holes=holes) for seed, holes in ((3, 0), (4, 9), (5, 50))
    ]
    found = run(built.program("steady_state"), bundle, *scans)
    assert "warning" not in found.stdout
    first, *others = map(int, found.stdout.split())
    assert first > 0
    assert others == [0, 0, 0]


def test_threads_get_what_each_would_get_alone(built: Built, bundle: Path, tmp_path: Path) -> None:
    assert run(built.program("threads"), bundle, write_scan(tmp_path / "scan.bin")).stdout == "0 differ\n"


def test_damaged_input_ends_in_an_error_or_in_labels(built: Built, bundle: Path, tmp_path: Path) -> None:
    found = run(built.program("fuzz"), bundle, write_scan(tmp_path / "scan.bin"), 400, 1)
    check_counts(found.stdout, 400)


def check_counts(said: str, runs: int) -> None:
    """Some inputs are taken, and some refused; all are counted."""
    match = re.fullmatch(r"(\d+) inputs, (\d+) taken\n", said)
    assert match is not None, said
    assert int(match[1]) == runs
    assert 0.1 * runs < int(match[2]) < 0.9 * runs


def sanitized(name: str, sanitizers: str, *targets: str, compiler: str = "g++", **options: str) -> Path:
    """Build programs with sanitizers."""
    if shutil.which(compiler) is None:
        pytest.skip(f"there is no {compiler}")
    flags = [
        f"-DHWNAS_SANITIZE={sanitizers}",
        f"-DCMAKE_CXX_COMPILER={compiler}",
        "-DCMAKE_CXX_FLAGS=-O1 -g1",
    ]
    more = [f"-D{key}={value}" for key, value in options.items()]
    return build(name, "-DCMAKE_BUILD_TYPE=None", *flags, *more, targets=targets)


def run_sanitized(*command: object, **environment: str) -> str:
    """Run a program that a sanitizer may stop, and return what it printed."""
    words = [str(word) for word in command]
    found = subprocess.run(
        words,
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
        env={**os.environ, **_STOP, **environment},
    )
    assert found.returncode == 0, found.stdout[-2000:] + found.stderr[-6000:]
    return found.stdout + found.stderr


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("compiler", ["g++", "clang++"])
def test_compilers_have_nothing_to_say(built: Built, compiler: str) -> None:
    """What optimises more sees more: all is built for release, with warnings as errors."""
    assert built
    if shutil.which(compiler) is None:
        pytest.skip(f"there is no {compiler}: see scripts/prepare_cpp_runtime --all")
    name = f"warnings-{compiler.strip('+')}"
    directory = build(name, f"-DCMAKE_CXX_COMPILER={compiler}", "-DCMAKE_BUILD_TYPE=Release")
    assert "HWNAS_WARNINGS_AS_ERRORS:BOOL=ON" in (directory / "CMakeCache.txt").read_text()
    assert run(directory / "hwnas_infer", "--version").stdout


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", range(2))
def test_addresses_and_undefined_behaviour(built: Built, bundle: Path, tmp_path: Path, seed: int) -> None:
    directory = sanitized("address", SANITIZERS, "fuzz", "hwnas_infer", "fake_labels")
    scan = write_scan(tmp_path / "scan.bin")
    check_counts(run_sanitized(directory / "tests" / "fuzz", bundle, scan, 4000, seed), 4000)
    out = tmp_path / "o.label"
    for precision in ("fp32", "fp16", "int8"):
        words = [bundle, scan, "-o", out, "--library", built.onnxruntime, "--precision", precision, "--force"]
        run_sanitized(directory / "hwnas_infer", *words)
        assert out.stat().st_size == scan.stat().st_size // 4


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_labels_with_sanitizers_are_those_without(built: Built, tmp_path: Path) -> None:
    directory = sanitized("address", SANITIZERS, "fuzz", "hwnas_infer", "fake_labels")
    for name in ("vlp-16", "hdl-64e", "ot128"):
        spec, expects = spec_of(load_sensor(name)), expected(name).to_json()
        bundle = write_lidar_bundle(tmp_path / name, spec, expects=expects, intensity_range=[0.0, 255.0])
        scan = write_scan(tmp_path / f"{name}.bin", 5, sensor=name)
        outs = [tmp_path / "sanitized", tmp_path / "usual"]
        said = run_sanitized(directory / "tests" / "fake_labels", bundle, scan, outs[0])
        assert said == run(built.program("fake_labels"), bundle, scan, outs[1]).stdout
        assert outs[0].read_bytes() == outs[1].read_bytes()


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_threads_share_nothing_unguarded(built: Built, bundle: Path, tmp_path: Path) -> None:
    directory = sanitized("thread", "thread", "threads")
    program, scan = directory / "tests" / "threads", write_scan(tmp_path / "scan.bin")
    assert run_sanitized(program, bundle, scan) == "0 differ\n"
    # The same through the C interface, with onnxruntime, which is not built with the sanitizer.
    with_library = "halt_on_error=1 ignore_noninstrumented_modules=1"
    said = run_sanitized(program, bundle, scan, built.onnxruntime, TSAN_OPTIONS=with_library)
    assert said == "0 differ\n"


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_libfuzzer_finds_nothing_in_a_minute(built: Built, tmp_path: Path) -> None:
    assert built
    missing = fuzzing.why_not()
    if missing:
        pytest.skip(missing)
    command = [
        sys.executable,
        ROOT / "scripts" / "fuzz_cpp.py",
        "--minutes",
        "1",
        "--corpus",
        tmp_path / "corpus",
    ]
    match = re.match(
        r"(\d+) executions in \d+ s .* (\d+) edges, \d+ features, 0 findings\n", run(*command).stdout
    )
    assert match is not None
    assert int(match[1]) > 100
    assert int(match[2]) > 3000
    assert not list((tmp_path / "findings").iterdir())


def test_seeds_of_the_fuzz_target_are_of_every_kind(tmp_path: Path) -> None:
    bundle = fuzzing.fuzzed_bundle(tmp_path / "bundle")
    fuzzing.write_seeds(tmp_path / "corpus", bundle)
    seeds = [path.read_bytes() for path in (tmp_path / "corpus").iterdir()]
    source = (SOURCE / "tests" / "fuzz.cpp").read_text()
    kinds = re.findall(r"^  k\w+,\s+//", source, re.MULTILINE)
    assert {seed[0] for seed in seeds} == set(range(len(kinds)))
    assert max(map(len, seeds)) < fuzzing.MOST_BYTES
    fuzzing.write_dictionary(tmp_path / "words", bundle)
    words = (tmp_path / "words").read_text().splitlines()
    assert {'"deployment"', '"beams_deg"', '"columns"'} <= set(words)
    assert all(re.fullmatch(r'"[^"\\]+"', word) for word in words)
