import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import typer
from PIL import Image
from typer.testing import CliRunner

from hwnas.cli import export, infer, verify
from hwnas.errors import BundleError, ConfigError, DataError, ExportError, StudyError, VerificationError
from hwnas.runtime.runner import Runner
from tests.export import small_lidar
from tests.export.small_lidar import LABELS, make_scan, write_run
from tests.runtime.test_signature import make_key

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
    verdict = json.loads(call("verify", bundle, "--json", "--latency-tolerance", "1000"))
    assert verdict["passed"]
    assert json.loads((bundle / "verdict.json").read_text()) == verdict
    assert "latency as promised" in call("verify", bundle, "--latency-tolerance", "1000")


def test_failed_verification_ends_with_its_own_exit_code(run: Path, tmp_path: Path) -> None:
    call("export", run, "--out", tmp_path, "--pick", "latency<=1.5")
    (bundle,) = (path for path in tmp_path.iterdir() if path.is_dir())
    manifest = json.loads((bundle / "manifest.json").read_text())
    manifest["quality"]["value"] += 0.01
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(VerificationError, match="mIoU as promised") as caught:
        call("verify", bundle, "--latency-tolerance", "1000")
    assert caught.value.exit_code == 8


def test_export_overwrites_only_when_told(run: Path) -> None:
    before = (first_bundle(run) / "manifest.json").read_bytes()
    with pytest.raises(ExportError, match="exists already"):
        call("export", run)
    assert (first_bundle(run) / "manifest.json").read_bytes() == before


@pytest.mark.parametrize(
    ("pick", "widths"),
    [("all", [4, 8]), ("latency<=1.5", [4]), ("latency <= 2", [4, 8]), ("error<=1", [4, 8])],
)
def test_picking(run: Path, pick: str, widths: list[int]) -> None:
    members = read_members(run)
    assert [member.architecture.genes["width"] for member in export.pick_members(members, pick)] == widths
    assert export.pick_members(members, members[1].architecture.id) == [members[1]]


@pytest.mark.parametrize("pick", ["", "knees", "latency<=0.5", "latency>=3", "error<=0", "latency<=x"])
def test_picking_nothing_is_an_error(run: Path, pick: str) -> None:
    with pytest.raises(ConfigError, match="selects none"):
        export.pick_members(read_members(run), pick)


def read_members(run: Path) -> list[Any]:
    from hwnas.export.bundle import TrainedMember

    entries = json.loads((run / "trained.json").read_text())["members"]
    return [TrainedMember.from_json(entry, run) for entry in entries]


def test_export_of_an_untrained_run_says_what_to_do(run: Path, tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_bytes((run / "run.yaml").read_bytes())
    with pytest.raises(StudyError, match="hwnas train"):
        call("export", tmp_path)


def test_infer_writes_raw_labels_and_a_picture(run: Path, scan: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    entry = json.loads(call("infer", first_bundle(run), scan, "-o", out, "--picture", "--json"))["scans"][0]
    raw = np.fromfile(out / "scan.label", "<u4")
    points, intensity, _ = make_scan(5)
    expected = LABELS.to_raw(Runner(first_bundle(run)).label(points, intensity))
    np.testing.assert_array_equal(raw, expected)
    assert set(np.unique(raw)) <= {40, 50, 70}
    assert entry["points"] == len(points)
    assert entry["projection"] == "ring"
    with Image.open(out / "scan.png") as picture:
        assert picture.size[0] > 500
    assert sorted(path.name for path in out.iterdir()) == ["scan.label", "scan.png"]


def test_infer_keeps_existing_files(run: Path, scan: Path, tmp_path: Path) -> None:
    (tmp_path / "scan.label").write_text("mine")
    with pytest.raises(ConfigError, match="exists already"):
        call("infer", first_bundle(run), scan, "-o", tmp_path)
    assert (tmp_path / "scan.label").read_text() == "mine"
    call("infer", first_bundle(run), scan, "-o", tmp_path, "--force")
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
    with pytest.raises(ConfigError, match="different directories"):
        call("infer", first_bundle(run), scans[0], scans[0], "-o", tmp_path / "out2")


@pytest.mark.parametrize("name", ["missing.bin", "scan.xyz"])
def test_infer_names_unreadable_scans(run: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "scan.xyz").write_text("1 2 3")
    with pytest.raises(DataError, match=name):
        call("infer", first_bundle(run), tmp_path / name, "-o", tmp_path / "out")


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
    verdict = json.loads(call("verify", signed, "--latency-tolerance", "1000", "--json", *options))
    assert verdict["checks"][0]["name"] == "signature"
    assert verdict["checks"][0]["found"] == "me"


@pytest.mark.parametrize(
    "options", [["--require-signature"], ["--identity", "me"], ["--allowed-signers", "x"]]
)
def test_half_a_demand_for_a_signature_is_refused(run: Path, options: list[str]) -> None:
    with pytest.raises(ConfigError, match="go together"):
        call("verify", first_bundle(run), *options)
