"""The C++ runtime on aarch64: cross-compiled, run under qemu-user, and asked the same as on this machine."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from hwnas.data.expectations import expectations_of
from hwnas.data.sensors import load_sensor
from hwnas.scan import Scan
from tests.bundle.runtime.other_runtimes import DIRECTORY
from tests.bundle.runtime.test_scan_refusals import cloud_of, expected
from tests.cpp_runtime.building import SOURCE, Built, build, run
from tests.cpp_runtime.lidar_bundle import spec_of, write_lidar_bundle

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]

_TOOLS = ("aarch64-linux-gnu-g++", "aarch64-linux-gnu-objdump", "qemu-aarch64-static")
_ROOT = DIRECTORY / "aarch64"
SENSORS = ("vlp-16", "hdl-64e", "os1-128")
# Shares of labels. onnxruntime's kernels for the other processor add otherwise, and compute float16 as such where this
# one takes float32: what is nearly equal may turn.
MOST_DIFFERING = {"fp32": 0.0, "fp16": 0.005, "int8": 0.001}


@dataclass(frozen=True)
class Labelled:
    """What `hwnas_infer` says of a scan.

    Attributes:
        code: with which it ended.
        errors: that it printed.
        labels: [N] of its label file; empty if it wrote none.
        scores: [N].
    """

    code: int
    errors: str
    labels: npt.NDArray[np.uint32]
    scores: npt.NDArray[np.float32]


@pytest.fixture(scope="module")
def aarch64(built: Built) -> Built:
    """The runtime for aarch64, with the programs of its tests."""
    missing = [tool for tool in _TOOLS if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"running on aarch64 needs {', '.join(missing)}: see scripts/prepare_cpp_aarch64")
    libraries = sorted((_ROOT / "onnxruntime").glob("libonnxruntime.so.1.*"))
    if not libraries:
        pytest.skip(f"no onnxruntime for aarch64 in {_ROOT}: see scripts/prepare_cpp_aarch64")
    toolchain = f"-DCMAKE_TOOLCHAIN_FILE={SOURCE / 'cmake' / 'aarch64-linux-gnu.cmake'}"
    directory = build("aarch64", toolchain, "-DCMAKE_BUILD_TYPE=Release")
    assert built
    return Built(directory, directory / "libhwnas_runtime.so", directory / "hwnas_infer", libraries[0])


def emulated(program: Path, *arguments: object) -> list[object]:
    return ["qemu-aarch64-static", "-L", _ROOT, program, *arguments]


def write_scan(path: Path, points: npt.NDArray[np.float32], intensity: npt.NDArray[np.float32]) -> Path:
    path.write_bytes(np.column_stack([points, intensity]).astype("<f4").tobytes())
    return path


def bundle_of(directory: Path, name: str) -> tuple[Path, Path]:
    """Return a bundle for a sensor, and a scan of it whose intensity reaches 255."""
    bundle = write_lidar_bundle(
        directory / "bundle",
        spec_of(load_sensor(name), 512),
        expects=expected(name).to_json(),
        intensity_range=[0.0, 255.0],
    )
    cloud = cloud_of(name, 3)
    return bundle, write_scan(directory / "scan.bin", cloud.points, cloud.intensity * np.float32(255))


def infer(words: Sequence[object], bundle: Path, scan: Path, library: Path, *options: str) -> Labelled:
    """Run `hwnas_infer`, here or emulated."""
    out, scores = scan.with_suffix(".label"), scan.with_suffix(".scores")
    for file in (out, scores):
        file.unlink(missing_ok=True)
    command = [*words, bundle, scan, "-o", out, "--scores", scores, "--library", library, *options]
    found = subprocess.run(
        list(map(str, command)),
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    labels = np.fromfile(out, "<u4") if out.is_file() else np.empty(0, np.uint32)
    probabilities = np.fromfile(scores, "<f4") if scores.is_file() else np.empty(0, np.float32)
    return Labelled(found.returncode, found.stderr, labels, probabilities)


def both_label(
    built: Built, aarch64: Built, bundle: Path, scan: Path, *options: str
) -> tuple[Labelled, Labelled]:
    """Label a scan on this machine and on aarch64."""
    here = infer([built.infer], bundle, scan, built.onnxruntime, *options)
    there = infer(emulated(aarch64.infer), bundle, scan, aarch64.onnxruntime, *options)
    assert (there.code, there.errors) == (here.code, here.errors)
    return here, there


def say(name: str, precision: str, here: Labelled, there: Labelled) -> int:
    """Print how many labels differ, for `pytest -rP`, and return it."""
    differing = int(np.count_nonzero(here.labels != there.labels))
    furthest = float(np.max(np.abs(here.scores - there.scores)))
    sys.stdout.write(f"| {name} | {precision} | {len(here.labels)} | {differing} | {furthest:.1e} |\n")
    return differing


def test_no_multiplication_is_fused_with_an_addition(aarch64: Built) -> None:
    code = run("aarch64-linux-gnu-objdump", "-d", "--no-show-raw-insn", aarch64.library).stdout
    assert len(re.findall(r"\tfmul\t", code)) > 50
    assert re.findall(r"\t(fn?m(?:add|sub)|fml[as])\t", code) == []


@pytest.mark.parametrize("name", SENSORS)
def test_own_arithmetic_gives_the_same_bits(built: Built, aarch64: Built, tmp_path: Path, name: str) -> None:
    bundle, scan = bundle_of(tmp_path, name)
    here, there = tmp_path / "here", tmp_path / "there"
    said = run(built.program("fake_labels"), bundle, scan, here).stdout
    assert run(*emulated(aarch64.program("fake_labels"), bundle, scan, there)).stdout == said
    count = scan.stat().st_size // 16
    contents = [here.read_bytes(), there.read_bytes()]
    assert contents[0][:count] == contents[1][:count]
    assert len(set(contents[0][:count])) > 2
    scores = [np.frombuffer(content[count:], "<f4") for content in contents]
    np.testing.assert_allclose(scores[1], scores[0], rtol=2e-6)  # exponentials are of the system's library


@pytest.mark.parametrize("name", SENSORS)
def test_labels_of_scans(built: Built, aarch64: Built, tmp_path: Path, name: str) -> None:
    bundle, scan = bundle_of(tmp_path, name)
    for precision, most in MOST_DIFFERING.items():
        here, there = both_label(built, aarch64, bundle, scan, "--precision", precision)
        assert len(np.unique(here.labels)) > 2
        assert say(name, precision, here, there) <= most * len(here.labels)
        if precision == "fp32":
            np.testing.assert_allclose(there.scores, here.scores, rtol=1e-5)


def test_labels_of_three_real_scans(built: Built, aarch64: Built, tmp_path: Path, real_lidar: Path) -> None:
    files = sorted((real_lidar / "sequences").glob("*/velodyne/*.bin"))[::12][:3]
    values = [np.fromfile(file, "<f4").reshape(-1, 4) for file in files]
    scans = [Scan(one[:, :3], one[:, 3], None, None, "") for one in values]
    expects = expectations_of(scans, sensor="hdl-64e", frame="x-forward", intensity_range=(0.0, 1.0))
    spec = spec_of(load_sensor("hdl-64e"), 2048, has_beams=False)
    bundle = write_lidar_bundle(tmp_path / "bundle", spec, expects=expects.to_json())
    for one in values:
        scan = write_scan(tmp_path / "scan.bin", one[:, :3], one[:, 3])
        for precision, most in MOST_DIFFERING.items():
            here, there = both_label(built, aarch64, bundle, scan, "--precision", precision)
            assert here.code == 0
            assert say("real, hdl-64e", precision, here, there) <= most * len(here.labels)


def test_wrong_scans_are_refused_with_the_same_words(built: Built, aarch64: Built, tmp_path: Path) -> None:
    bundle, _ = bundle_of(tmp_path, "vlp-16")
    cloud = cloud_of("vlp-16", 4)
    intensity = cloud.intensity * np.float32(255)
    for factor, points in ((100.0, cloud.points), (1.0, cloud.points[:, [1, 2, 0]])):
        scan = write_scan(tmp_path / "wrong.bin", points * np.float32(factor), intensity)
        here, _ = both_label(built, aarch64, bundle, scan)
        assert here.code == 3
    few = write_scan(tmp_path / "few.bin", cloud.points[:7], intensity[:7])
    assert "WARNING" in both_label(built, aarch64, bundle, few)[0].errors.upper()
    (tmp_path / "wrong.bin").write_bytes(b"\xff" * 160 + "\N{LATIN SMALL LETTER E WITH ACUTE}".encode())
    assert both_label(built, aarch64, bundle, tmp_path / "wrong.bin")[0].code == 3


def test_memory_threads_and_damaged_input(built: Built, aarch64: Built, tmp_path: Path) -> None:
    bundle, scan = bundle_of(tmp_path, "vlp-16")
    first, *others = map(int, run(*emulated(aarch64.program("steady_state"), bundle, scan)).stdout.split())
    assert first > 0
    assert others == [0, 0, 0]
    assert run(*emulated(aarch64.program("threads"), bundle, scan)).stdout == "0 differ\n"
    fuzzed = [
        run(*words).stdout
        for words in (
            [built.program("fuzz"), bundle, scan, 100, 2],
            emulated(aarch64.program("fuzz"), bundle, scan, 100, 2),
        )
    ]
    assert re.fullmatch(r"100 inputs, \d+ taken\n", fuzzed[0])
    assert fuzzed[1] == fuzzed[0]


def test_a_debian_package_is_for_arm64(aarch64: Built, tmp_path: Path) -> None:
    if shutil.which("dpkg-deb") is None:
        pytest.skip("packing needs dpkg-dev")
    config = aarch64.directory / "CPackConfig.cmake"
    run("cpack", "-G", "DEB", "-B", tmp_path, "--config", config, cwd=aarch64.directory)
    package = next(tmp_path.glob("*.deb"))
    assert package.name.endswith("_arm64.deb")
    assert run("dpkg-deb", "--field", package, "Architecture").stdout == "arm64\n"
