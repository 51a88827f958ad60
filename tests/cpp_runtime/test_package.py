"""What is installed, found by CMake and packed; and the examples of the documentation, built against it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from hwnas.bundle.runtime.runner import Runner
from hwnas.data.sensors import load_sensor
from hwnas.version import __version__
from tests.cpp_runtime.building import Built, run
from tests.cpp_runtime.clouds import clouds_of
from tests.cpp_runtime.lidar_bundle import spec_of, write_lidar_bundle
from tests.docs.blocks import blocks_of

PAGE = "guides/run-from-cpp.md"


@pytest.fixture(scope="module")
def prefix(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the library is installed."""
    directory = tmp_path_factory.mktemp("installed")
    run("cmake", "--install", built.directory, "--prefix", directory)
    return directory


def write_examples(directory: Path) -> None:
    for block in blocks_of(PAGE):
        if "file" in block.remarks:
            (directory / block.remarks["file"]).write_text(block.text)


def test_the_examples_of_the_page_build_and_label(
    built: Built, prefix: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_examples(tmp_path)
    run("cmake", "-S", tmp_path, "-B", tmp_path / "build", f"-DCMAKE_PREFIX_PATH={prefix}")
    run("cmake", "--build", tmp_path / "build")
    sensor = load_sensor("vlp-16")
    bundle = write_lidar_bundle(tmp_path / "bundle", spec_of(sensor, 256))
    points, intensity, _ = next(clouds_of(sensor))
    values = np.column_stack([points, intensity]).astype(np.float32)
    (tmp_path / "scan.bin").write_bytes(values.tobytes())
    monkeypatch.setenv("HWNAS_ONNXRUNTIME_LIBRARY", str(built.onnxruntime))
    found = run(tmp_path / "build" / "label_scan", bundle, tmp_path / "scan.bin")
    with Runner(bundle) as runner:
        labels, scores = runner(values)
        names = runner.label_map.class_names
    expected = [f"{i} {names[labels[i]]} {scores[i]:.2f}" for i in range(0, len(labels), 1000)]
    assert found.stdout.splitlines() == expected
    refused = run(tmp_path / "build" / "label_scan", tmp_path / "gone", tmp_path / "scan.bin", code=7)
    assert refused.stderr.startswith("A bundle is a directory with a manifest.json, but ")
    refused = run(tmp_path / "build" / "label_scan", bundle, tmp_path / "gone.bin", code=3)
    assert refused.stderr == f"{tmp_path / 'gone.bin'} cannot be read.\n"


def test_the_header_is_c(built: Built, prefix: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if shutil.which("cc") is None:
        pytest.skip("there is no C compiler")
    write_examples(tmp_path)
    libraries = next(prefix.glob("lib/**/libhwnas_runtime.so")).parent
    command = ["cc", "-std=c99", "-Wall", "-Wextra", "-pedantic", "-Werror", tmp_path / "label_scan.c", "-o"]
    link = [
        tmp_path / "label",
        f"-I{prefix / 'include'}",
        f"-L{libraries}",
        "-lhwnas_runtime",
        f"-Wl,-rpath,{libraries}",
    ]
    run(*command, *link)
    monkeypatch.setenv("HWNAS_ONNXRUNTIME_LIBRARY", str(built.onnxruntime))
    bundle = write_lidar_bundle(tmp_path / "bundle", spec_of(load_sensor("vlp-16"), 256))
    found = run(tmp_path / "label", bundle)
    assert found.stdout.endswith(" 1 warnings\n")
    assert "no file" in run(tmp_path / "label", tmp_path / "gone", code=7).stderr


def test_versions(prefix: Path) -> None:
    assert run(prefix / "bin" / "hwnas_infer", "--version").stdout == f"hwnas_infer {__version__}\n"
    found = next(prefix.glob("lib/**/hwnas_runtimeConfigVersion.cmake")).read_text()
    assert f'set(PACKAGE_VERSION "{__version__}")' in found
    # Minor versions may differ in their interfaces, so that programs of one must not load another.
    library = next(prefix.glob("lib/**/libhwnas_runtime.so"))
    assert str(library.readlink()) == f"{library.name}.{'.'.join(__version__.split('.')[:2])}"


def test_a_debian_package_holds_what_programs_need(built: Built, tmp_path: Path) -> None:
    if shutil.which("dpkg-deb") is None or shutil.which("dpkg-shlibdeps") is None:
        pytest.skip("packing needs dpkg-dev")
    run(
        "cpack",
        "-G",
        "DEB",
        "-B",
        tmp_path,
        "--config",
        built.directory / "CPackConfig.cmake",
        cwd=built.directory,
    )
    package = next(tmp_path.glob("*.deb"))
    listed = run("dpkg-deb", "--contents", package).stdout
    for part in (
        "usr/bin/hwnas_infer",
        "/libhwnas_runtime.so",
        "hwnas_runtime/runtime.hpp",
        "hwnas_runtimeConfig.cmake",
    ):
        assert part in listed
    fields = run("dpkg-deb", "--field", package, "Package", "Version", "Depends").stdout
    assert f"Version: {__version__}" in fields
    assert "libc6" in fields
    assert "onnxruntime" not in fields


def test_nothing_is_linked_but_the_libraries_of_the_compiler(built: Built) -> None:
    needed = subprocess.run(["ldd", built.library], capture_output=True, text=True, check=True).stdout
    names = {line.split()[0].split(".")[0].rsplit("/")[-1] for line in needed.splitlines()}
    assert names <= {
        "linux-vdso",
        "libstdc++",
        "libm",
        "libgcc_s",
        "libc",
        "libdl",
        "ld-linux-x86-64",
        "ld-linux-aarch64",
    }
