import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import typer
from PIL import Image
from typer.testing import CliRunner

from hwnas.bundle.bundle import Bundle
from hwnas.bundle.inference.input_files import find_inputs
from hwnas.bundle.inference.results import Inference, InferenceProblem, InferredFile
from hwnas.bundle.runtime.runner import Runner
from hwnas.cli import export, infer, verify
from hwnas.cli.infer import _refuse_problems
from hwnas.errors import BundleError, ConfigError, DataError, ExportError, StudyError, VerificationError
from hwnas.files import read_checked_json
from hwnas.run.export import pick_members
from tests.bundle import small_lidar
from tests.bundle.made_up_bundle import manifest_of, rewrite_manifest
from tests.bundle.small_lidar import LABELS, make_scan, write_run
from tests.bundle.test_signature import make_key

torch.set_num_threads(1)


def call(*arguments: object) -> str:
    """Run a command and return what it prints on standard output; our errors pass through."""
    app = typer.Typer()
    for command in (export, verify, infer):
        command.register(app)
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=True)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.stderr
    return result.stdout


@pytest.fixture(autouse=True)
def _plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    small_lidar.register(monkeypatch)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        small_lidar.register(patch)
        run = write_run(tmp_path_factory.mktemp("commands") / "run", widths=(4, 8))
        call("export", run, "--json")
    return run


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    path = tmp_path / "scan.bin"
    points, intensity, _ = make_scan(5)
    path.write_bytes(np.column_stack([points, intensity]).astype("<f4").tobytes())
    return path


def first_bundle(run: Path) -> Path:
    return min((run / "bundles").iterdir())


def test_export_measures_and_verify_confirms(run: Path, tmp_path: Path) -> None:
    written = json.loads(call("export", run, "--out", tmp_path / "bundles", "--pick", "knee", "--json"))[
        "bundles"
    ]
    assert len(written) == 1
    bundle = Path(written[0]["path"])
    assert bundle == tmp_path / "bundles" / written[0]["architecture_id"]
    low, high = written[0]["interval_ms"]
    assert 0 < low <= written[0]["latency_ms"] <= high
    # A tiny network on a busy machine: only the wiring is under test here, the limit is elsewhere.
    verification = json.loads(call("verify", bundle, "--json", "--latency-tolerance", "1000"))
    assert verification["passed"]
    assert read_checked_json(bundle / "verification.json") == verification
    assert "latency as stated" in call("verify", bundle, "--latency-tolerance", "1000")


def test_failed_verification_ends_with_its_own_exit_code(run: Path, tmp_path: Path) -> None:
    call("export", run, "--out", tmp_path, "--pick", "latency<=1.5")
    (bundle,) = (path for path in tmp_path.iterdir() if path.is_dir())
    manifest = manifest_of(bundle)
    manifest["quality"]["value"] += 0.01
    rewrite_manifest(bundle, manifest)
    with pytest.raises(VerificationError, match="mIoU as stated") as caught:
        call("verify", bundle, "--latency-tolerance", "1000")
    assert caught.value.exit_code == 8


def test_export_overwrites_only_when_told(run: Path) -> None:
    before = (first_bundle(run) / "manifest.json").read_bytes()
    with pytest.raises(ExportError, match="exists already"):
        call("export", run)
    assert (first_bundle(run) / "manifest.json").read_bytes() == before


