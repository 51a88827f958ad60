"""`hwnas infer` labels files and directories, and names what it cannot use."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hwnas.bundle.bundle import Bundle
from hwnas.bundle.inference.input_files import find_inputs
from hwnas.bundle.inference.results import Inference, InferenceProblem, InferredFile
from hwnas.bundle.runtime.runner import Runner
from hwnas.cli.infer import _refuse_problems
from hwnas.errors import ConfigError, DataError
from tests.bundle.small_lidar import LABELS, make_scan
from tests.cli.bundles.commands import call, files_below, first_bundle, invoke


def test_infer_writes_raw_labels_and_a_picture(run: Path, scan: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    entry = json.loads(call("infer", first_bundle(run), scan, "-o", out, "--picture", "--json"))["files"][0]
    raw = np.fromfile(out / "scan.label", "<u4")
    points, intensity, _ = make_scan(5)
    expected = LABELS.to_raw(Runner(first_bundle(run)).label(points, intensity))
    np.testing.assert_array_equal(raw, expected)
    assert set(np.unique(raw)) <= {40, 50, 70}
    assert entry["facts"]["points"] == len(points)
    assert entry["facts"]["projection"] == "ring"
    with Image.open(out / "scan.png") as picture:
        assert picture.size[0] > 500
    assert sorted(path.name for path in out.iterdir()) == ["scan.label", "scan.png"]


def test_infer_keeps_existing_files(run: Path, scan: Path, tmp_path: Path) -> None:
    (tmp_path / "scan.label").write_text("mine")
    with pytest.raises(ConfigError, match="exists already"):
        call("infer", first_bundle(run), scan, "-o", tmp_path)
    Image.new("RGB", (2, 2)).save(tmp_path / "scan.png")
    labels = np.full(3, 40 + (1 << 16), "<u4").tobytes()
    for content, what in (
        (b"mine", "labels"),
        (labels, "labels"),
        (labels[:10], "labels"),
        (None, "a picture"),
    ):
        (tmp_path / "scan.label").write_bytes(np.full(3, 70, "<u4").tobytes() if content is None else content)
        before = {path: path.read_bytes() for path in tmp_path.glob("scan.*")}
        with pytest.raises(ConfigError, match=f"would become {what}, but there is a file that hwnas did not"):
            call("infer", first_bundle(run), scan, "-o", tmp_path, "--force", "--picture")
        assert {path: path.read_bytes() for path in before} == before
    (tmp_path / "scan.png").unlink()
    for _ in range(2):
        call("infer", first_bundle(run), scan, "-o", tmp_path, "--force", "--picture")
    assert (tmp_path / "scan.label").stat().st_size == 4 * len(make_scan(5)[0])


def test_infer_tells_scans_of_one_name_apart(run: Path, scan: Path, tmp_path: Path) -> None:
    scans = []
    for sequence in ("00", "08"):
        copy = tmp_path / sequence / "velodyne" / "000000.bin"
        copy.parent.mkdir(parents=True)
        copy.write_bytes(scan.read_bytes())
        scans.append(copy)
    call("infer", first_bundle(run), *scans, "-o", tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "00_000000.label",
        "08_000000.label",
    ]
    with pytest.raises(
        ConfigError, match=r"000000\.bin and .*000000\.bin\. Give the directories that hold them"
    ):
        call("infer", first_bundle(run), scans[0], scans[0], "-o", tmp_path / "out2")
    call("infer", first_bundle(run), tmp_path / "00", tmp_path / "08", "-o", tmp_path / "out3")
    assert files_below(tmp_path / "out3") == ["00/velodyne/000000.label", "08/velodyne/000000.label"]


@pytest.mark.parametrize("name", ["missing.bin", "scan.xyz"])
def test_infer_names_unreadable_scans(run: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "scan.xyz").write_text("1 2 3")
    with pytest.raises(DataError, match=name):
        call("infer", first_bundle(run), tmp_path / name, "-o", tmp_path / "out")


def test_infer_labels_directories_and_mirrors_them(run: Path, drives: Path, tmp_path: Path) -> None:
    call("infer", first_bundle(run), drives, "-o", tmp_path / "out", "--picture")
    labels = ["a.label", "one/a.label", "one/deep/x.b.label", "two/a.label", "two/directory.bin/inner.label"]
    pictures = [name.replace(".label", ".png") for name in labels]
    assert files_below(tmp_path / "out") == sorted([*labels, *pictures])
    call(
        "infer",
        first_bundle(run),
        drives / "one",
        drives / "two",
        drives / "a.bin",
        "-o",
        tmp_path / "several",
    )
    assert files_below(tmp_path / "several") == ["a.label", *labels[1:]]
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match=r"empty holds no scan: no name ends in one of \['.bag', '.bin', "):
        call("infer", first_bundle(run), tmp_path / "empty", "-o", tmp_path / "out2")


def test_directories_without_scans_are_named_beside_unreadable_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed, empty, good = tmp_path / "closed", tmp_path / "empty", tmp_path / "good"
    for directory in (closed, empty, good):
        directory.mkdir()
    (good / "a.bin").touch()
    real = os.scandir

    def scandir(path: Path) -> object:  # the tests may run as root, whom no mode keeps out
        if Path(path) == closed:
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr("os.scandir", scandir)
    found = find_inputs([closed, good], ["bin"])
    assert [scan.path for scan in found.files] == [good / "a.bin"]
    assert [path for path, _ in found.problems] == [closed]
    with pytest.raises(ConfigError, match="empty holds no scan"):
        find_inputs([closed, empty], ["bin"])


@pytest.mark.parametrize(
    ("scans", "directories", "expected"),
    [
        (0, 1, "1 directory could not be read:"),
        (0, 2, "2 directories could not be read:"),
        (1, 0, "1 of 2 scans could not be labelled:"),
        (1, 1, "1 of 2 scans could not be labelled and 1 directory could not be read:"),
    ],
)
def test_unreadable_directories_are_not_counted_as_scans(scans: int, directories: int, expected: str) -> None:
    problems = [InferenceProblem(Path(f"d{number}"), "m", is_directory=True) for number in range(directories)]
    problems += [InferenceProblem(Path(f"s{number}"), "m") for number in range(scans)]
    labelled = InferredFile(Path("a"), Path("a.label"), 1.0)
    with pytest.raises(DataError, match=f"^{expected}"):
        _refuse_problems(Inference(Path("b"), "scan", (labelled,), tuple(problems), "raw"))


def test_infer_names_bad_scans_and_goes_on(run: Path, drives: Path, tmp_path: Path) -> None:
    (drives / "broken.bin").symlink_to("nowhere")
    (drives / "loop.bin").symlink_to("loop.bin")
    os.mkfifo(drives / "pipe.bin")
    (drives / "cut.bin").write_bytes((drives / "a.bin").read_bytes()[:-1])
    (drives / "empty.bin").write_bytes(b"")
    (drives / "text.pcd").write_text("hello")
    result = invoke(first_bundle(run), drives, "-o", tmp_path / "out", "--json")
    assert isinstance(result.exception, DataError)
    assert result.exception.exit_code == 3
    assert "6 of 11 scans could not be labelled" in str(result.exception)
    found = json.loads(result.stdout)
    assert [Path(problem["path"]).name for problem in found["problems"]] == [
        "broken.bin", "cut.bin", "empty.bin", "loop.bin", "pipe.bin", "text.pcd",
    ]  # fmt: skip
    assert all(problem["path"] in problem["message"] for problem in found["problems"])
    assert len(found["files"]) == len(files_below(tmp_path / "out")) == 5


def test_infer_keeps_scans_of_two_formats_apart(run: Path, scan: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    values = np.fromfile(scan, "<f4").reshape(-1, 4)
    (tmp_path / "in" / "a.bin").write_bytes(scan.read_bytes())
    np.save(tmp_path / "in" / "a.npy", values)
    header = f"FIELDS x y z intensity\nWIDTH {len(values)}\nDATA binary\n"
    (tmp_path / "in" / "b.pcd").write_bytes(header.encode() + values.tobytes())
    call("infer", first_bundle(run), tmp_path / "in", "-o", tmp_path / "out")
    assert files_below(tmp_path / "out") == ["a.bin.label", "a.npy.label", "b.label"]
    contents = {(tmp_path / "out" / name).read_bytes() for name in files_below(tmp_path / "out")}
    assert len(contents) == 1
    with pytest.raises(ConfigError, match="scans of one format"):
        call(
            "infer", first_bundle(run), tmp_path / "in", "-o", tmp_path / "x", "--columns", "x,y,z,intensity"
        )


def test_infer_writes_raw_ids_or_indices_of_classes(run: Path, scan: Path, tmp_path: Path) -> None:
    bundle = first_bundle(run)
    for ids in ("raw", "train"):
        call("infer", bundle, scan, "-o", tmp_path / ids, "--ids", ids)
    raw, train = (np.fromfile(tmp_path / ids / "scan.label", "<u4") for ids in ("raw", "train"))
    runner = Runner(bundle)
    points, intensity, _ = make_scan(5)
    np.testing.assert_array_equal(train, runner.label(points, intensity))
    np.testing.assert_array_equal(raw, runner.raw_ids_of(train.astype(np.uint8)))
    assert set(raw) != set(train)
    with pytest.raises(ConfigError, match="`ids=` is raw or train"):
        call("infer", bundle, scan, "-o", tmp_path / "x", "--ids", "both")


def test_a_bundle_labels_files_in_python(run: Path, drives: Path, tmp_path: Path) -> None:
    (drives / "cut.bin").write_bytes((drives / "a.bin").read_bytes()[:-1])
    reported = []
    out = tmp_path / "out"
    found = Bundle(first_bundle(run)).infer(
        [drives], out, columns=["x", "y", "z", "intensity"], picture=True, progress=reported.append
    )
    assert [(status.number, status.wanted, status.sample) for status in reported] == [
        (number, 6, "scan") for number in range(1, 7)
    ]
    assert reported[0].path == drives / "a.bin"
    assert [file.result.relative_to(out) for file in found.files][:2] == [
        Path("a.label"),
        Path("one/a.label"),
    ]
    first = found.files[0]
    assert (first.path, first.picture) == (drives / "a.bin", out / "a.png")
    assert first.facts == {"points": len(make_scan(5)[0]), "projection": "ring"}
    assert first.run_ms > 0
    assert [problem.path for problem in found.problems] == [drives / "cut.bin"]
    told_by_command = json.loads(
        invoke(first_bundle(run), drives, "-o", out, "--force", "--picture", "--json").stdout
    )
    as_json = found.to_json()
    for told_of in (as_json, told_by_command):
        for entry in told_of["files"]:
            assert entry.pop("run_ms") > 0
    assert as_json["problems"][0]["path"] == str(drives / "cut.bin")
    as_json.pop("problems"), told_by_command.pop("problems")  # they advise on options, which differ
    assert as_json == told_by_command
