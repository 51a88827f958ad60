"""`hwnas_infer` writes what `hwnas infer` writes, ends as it ends, and says what it says."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from hwnas.cli.main import make_app
from hwnas.cli.option_names import with_options
from hwnas.data.sensors import load_sensor
from hwnas.errors import HwnasError
from hwnas.thread_counts import most_threads
from tests.bundle.made_up_bundle import change
from tests.bundle.runtime.test_scan_refusals import cloud_of, expected, variations
from tests.cpp_runtime.building import Built
from tests.cpp_runtime.lidar_bundle import spec_of, write_lidar_bundle
from tests.data.test_whole_numbers import WRONG

COLUMNS_5 = {"columns": ["x", "y", "z", "intensity", "ring"]}


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    expects = expected("vlp-16").to_json()
    spec = spec_of(load_sensor("vlp-16"), 512)
    return write_lidar_bundle(tmp_path / "bundle", spec, expects=expects, intensity_range=[0.0, 255.0])


def state_format(bundle: Path, options: dict[str, Any], **more: Any) -> None:
    change(bundle, lambda m: m["deployment"].update(scan_format={"name": "bin", "options": options}, **more))


def values_of(seed: int = 3) -> np.ndarray:
    """[N, 5]: x, y, z, intensity, ring."""
    cloud = cloud_of("vlp-16", seed)
    return np.column_stack([cloud.points, cloud.intensity * np.float32(255), cloud.ring]).astype(np.float32)


def write(path: Path, values: np.ndarray, dtype: str = "<f4") -> Path:
    path.write_bytes(values.astype(dtype).tobytes())
    return path


def run_cpp(built: Built, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [str(built.infer), *map(str, arguments), "--library", str(built.onnxruntime)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def run_python(bundle: Path, scan: Path, out: Path, *options: str) -> tuple[int, str, str, bytes]:
    """Return exit code, error, warnings and labels."""
    found = CliRunner().invoke(make_app(), ["infer", str(bundle), str(scan), "--out", str(out), *options])
    labels = out / f"{scan.stem}.label"
    if isinstance(found.exception, HwnasError):
        error = f"{type(found.exception).__name__}: {with_options(str(found.exception))}\n"
        return found.exception.exit_code, error, "", b""
    assert found.exit_code == 0, found.output
    said = "".join(
        line for line in found.stderr.splitlines(keepends=True) if line.strip()
    )  # a bar leaves a line
    return 0, "", said, labels.read_bytes()


def assert_same(built: Built, bundle: Path, scan: Path, tmp_path: Path, *options: str) -> str:
    """Run both, and return what was said on standard error."""
    out = tmp_path / "cpp.label"
    cpp = run_cpp(built, bundle, scan, "-o", out, *options)
    code, error, warnings, labels = run_python(bundle, scan, tmp_path / "python", "--force", *options)
    assert (cpp.returncode, cpp.stderr) == (code, error or warnings)
    if not code:
        assert out.read_bytes() == labels
        assert cpp.stdout.startswith(f"{out}  {len(labels) // 4} points in ")
        out.unlink()
    assert not out.exists()
    return cpp.stderr


def test_scans_that_contradict_the_manifest_are_labelled_only_if_that_is_asked_for(
    built: Built, bundle: Path, tmp_path: Path
) -> None:
    mirrored = values_of()[:, :4]
    mirrored[:, 2] *= -1
    scan = write(tmp_path / "scan.bin", mirrored)
    assert "(`--no-check-scans` lets a runner" in assert_same(built, bundle, scan, tmp_path)
    assert "WARNING" in assert_same(built, bundle, scan, tmp_path, "--no-check-scans")


def test_labels_of_a_scan(built: Built, bundle: Path, tmp_path: Path) -> None:
    scan = write(tmp_path / "scan.bin", values_of()[:, :4])
    for options in ((), ("--ids", "train"), ("--precision", "int8"), ("--threads=2",)):
        assert assert_same(built, bundle, scan, tmp_path, *options) == ""


def test_what_is_unusual_is_a_warning_and_what_is_wrong_an_error(
    built: Built, bundle: Path, tmp_path: Path
) -> None:
    cloud = cloud_of("vlp-16", 3)
    shuffled = variations().unordered(cloud, np.random.default_rng(0))
    values = np.column_stack([shuffled.points, shuffled.intensity * np.float32(255)])
    said = assert_same(built, bundle, write(tmp_path / "shuffled.bin", values), tmp_path)
    assert "mirrored scan would not be noticed" in said
    said = assert_same(built, bundle, write(tmp_path / "wrong.bin", values * [1, -1, -1, 1]), tmp_path)
    assert said.startswith("DataError: 1 of 1 scans could not be labelled:\n  ")


@pytest.mark.parametrize("dtype", ["<f4", "<f8", ">f4", "<i2"])
def test_records_of_other_columns_and_types(built: Built, bundle: Path, tmp_path: Path, dtype: str) -> None:
    state_format(bundle, {**COLUMNS_5, "dtype": dtype})
    scan = write(tmp_path / "scan.bin", values_of(), dtype)
    assert_same(built, bundle, scan, tmp_path)
    state_format(bundle, {"columns": ["x", "y", "z", "intensity", {"ring": "uint8"}, "_", {"t": "float64"}]})
    record = np.dtype([("p", "<f4", 4), ("ring", "u1"), ("skipped", "<f4"), ("time", "<f8")])
    packed = np.zeros(len(values_of()), record)
    packed["p"], packed["ring"], packed["time"] = (
        values_of()[:, :4],
        values_of()[:, 4],
        np.arange(len(packed)),
    )
    (tmp_path / "packed.bin").write_bytes(packed.tobytes())
    assert_same(built, bundle, tmp_path / "packed.bin", tmp_path)


def test_other_units_origins_and_axes(built: Built, bundle: Path, tmp_path: Path) -> None:
    values = values_of()
    moved = np.column_stack(
        [-values[:, 1] * 100 + 500, values[:, 0] * 100, values[:, 2:3] * 100 - 700, values[:, 3:4]]
    )
    moved[::50, :3] = 0.0
    for dtype in ("<f4", "<f8"):
        state_format(bundle, {"dtype": dtype}, frame="y-forward", unit_m=0.01, origin_m=[5.0, 0.0, -7.0])
        assert assert_same(built, bundle, write(tmp_path / "scan.bin", moved, dtype), tmp_path) == ""


def test_files_that_are_not_as_they_are_said_to_be(built: Built, bundle: Path, tmp_path: Path) -> None:
    values = values_of()
    said = assert_same(built, bundle, write(tmp_path / "five.bin", values), tmp_path)
    assert "are there 5?" in said
    assert "values look like float64" in assert_same(
        built, bundle, write(tmp_path / "wide.bin", values[:, :4], "<f8"), tmp_path
    )
    whole = values[:, :4].astype("<f4").tobytes()
    for name, content in (("cut.bin", whole[:-3]), ("empty.bin", b""), ("pcd.bin", b"# .PCD v0.7 ")):
        (tmp_path / name).write_bytes(content)
        assert_same(built, bundle, tmp_path / name, tmp_path)
    (tmp_path / "cut5.bin").write_bytes(values.astype("<f4").tobytes() + bytes(20))
    assert_same(built, bundle, tmp_path / "cut5.bin", tmp_path)
    for missing in (tmp_path / "gone.bin",):
        assert "There is no scan file" in assert_same(built, bundle, missing, tmp_path)
    state_format(bundle, COLUMNS_5)
    values[7, 4] = 2.5
    assert "the ring of point 7 is 2.5" in assert_same(
        built, bundle, write(tmp_path / "r.bin", values), tmp_path
    )
    state_format(bundle, {"columns": ["x", "y", "z", "ring"]})
    assert "has no field for 'intensity'" in assert_same(
        built, bundle, write(tmp_path / "n.bin", values[:, :4]), tmp_path
    )


@pytest.mark.parametrize(("name", "kind", "value", "said"), [*WRONG, ("ring", "f4", np.nan, "nan")])
def test_rings_and_labels_that_are_no_whole_numbers(
    built: Built, bundle: Path, tmp_path: Path, name: str, kind: str, value: float, said: str
) -> None:
    types = {"x": "<f4", "y": "<f4", "z": "<f4", "intensity": "<f4", "label": "<f4", "ring": "<f4"}
    types[name] = "<" + kind
    values = np.ones(4, list(types.items()))
    values[name][2] = -value if np.isnan(value) else value
    values["label"][1] = values["label"][1] if name == "label" else 0.5  # the ring is named first
    (tmp_path / "a.bin").write_bytes(values.tobytes())
    state_format(bundle, {"columns": [{field: type_} for field, type_ in types.items()]})
    assert f"the {name} of point 2 is {said}; expected whole" in assert_same(
        built, bundle, tmp_path / "a.bin", tmp_path
    )


@pytest.mark.parametrize(
    "options",
    [
        {"columns": ["x", "y", "z", "w"]},
        {"columns": ["x", "x", "z", "intensity"]},
        {"columns": []},
        {"columns": "x,y"},
        {"dtype": "text"},
        {"dtype": "f\0"},
        {"dtype": "\0004"},
        {"dtype": "\0f4"},
        {
            "columns": [
                {"x": "f\0"},
                "y",
                "z",
                "intensity",
                {"_": "f8"},
                {"_": "f8"},
                {"_": "f8"},
                {"_": "f8"},
            ]
        },
        {"check_columns": 1},
    ],
)
def test_formats_that_mean_nothing(
    built: Built, bundle: Path, tmp_path: Path, options: dict[str, Any]
) -> None:
    state_format(bundle, options)
    assert_same(built, bundle, write(tmp_path / "scan.bin", values_of()[:, :4]), tmp_path)


def test_more_threads_than_the_machine_can_use(built: Built, bundle: Path, tmp_path: Path) -> None:
    scan = write(tmp_path / "scan.bin", values_of()[:, :4])
    said = assert_same(built, bundle, scan, tmp_path, "--threads", str(most_threads() + 1))
    assert said == (
        f"ConfigError: The number of threads is {most_threads() + 1}; expected a whole number from 0, which is "
        f"one for every core, to {most_threads()}.\n"
    )


def test_scores_and_an_output_that_is_whole_or_as_it_was(built: Built, bundle: Path, tmp_path: Path) -> None:
    scan = write(tmp_path / "scan.bin", values_of()[:, :4])
    out, scores = tmp_path / "o.label", tmp_path / "o.scores"
    out.write_bytes(bytes(8))
    refused = run_cpp(built, bundle, scan, "-o", out, "--scores", scores)
    assert (refused.returncode, "exists already. Give --force" in refused.stderr) == (2, True)
    assert out.read_bytes() == bytes(8)
    assert not scores.exists()
    assert run_cpp(built, bundle, scan, "-o", out, "--scores", scores, "--force").returncode == 0
    found = np.fromfile(scores, "<f4")
    assert len(found) == len(np.fromfile(out, "<u4")) == len(values_of())
    assert 0.0 <= found.min() < found.max() <= 1.0
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(out.stat().st_mode) == 0o666 & ~umask
    before = out.read_bytes()
    failed = run_cpp(built, bundle, write(tmp_path / "bad.bin", values_of() * 1e3), "-o", out, "--force")
    assert failed.returncode == 3
    assert out.read_bytes() == before
    refused = run_cpp(built, bundle, scan, "-o", tmp_path / "gone" / "o.label")
    assert (refused.returncode, "it does not exist" in refused.stderr) == (10, True)
    refused = run_cpp(built, bundle, scan, "-o", tmp_path)
    assert refused.returncode == 10
    link = tmp_path / "link.label"
    link.symlink_to(out)
    refused = run_cpp(built, bundle, scan, "-o", link, "--force")
    assert (refused.returncode, "is no plain file" in refused.stderr) == (2, True)
    assert out.read_bytes() == before
    assert not [path.name for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_force_replaces_nothing_but_what_was_written_as_such(
    built: Built, bundle: Path, tmp_path: Path
) -> None:
    scan = write(tmp_path / "scan.bin", values_of()[:, :4])
    out, scores = tmp_path / "scan.label", tmp_path / "o.scores"
    by_people = np.array([40, 10 | 3 << 16], "<u4")
    for content in (by_people.tobytes(), bytes(7), scan.read_bytes()):
        out.write_bytes(content)
        cpp = run_cpp(built, bundle, scan, "-o", out, "--force")
        code, error, _, _ = run_python(bundle, scan, tmp_path, "--force")
        assert (cpp.returncode, cpp.stderr) == (code, error)
        assert "a file that hwnas did not write as such" in error
        assert out.read_bytes() == content
    out.unlink()
    ids = np.array([40, 10], "<u4").tobytes()
    for content in (ids, bytes(3), np.array([0.5, 1.5], "<f4").tobytes()):
        scores.write_bytes(content)
        refused = run_cpp(built, bundle, scan, "-o", out, "--scores", scores, "--force")
        assert refused.returncode == 2
        assert "would become scores, but there is a file that hwnas did not write as such" in refused.stderr
        assert scores.read_bytes() == content
        assert not out.exists()
    for path, content in ((out, ids), (scores, np.array([0.0, 1.0, 0.3], "<f4").tobytes())):
        path.write_bytes(content)
    for _ in range(2):
        assert run_cpp(built, bundle, scan, "-o", out, "--scores", scores, "--force").returncode == 0
        assert out.stat().st_size == scores.stat().st_size == scan.stat().st_size // 4


def test_the_scan_the_labels_and_the_scores_are_three_files(
    built: Built, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    scan = write(tmp_path / "scan.bin", values_of()[:, :4])
    before = scan.read_bytes()
    for outputs, what in (
        (["-o", "./scan.bin"], "Labels cannot go into the scan, 'scan.bin'."),
        (["-o", "a.label", "--scores", ".//scan.bin"], "Scores cannot go into the scan, 'scan.bin'."),
        (["-o", "a.label", "--scores", "./a.label"], "Labels and scores cannot go into one file, 'a.label'."),
    ):
        refused = run_cpp(built, bundle, "scan.bin", *outputs, "--force")
        assert (refused.returncode, what in refused.stderr) == (2, True)
    assert scan.read_bytes() == before
    assert not Path("a.label").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "Expected a bundle, a scan and `-o OUT.label`."),
        (("b",), "Expected a bundle, a scan and `-o OUT.label`."),
        (("b", "s.bin"), "Expected a bundle, a scan and `-o OUT.label`."),
        (("b", "s.bin", "-o"), "-o takes a value."),
        (
            ("b", "s.bin", "-o", "o", "--threads", "-1"),
            "The number of threads is -1; expected a whole number from 0, which",
        ),
        (
            ("b", "s.bin", "-o", "o", "--threads", "1e3"),
            "The number of threads is '1e3'; expected a whole number",
        ),
        (("b", "s.bin", "-o", "o", "--threads", ""), "The number of threads is ''; expected a whole number"),
        (
            ("b", "s.bin", "-o", "o", "--threads=99999999999999999999"),
            "The number of threads is 99999999999999999999;",
        ),
        (("b", "s.bin", "-o", "o", "--thread"), "There is no option '--thread'."),
        (("b", "s.bin", "-o", "o", "--thread", "2"), "There is no option '--thread'."),
        (("b", "s.bin", "-o", "o", "--force=yes"), "--force takes no value, but got 'yes'."),
    ],
)
def test_wrong_options(built: Built, arguments: tuple[str, ...], words: str) -> None:
    found = subprocess.run([str(built.infer), *arguments], capture_output=True, text=True, check=False)
    assert found.returncode == 2
    assert found.stderr.startswith(f"ConfigError: {words}")


@pytest.mark.parametrize(
    "name",
    [
        b"\xc3\x1b[2J",
        b"\xff\x1b[2J",
        b"\xc0\x9b[2J",
        b"\xf0\x9f\x98",
        b"\xf8\x88\x80\x80\x80",
        "é😀\u200b".encode(),
    ],
)
def test_names_that_are_not_utf_8_are_shown_as_python_shows_them(
    built: Built, bundle: Path, tmp_path: Path, name: bytes
) -> None:
    scan = write(tmp_path / "scan.bin", values_of()[:, :4])
    out = os.fsencode(tmp_path) + b"/" + name + b"/o.label"
    command: list[str | bytes] = [
        str(built.infer),
        str(bundle),
        str(scan),
        "-o",
        out,
        "--library",
        str(built.onnxruntime),
    ]
    found = subprocess.run(command, capture_output=True, check=False)
    assert found.returncode == 10
    assert b"\x1b" not in found.stderr
    assert found.stderr.decode().startswith(f"FileAccessError: {os.fsdecode(out)!r} cannot be used: ")


def test_onnxruntime_that_is_not_there_or_is_something_else(
    built: Built, bundle: Path, tmp_path: Path
) -> None:
    scan = write(tmp_path / "scan.bin", values_of()[:, :4])
    command = [str(built.infer), str(bundle), str(scan), "-o", str(tmp_path / "o.label")]
    for library in ("/nowhere/libonnxruntime.so", "libm.so.6"):
        environment = {**os.environ, "HWNAS_ONNXRUNTIME_LIBRARY": library}
        found = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        assert found.returncode == 7
        assert "needs onnxruntime, which cannot be loaded (" in found.stderr
        assert found.stderr.endswith("or name its file in HWNAS_ONNXRUNTIME_LIBRARY.\n")
    environment = {key: value for key, value in os.environ.items() if key != "HWNAS_ONNXRUNTIME_LIBRARY"}
    found = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if found.returncode:  # no directory of the loader has one
        assert "libonnxruntime.so.1: cannot open" in found.stderr
        assert "; libonnxruntime.so: cannot open" in found.stderr
    environment = {**os.environ, "HWNAS_ONNXRUNTIME_LIBRARY": str(built.onnxruntime)}
    assert subprocess.run(command, check=False, env=environment, capture_output=True).returncode == 0