def test_what_an_export_may_not_do_is_refused_before_the_work(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> None:
        pytest.fail("must refuse before any work")

    monkeypatch.setattr("hwnas.run.export.make_task", never)
    out, last = tmp_path / "out", read_members(run)[-1].architecture.id
    bundle = shutil.copytree(first_bundle(run), out / last)  # the first one would have been exported by then
    with pytest.raises(ExportError, match="exists already"):
        call("export", run, "--out", out)
    (bundle / "notes.txt").write_text("a week of work")
    with pytest.raises(ExportError, match=r"1 file that no export wrote \('notes.txt'"):
        call("export", run, "--out", out, "--force")
    assert (bundle / "notes.txt").read_text() == "a week of work"
    for opset in ("12", "40"):
        with pytest.raises(ConfigError, match=rf"`opset=` is 13 to \d+, but got {opset}"):
            call("export", run, "--out", tmp_path / "other", "--opset", opset)
    with pytest.raises(ExportError, match="no key"):
        call("export", run, "--out", tmp_path / "other", "--sign", tmp_path / "gone")


@pytest.mark.parametrize(
    ("pick", "widths"),
    [("all", [4, 8]), ("latency<=1.5", [4]), ("latency <= 2", [4, 8]), ("error<=1", [4, 8])],
)
def test_picking(run: Path, pick: str, widths: list[int]) -> None:
    members = read_members(run)
    assert [member.architecture.genes["width"] for member in pick_members(members, pick)] == widths
    assert pick_members(members, members[1].architecture.id) == [members[1]]


@pytest.mark.parametrize("pick", ["", "knees", "latency<=0.5", "latency>=3", "error<=0", "latency<=x"])
def test_picking_nothing_is_an_error(run: Path, pick: str) -> None:
    with pytest.raises(ConfigError, match="selects none"):
        pick_members(read_members(run), pick)


def read_members(run: Path) -> list[Any]:
    from hwnas.bundle.trained_member import TrainedMember

    entries = json.loads((run / "trained.json").read_text())["members"]
    return [TrainedMember.from_json(entry, run) for entry in entries]


def test_export_of_an_untrained_run_says_what_to_do(run: Path, tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_bytes((run / "run.yaml").read_bytes())
    with pytest.raises(StudyError, match="hwnas train"):
        call("export", tmp_path)


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


def invoke(*arguments: object) -> Any:
    """Run `hwnas infer` and return what came of it, errors included."""
    app = typer.Typer()
    infer.register(app)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def drives(scan: Path, tmp_path: Path) -> Path:
    """Make a directory of good scans in subdirectories, and of names that are no scans."""
    root, content = tmp_path / "drives", scan.read_bytes()
    for name in ("a.bin", "one/a.bin", "one/deep/x.b.bin", "two/a.bin", "two/.hidden.bin", ".git/a.bin"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    (root / "one" / "notes.txt").write_text("no scan")
    (root / "one" / "up").symlink_to("..")
    (root / "two" / "directory.bin").mkdir()
    (root / "two" / "directory.bin" / "inner.bin").write_bytes(content)
    return root


def files_below(directory: Path) -> list[str]:
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file())


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


def test_infer_takes_columns_and_options_of_the_format(run: Path, scan: Path, tmp_path: Path) -> None:
    values = np.fromfile(scan, "<f4").reshape(-1, 4)
    more = np.column_stack([values, np.linspace(0, 0.1, len(values))]).astype("<f4")
    (tmp_path / "five.bin").write_bytes(more.tobytes())
    bundle = first_bundle(run)
    with pytest.raises(DataError, match=r"five.bin.*are there 5\?"):
        call("infer", bundle, tmp_path / "five.bin", "-o", tmp_path / "out")
    call("infer", bundle, tmp_path / "five.bin", "-o", tmp_path / "out", "--columns", "x,y,z,intensity,_")
    options = ("--format-options", "{columns: [x, y, z, intensity, _], dtype: float32}")
    call("infer", bundle, tmp_path / "five.bin", "-o", tmp_path / "out2", *options)
    call("infer", bundle, scan, "-o", tmp_path / "out3")
    expected = (tmp_path / "out3" / "scan.label").read_bytes()
    for out in ("out", "out2"):
        assert (tmp_path / out / "five.label").read_bytes() == expected
    for wrong, match in (
        (("--columns", "x,y"), "no field for"),
        (("--columns", "x,y,z,strength"), "holds 'strength'"),
        (("--format-options", "[1"), "--format-options:2: not valid YAML"),
        (("--format-options", "hello"), "takes a mapping"),
        ((*options, "--columns", "x"), "both name columns"),
    ):
        result = invoke(bundle, scan, "-o", tmp_path / "out4", *wrong)
        assert isinstance(result.exception, ConfigError | DataError)
        assert match in str(result.exception)


def test_infer_reads_a_directory_as_its_dataset_yaml_says(run: Path, scan: Path, tmp_path: Path) -> None:
    """Five columns, millimetres, y forward, another origin and intensities from 0 to 510 give the same labels."""
    values = np.fromfile(scan, "<f4").reshape(-1, 4)
    bundle = first_bundle(run)
    low, high = Runner(bundle).intensity_range
    files = np.empty((len(values), 5), "<f4")
    files[:, :3] = np.column_stack([-values[:, 1], values[:, 0], values[:, 2]]) * 1000 + [1000, 0, 500]
    files[:, 3] = (values[:, 3] - low) / (high - low) * 510
    files[:, 4] = 7
    drive = tmp_path / "in" / "drive" / "lidar"
    drive.mkdir(parents=True)
    (drive / "five.dat").write_bytes(b"no scan, since its name says nothing")
    (drive / "five.bin").write_bytes(files.tobytes())
    np.save(drive.parent / "other.npy", values)  # none of the data set's scans
    config = drive.parent / "dataset.yaml"
    config.write_text(
        "{scans: 'lidar/{scan}.bin', frame: y-forward, unit_m: 0.001, origin_m: [1.0, 0.0, 0.5], "
        "intensity_range: [0, 510], format_options: {columns: [x, y, z, intensity, _]}}"
    )
    call("infer", bundle, scan, "-o", tmp_path / "plain")
    expected = np.fromfile(tmp_path / "plain" / "scan.label", "<u4")
    for given, place in ((drive.parent, "lidar"), (tmp_path / "in", "drive/lidar")):
        out = tmp_path / f"out of {given.name}"
        call("infer", bundle, given, "-o", out)
        found = np.fromfile(out / place / "five.label", "<u4")
        assert np.mean(found == expected) > 0.999, "coordinates are rounded differently"
        assert not (out / place).parent.joinpath("other.label").exists(), "`scans` does not name it"
    with pytest.raises(DataError, match=r"five\.bin.*hwnas infer --columns x,y,z,intensity,ring`"):
        call("infer", bundle, drive / "five.bin", "-o", tmp_path / "as the bundle says")
    config.write_text(config.read_text().replace("intensity, _]", "intensity]"))
    with pytest.raises(DataError, match=r"It was read as .*drive.dataset\.yaml says"):
        call("infer", bundle, tmp_path / "in", "-o", tmp_path / "wrong columns")
    (drive.parent / "other.npy").unlink()
    call("infer", bundle, tmp_path / "in", "-o", tmp_path / "over it", "--columns", "x,y,z,intensity,_")
    config.write_text("frames: x-forward")
    with pytest.raises(DataError, match=r"(?s)unknown key 'frames'.*give the scans as files"):
        call("infer", bundle, tmp_path / "in", "-o", tmp_path / "broken")
    assert not (tmp_path / "broken").exists()


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


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="needs OpenSSH's ssh-keygen")
def test_signed_bundles_are_told_from_others(run: Path, scan: Path, tmp_path: Path) -> None:
    key = make_key(tmp_path / "key")
    (tmp_path / "allowed").write_text(f"me {(tmp_path / 'key.pub').read_text()}")
    options = ("--require-signature", "--allowed-signers", tmp_path / "allowed", "--identity", "me")
    with pytest.raises(BundleError, match="not signed"):
        call("infer", first_bundle(run), scan, "-o", tmp_path / "a", *options)
    with pytest.raises(BundleError, match="not signed"):
        call("verify", first_bundle(run), *options)
    written = call("export", run, "--pick", "knee", "--out", tmp_path / "out", "--sign", key, "--json")
    signed = json.loads(written)["bundles"][0]["path"]
    call("infer", signed, scan, "-o", tmp_path / "b", *options)
    assert (tmp_path / "b" / "scan.label").is_file()
    verification = json.loads(call("verify", signed, "--latency-tolerance", "1000", "--json", *options))
    assert verification["checks"][0]["name"] == "signature"
    assert verification["checks"][0]["found"] == "me"


@pytest.mark.parametrize(
    "options", [["--require-signature"], ["--identity", "me"], ["--allowed-signers", "x"]]
)
def test_half_a_demand_for_a_signature_is_refused(run: Path, options: list[str]) -> None:
    with pytest.raises(ConfigError, match="go together"):
        call("verify", first_bundle(run), *options)
