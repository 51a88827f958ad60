"""Directories that are either whole or absent."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

from hwnas.bundle.manifest import VERIFICATION_NAME
from hwnas.bundle.signature import SIGNATURE_NAME
from hwnas.directory_replacing import replace_directory
from hwnas.errors import ExportError
from hwnas.scratch import ScratchDirectory
from hwnas.text import excerpt


@contextlib.contextmanager
def replaced_directory(target: Path, *, force: bool, marker: str) -> Iterator[Path]:
    """Yield an empty directory that becomes `target` when the block ends without an error.

    A kill at any moment leaves the old directory or the new one, never a mixture; see
    `hwnas.directory_replacing` for systems that cannot exchange two directories at once.

    Args:
        target: what to write; missing parents are made.
        force: replace `target` if it exists.
        marker: manifest that a directory must hold to be replaced; what it lists may be removed with it.

    Raises:
        ExportError: if `target` exists and `force` is False, or it holds anything that no export wrote.
    """
    refuse_existing(target, force=force, marker=marker)
    target.parent.mkdir(parents=True, exist_ok=True)
    with ScratchDirectory("export", parent=str(target.parent)) as directory:
        scratch = Path(directory, "result")
        scratch.mkdir()  # the one around it is private; a result is as readable as any other of the user
        yield scratch
        refuse_existing(target, force=force, marker=marker)
        replace_directory(scratch, target)


def refuse_existing(target: Path, *, force: bool, marker: str) -> None:
    """Refuse to write where something is that may not be replaced; arguments of `replaced_directory`.

    Raises:
        ExportError: if `target` exists and `force` is False, or it holds anything that no export wrote.
    """
    if not os.path.lexists(target):
        return
    if not force:
        raise ExportError(f"{target} exists already. Give `force=True` to replace it, or another `out=`.")
    if target.is_symlink() or not (target / marker).is_file():
        raise ExportError(
            f"{target} is not a bundle (it holds no {marker}), so `force=True` does not replace it."
        )
    foreign = _foreign_files(target, marker)
    if foreign:
        raise ExportError(
            f"{target} holds {len(foreign)} files that no export wrote ({excerpt(foreign[0])} for one), so "
            "`force=True` does not replace it. Move them away."
        )


def _foreign_files(bundle: Path, marker: str) -> list[str]:
    """Return what lies in a bundle beside its manifest, what that lists, signature and verification.json."""
    try:
        listed = json.loads((bundle / marker).read_bytes())["files"]
        own = {marker, SIGNATURE_NAME, VERIFICATION_NAME, *map(str, listed)}
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ExportError(
            f"{bundle / marker} does not say what an export wrote there ({excerpt(error)}), so `force=True` "
            "does not replace it. Remove it by hand."
        ) from error
    found = [path for path in bundle.rglob("*") if path.is_symlink() or not path.is_dir()]
    return sorted(name for path in found if (name := path.relative_to(bundle).as_posix()) not in own)
