"""Signs bundles with a key of OpenSSH."""

from __future__ import annotations

from pathlib import Path

from hwnas.bundle.manifest import MANIFEST_NAME
from hwnas.bundle.signature import NAMESPACE, SIGNATURE_NAME, run_ssh_keygen
from hwnas.errors import ExportError
from hwnas.files import write_bytes_atomically

_BEGIN = b"-----BEGIN SSH SIGNATURE-----"
_TIMEOUT_S = 600.0  # people type passphrases and touch security keys


def check_key(key: Path) -> None:
    """Raise an ExportError if there is no such key to sign with."""
    if not key.is_file():
        raise ExportError(f"There is no key {key} to sign with. `ssh-keygen -t ed25519 -f {key}` makes one.")


def sign_bundle(directory: Path, key: Path) -> Path:
    """Sign the manifest of a bundle and return the signature's path.

    Args:
        directory: of the bundle.
        key: private key of any kind that OpenSSH has; or a public key whose private one an agent holds.

    Raises:
        BundleError: if there is no ssh-keygen.
        ExportError: if the key does not exist or cannot be used.
    """
    check_key(key)
    manifest = (directory / MANIFEST_NAME).read_bytes()
    command = ["ssh-keygen", "-q", "-Y", "sign", "-f", str(key.resolve()), "-n", NAMESPACE]
    found = run_ssh_keygen(command, manifest, _TIMEOUT_S)
    if found.status or not found.output.startswith(_BEGIN):
        raise ExportError(f"ssh-keygen could not sign with {key}: {found.message or 'it said nothing'}.")
    write_bytes_atomically(directory / SIGNATURE_NAME, found.output)
    return directory / SIGNATURE_NAME
