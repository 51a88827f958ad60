"""Signed bundles, with the real ssh-keygen: the C++ runtime takes and refuses what the Python package does."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import tempfile
from pathlib import Path

import pytest

from hwnas.bundle.manifest import read_manifest
from hwnas.bundle.signature import SIGNATURE_NAME, Trust
from hwnas.bundle.signing import sign_bundle
from hwnas.data.sensors import load_sensor
from hwnas.errors import HwnasError
from tests.bundle.made_up_bundle import change, with_checksum
from tests.bundle.runtime.test_scan_refusals import expected
from tests.bundle.test_signature import SIGNER, keys
from tests.cpp_runtime.building import Built
from tests.cpp_runtime.library import CppError, CppRunner
from tests.cpp_runtime.lidar_bundle import spec_of, write_lidar_bundle
from tests.cpp_runtime.test_infer import run_cpp, run_python, values_of, write

__all__ = ["keys"]

pytestmark = pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="needs OpenSSH's ssh-keygen")


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    spec = spec_of(load_sensor("vlp-16"), 512)
    expects = expected("vlp-16").to_json()
    return write_lidar_bundle(tmp_path / "bundle", spec, expects=expects, intensity_range=[0.0, 255.0])


def said_by_both(built: Built, bundle: Path, allowed: Path, identity: str) -> str:
    """Ask both for a signature, and return why they refuse; empty if they do not."""
    python = cpp = ("", 0)
    try:
        read_manifest(bundle, trust=Trust(allowed, identity))
    except HwnasError as error:
        python = (str(error), error.exit_code)
    try:
        CppRunner(built, bundle, allowed_signers=allowed, identity=identity).close()
    except CppError as error:
        cpp = (str(error), error.code)
    assert cpp == python
    return cpp[0]


def test_what_is_signed_is_taken(built: Built, bundle: Path, keys: Path, tmp_path: Path) -> None:
    before = set(Path(tempfile.gettempdir()).glob("hwnas-signature-*"))
    sign_bundle(bundle, keys / "fleet")
    assert said_by_both(built, bundle, keys / "allowed_signers", SIGNER) == ""
    (bundle / SIGNATURE_NAME).unlink()
    sign_bundle(bundle, keys / "ecdsa")
    assert said_by_both(built, bundle, keys / "allowed_signers", "ecdsa@example.com") == ""
    assert set(Path(tempfile.gettempdir()).glob("hwnas-signature-*")) == before


def test_what_is_not_signed_is_refused(built: Built, bundle: Path, keys: Path) -> None:
    CppRunner(built, bundle).close()
    assert "is not signed (it holds no" in said_by_both(built, bundle, keys / "allowed_signers", SIGNER)


def test_changes_after_signing_are_refused(built: Built, bundle: Path, keys: Path) -> None:
    allowed = keys / "allowed_signers"
    sign_bundle(bundle, keys / "fleet")
    whole = (bundle / "manifest.json").read_bytes()
    change(bundle, lambda content: content["training"].update(steps=1))
    CppRunner(built, bundle).close()
    assert "is not signed by 'fleet" in said_by_both(built, bundle, allowed, SIGNER)
    (bundle / "manifest.json").write_text(with_checksum("{x}"))
    assert "is not signed by" in said_by_both(built, bundle, allowed, SIGNER)  # before it is parsed
    (bundle / "manifest.json").write_bytes(whole[:-40] + whole[-39:])
    assert "is not as an export" in said_by_both(built, bundle, allowed, SIGNER)


@pytest.mark.parametrize(
    "identity", ["ecdsa@example.com", "nobody", "-f", "*", " ", "", "a b", "é", "[/x]\x1b"]
)
def test_keys_of_others_are_refused(built: Built, bundle: Path, keys: Path, identity: str) -> None:
    sign_bundle(bundle, keys / "fleet")
    assert said_by_both(built, bundle, keys / "allowed_signers", identity)
    (bundle / SIGNATURE_NAME).unlink()
    sign_bundle(bundle, keys / "other")
    assert said_by_both(built, bundle, keys / "allowed_signers", SIGNER)


@pytest.mark.parametrize("content", [b"", b"\x00" * 100, b"-----BEGIN SSH SIGNATURE-----\n", b"A" * 100_000])
def test_what_is_no_signature_is_refused(built: Built, bundle: Path, keys: Path, content: bytes) -> None:
    (bundle / SIGNATURE_NAME).write_bytes(content)
    assert said_by_both(built, bundle, keys / "allowed_signers", SIGNER)


def test_pipes_links_and_missing_files_do_not_stop_the_check(built: Built, bundle: Path, keys: Path) -> None:
    allowed = keys / "allowed_signers"
    os.mkfifo(bundle / SIGNATURE_NAME)
    assert "is not signed" in said_by_both(built, bundle, allowed, SIGNER)
    (bundle / SIGNATURE_NAME).unlink()
    (bundle / SIGNATURE_NAME).symlink_to(keys / "fleet")
    assert "is not signed" in said_by_both(built, bundle, allowed, SIGNER)
    (bundle / SIGNATURE_NAME).unlink()
    sign_bundle(bundle, keys / "fleet")
    assert "no allowed-signers file" in said_by_both(built, bundle, keys / "gone", SIGNER)
    assert "no allowed-signers file" in said_by_both(built, bundle, keys, SIGNER)


def test_no_ssh_keygen_and_one_that_fails(
    built: Built, bundle: Path, keys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sign_bundle(bundle, keys / "fleet")
    programs = tmp_path / "programs"
    programs.mkdir()
    monkeypatch.setenv("PATH", str(programs))
    assert "install it" in said_by_both(built, bundle, keys / "allowed_signers", SIGNER)
    # Neither what it prints nor that it ends early is taken for a signature.
    program = programs / "ssh-keygen"
    program.write_text("#!/bin/sh\necho '  Good\n signature  '; echo odd >&2; exit 255\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    found = said_by_both(built, bundle, keys / "allowed_signers", SIGNER)
    assert "(ssh-keygen: odd Good signature)" in found
    program.write_text("#!/bin/sh\nkill -9 $$\n")
    assert said_by_both(built, bundle, keys / "allowed_signers", SIGNER)


def test_both_of_keys_and_identity_are_needed(built: Built, bundle: Path, keys: Path) -> None:
    for given in ({"allowed_signers": keys / "allowed_signers"}, {"identity": SIGNER}):
        with pytest.raises(CppError, match="go together") as found:
            CppRunner(built, bundle, **given)  # type: ignore[arg-type]
        assert found.value.code == 2


def test_the_program_checks_signatures(built: Built, bundle: Path, keys: Path, tmp_path: Path) -> None:
    scan = write(tmp_path / "scan.bin", values_of()[:, :4])
    wanted = ["--allowed-signers", str(keys / "allowed_signers"), "--identity", SIGNER]
    out = tmp_path / "cpp.label"

    def both(*options: str) -> tuple[int, str]:
        cpp: subprocess.CompletedProcess[str] = run_cpp(built, bundle, scan, "-o", out, "--force", *options)
        code, error, _, _ = run_python(bundle, scan, tmp_path / "python", "--force", *options)
        assert (cpp.returncode, cpp.stderr if cpp.returncode else "") == (code, error)
        return cpp.returncode, cpp.stderr

    assert both("--require-signature", *wanted)[0] == 7
    assert not out.exists()
    sign_bundle(bundle, keys / "fleet")
    assert both("--require-signature", *wanted)[0] == 0
    for some in (wanted, wanted[:2], ["--require-signature"], ["--require-signature", *wanted[2:]]):
        code, said = both(*some)
        assert code == 2
        assert "go together" in said
    assert run_cpp(built, bundle, scan, "-o", out, "--require-signature=no").returncode == 2
