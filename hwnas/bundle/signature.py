"""Signatures of manifests: those of OpenSSH, made and checked by its own `ssh-keygen -Y`.

A manifest lists every file of its bundle by SHA-256, so one signature covers them all.
The format is described in OpenSSH's PROTOCOL.sshsig; `ssh-keygen(1)` describes allowed-signers files.

Python 3.8 syntax, standard library only: this module travels to boards.
"""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import List, NamedTuple, Union

from hwnas.bundle.untrusted_files import read_small_file
from hwnas.errors import BundleError
from hwnas.processes import run
from hwnas.scratch import ScratchDirectory

SIGNATURE_NAME = "manifest.json.sig"
NAMESPACE = "hwnas-bundle"
"""What is signed: a signature that a key made over anything else, such as a commit, does not fit."""
_MAX_BYTES = 1 << 16
_TIMEOUT_S = 60.0

PathLike = Union[str, "os.PathLike[str]"]


@dataclass(frozen=True)
class Trust:
    """Whose bundles may be run.

    Attributes:
        allowed_signers: file with a line `IDENTITY KEYTYPE KEY` for each key that may sign, see
            ssh-keygen(1).
        identity: the name that must have signed, such as `fleet@example.com`.
    """

    allowed_signers: Path
    identity: str

    def __post_init__(self) -> None:
        if not self.identity.strip():
            raise BundleError("The identity that must have signed is empty; name one of the allowed signers.")


def check_signature(directory: PathLike, manifest: bytes, trust: Trust) -> None:
    """Return if `manifest` was signed by whom we trust, with the signature that lies in the bundle.

    Args:
        directory: of the bundle.
        manifest: the bytes that will be used; reading the file again would be another chance to change it.
        trust: who may have signed.

    Raises:
        BundleError: if there is no signature, it is not one, it is by another key or over other bytes,
            the allowed-signers file does not exist, or there is no ssh-keygen.
    """
    allowed = Path(trust.allowed_signers)
    if not allowed.is_file():
        raise BundleError(
            f"There is no allowed-signers file {allowed}. It holds a line `IDENTITY KEYTYPE KEY` for each "
            "key that may sign bundles; see ssh-keygen(1)."
        )
    signature = _read_signature(Path(directory))
    with ScratchDirectory("signature") as scratch:
        # A copy: what ssh-keygen is given is what was looked at, and is no link to elsewhere.
        copy = os.path.join(scratch, SIGNATURE_NAME)
        with open(copy, "wb") as stream:
            stream.write(signature)
        command = ["ssh-keygen", "-Y", "verify", "-f", os.path.abspath(str(allowed)), "-I", trust.identity]
        found = run_ssh_keygen([*command, "-n", NAMESPACE, "-s", copy], manifest)
    if found.status:
        raise BundleError(
            f"{directory} is not signed by {trust.identity!r} as {allowed} has it, or its manifest was "
            f"changed afterwards (ssh-keygen: {found.message}). Get the bundle from its signer again; do not "
            "run this one."
        )


class SshKeygen(NamedTuple):
    """How a call of ssh-keygen ended: exit status, standard output, and what it said in one line."""

    status: int
    output: bytes
    message: str


def run_ssh_keygen(command: List[str], content: bytes, timeout_s: float = _TIMEOUT_S) -> SshKeygen:
    """Run an `ssh-keygen` that reads `content`.

    Raises:
        BundleError: if it is not installed, or does not end.
    """
    try:
        # Not in a session of its own: it may ask for a passphrase at the terminal.
        found = run(command, content=content, timeout_s=timeout_s, own_session=False)
    except FileNotFoundError as error:
        raise BundleError("Signatures need OpenSSH's `ssh-keygen` (8.1 or newer); install it.") from error
    except subprocess.TimeoutExpired as error:
        raise BundleError(f"ssh-keygen did not end within {timeout_s:g} s: {' '.join(command)}.") from error
    except (OSError, ValueError) as error:  # such as an identity with a null byte
        raise BundleError(f"ssh-keygen could not be run ({error}): {command}.") from error
    said = (found.stderr + b" " + found.stdout).decode("utf-8", "replace")
    return SshKeygen(found.returncode, found.stdout, " ".join(said.split()))


def _read_signature(directory: Path) -> bytes:
    missing = (
        f"{directory} is not signed (it holds no {SIGNATURE_NAME}), but a signature is required. "
        "Export it with `hwnas export --sign KEY`, or get it from its signer."
    )
    return read_small_file(directory / SIGNATURE_NAME, _MAX_BYTES, missing)
