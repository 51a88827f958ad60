"""Directories that are either whole or absent."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from hwnas.errors import ExportError
from hwnas.scratch import ScratchDirectory


@contextlib.contextmanager
def replaced_directory(target: Path, *, force: bool, marker: str) -> Iterator[Path]:
    """Yield an empty directory that becomes `target` when the block ends without an error.

    A kill at any moment leaves the old directory or the new one (or, between two renames of a
    replacement, the old one under a name that starts with `.` beside it), never a mixture.

    Args:
        target: what to write; missing parents are made.
        force: replace `target` if it exists.
        marker: file that a directory must hold to be replaced; guards against a mistyped path.

    Raises:
        ExportError: if `target` exists and `force` is False, or it does not hold `marker`.
    """
    _refuse_existing(target, force=force, marker=marker)
    target.parent.mkdir(parents=True, exist_ok=True)
    with ScratchDirectory("export", parent=str(target.parent)) as directory:
        scratch = Path(directory)
        yield scratch
        # mkdtemp makes private directories; a result is as readable as any other of the user.
        umask = os.umask(0)
        os.umask(umask)
        scratch.chmod(0o777 & ~umask)
        _refuse_existing(target, force=force, marker=marker)
        _move_into_place(scratch, target)


def _refuse_existing(target: Path, *, force: bool, marker: str) -> None:
    if not os.path.lexists(target):
        return
    if not force:
        raise ExportError(f"{target} exists already. Give `--force` to replace it, or another `--out`.")
    if target.is_symlink() or not (target / marker).is_file():
        raise ExportError(
            f"{target} is not a bundle (it holds no {marker}), so `--force` does not replace it."
        )


def _move_into_place(scratch: Path, target: Path) -> None:
    if not target.exists():
        scratch.rename(target)
        return
    holder = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}.old."))
    old = holder / target.name
    target.rename(old)
    try:
        scratch.rename(target)
    except BaseException:
        old.rename(target)
        holder.rmdir()
        raise
    shutil.rmtree(holder)
