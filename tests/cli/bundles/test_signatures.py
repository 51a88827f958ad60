"""Commands that run bundles tell signed ones from others."""

import json
import shutil
from pathlib import Path

import pytest

from hwnas.errors import BundleError, ConfigError
from tests.bundle.test_signature import make_key
from tests.cli.bundles.commands import call, first_bundle


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
