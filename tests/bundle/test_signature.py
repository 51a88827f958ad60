"""With the real ssh-keygen: what is signed runs, and nothing else does."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from hwnas.bundle.manifest import read_manifest
from hwnas.bundle.signature import SIGNATURE_NAME, Trust
from hwnas.bundle.signing import sign_bundle
from hwnas.errors import BundleError, ExportError
from hwnas.files import sha256_of_file, with_checksum
from tests.bundle.made_up_bundle import change, write_bundle

pytestmark = pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="needs OpenSSH's ssh-keygen")
SIGNER = "fleet@example.com"


def make_key(path: Path, kind: str = "ed25519") -> Path:
    command = ["ssh-keygen", "-q", "-t", kind, "-N", "", "-C", "", "-f", str(path)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return path


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("keys")
    for name in ("fleet", "other"):
        make_key(directory / name)
    make_key(directory / "ecdsa", "ecdsa")
    (directory / "allowed_signers").write_text(
        f"{SIGNER} {(directory / 'fleet.pub').read_text()}"
        f"ecdsa@example.com {(directory / 'ecdsa.pub').read_text()}"
    )
    return directory


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return write_bundle(tmp_path / "bundle")


@pytest.fixture
def trust(keys: Path) -> Trust:
    return Trust(keys / "allowed_signers", SIGNER)


def test_a_signed_bundle_is_read(bundle: Path, keys: Path, trust: Trust) -> None:
    assert sign_bundle(bundle, keys / "fleet").name == SIGNATURE_NAME
    assert read_manifest(bundle, trust=trust).model_path == bundle / "model.onnx"
    moved = shutil.move(bundle, bundle.parent / "elsewhere")
    assert read_manifest(moved, trust=trust).directory == Path(moved)


def test_other_kinds_of_keys_sign_too(bundle: Path, keys: Path) -> None:
    sign_bundle(bundle, keys / "ecdsa")
    trust = Trust(keys / "allowed_signers", "ecdsa@example.com")
    assert read_manifest(bundle, trust=trust).directory == bundle


def test_unsigned_bundles_are_refused_where_a_signature_is_wanted(bundle: Path, trust: Trust) -> None:
    read_manifest(bundle)
    with pytest.raises(BundleError, match=r"not signed.*hwnas export --sign"):
        read_manifest(bundle, trust=trust)


def test_changes_after_signing_are_refused(bundle: Path, keys: Path, trust: Trust) -> None:
    sign_bundle(bundle, keys / "fleet")
    (bundle / "model.onnx").write_bytes(b"x" * (bundle / "model.onnx").stat().st_size)
    with pytest.raises(BundleError, match=r"model\.onnx was changed"):
        read_manifest(bundle, trust=trust)
    # Whoever corrects the hash as well must break the signature.
    digest = sha256_of_file(bundle / "model.onnx")
    change(bundle, lambda content: content["files"]["model.onnx"].update(sha256=digest))
    read_manifest(bundle)
    with pytest.raises(BundleError, match="not signed by"):
        read_manifest(bundle, trust=trust)


def test_a_signature_is_checked_before_the_manifest_is_parsed(bundle: Path, keys: Path, trust: Trust) -> None:
    sign_bundle(bundle, keys / "fleet")
    (bundle / "manifest.json").write_text(with_checksum("{x}"))
    with pytest.raises(BundleError, match="not signed by"):
        read_manifest(bundle, trust=trust)


def test_damage_to_a_signed_manifest_is_told_as_damage(bundle: Path, keys: Path, trust: Trust) -> None:
    sign_bundle(bundle, keys / "fleet")
    path = bundle / "manifest.json"
    path.write_text(path.read_text().replace('"opset": 20', '"opset": 21'))
    with pytest.raises(BundleError, match=r"checksum is not that of its content.*Copy the bundle"):
        read_manifest(bundle, trust=trust)


def test_keys_that_are_not_allowed_are_refused(bundle: Path, keys: Path, trust: Trust) -> None:
    sign_bundle(bundle, keys / "other")
    with pytest.raises(BundleError, match="not signed by"):
        read_manifest(bundle, trust=trust)


@pytest.mark.parametrize("identity", ["ecdsa@example.com", "nobody", "-f", "*", "a\x00b"])
def test_an_allowed_key_of_somebody_else_is_refused(bundle: Path, keys: Path, identity: str) -> None:
    sign_bundle(bundle, keys / "fleet")
    with pytest.raises(BundleError):
        read_manifest(bundle, trust=Trust(keys / "allowed_signers", identity))


def test_signatures_over_other_things_are_refused(bundle: Path, keys: Path, trust: Trust) -> None:
    command = ["ssh-keygen", "-q", "-Y", "sign", "-f", str(keys / "fleet"), "-n", "git"]
    signature = subprocess.run(
        command, input=(bundle / "manifest.json").read_bytes(), capture_output=True, check=True
    ).stdout
    (bundle / SIGNATURE_NAME).write_bytes(signature)
    with pytest.raises(BundleError, match="not signed by"):
        read_manifest(bundle, trust=trust)


@pytest.mark.parametrize("content", [b"", b"\x00" * 100, b"-----BEGIN SSH SIGNATURE-----\n", b"A" * 100_000])
def test_what_is_no_signature_is_refused(bundle: Path, trust: Trust, content: bytes) -> None:
    (bundle / SIGNATURE_NAME).write_bytes(content)
    with pytest.raises(BundleError):
        read_manifest(bundle, trust=trust)


def test_pipes_and_links_do_not_stop_the_check(bundle: Path, trust: Trust) -> None:
    os.mkfifo(bundle / SIGNATURE_NAME)
    with pytest.raises(BundleError, match="not signed"):
        read_manifest(bundle, trust=trust)


def test_missing_keys_and_programs_say_what_to_do(
    bundle: Path,
    keys: Path,
    trust: Trust,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(ExportError, match="no key"):
        sign_bundle(bundle, keys / "gone")
    with pytest.raises(ExportError, match="could not sign"):
        sign_bundle(bundle, keys / "allowed_signers")
    sign_bundle(bundle, keys / "fleet")
    with pytest.raises(BundleError, match="allowed-signers file"):
        read_manifest(bundle, trust=Trust(keys / "gone", SIGNER))
    with pytest.raises(BundleError, match="identity"):
        Trust(keys / "allowed_signers", " ")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(BundleError, match="ssh-keygen"):
        read_manifest(bundle, trust=trust)
