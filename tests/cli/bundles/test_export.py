"""`hwnas export` and `hwnas verify` write and confirm bundles, and refuse what they may not do."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from hwnas.errors import ConfigError, ExportError, StudyError, VerificationError
from hwnas.files import read_checked_json
from hwnas.run.export import pick_members
from tests.bundle.made_up_bundle import manifest_of, rewrite_manifest
from tests.cli.bundles.commands import call, first_bundle


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
