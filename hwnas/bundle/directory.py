"""Directories that are either whole or absent."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from hwnas.bundle.manifest import VERIFICATION_NAME
from hwnas.bundle.signature import SIGNATURE_NAME
from hwnas.directory_replacing import replace_directory
from hwnas.errors import ExportError
from hwnas.scratch import ScratchDirectory
from hwnas.text import counted, excerpt


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


@contextlib.contextmanager
def held_outputs(targets: Sequence[Path]) -> Iterator[None]:
    """Keep other processes from writing the same directories as long as the block runs.

    A file beside each one, `.NAME.lock`, is locked (flock(2)) and removed at the end. The kernel gives the
    lock back when its holder is gone, however that came about: a file that a killed process left holds up
    nobody.

    Args:
        targets: directories that the block is about to write; missing parents are made, and removed again if
            nothing was written there.

    Raises:
        ExportError: if another export writes one of them.
        OSError: if no file can be made beside one.
    """
    with contextlib.ExitStack() as held:
        for target in targets:
            for parent in _made_parents(target):
                held.callback(_remove_if_empty, parent)
        for target in dict.fromkeys(targets):
            held.enter_context(_held_output(target))
        yield


@contextlib.contextmanager
def _held_output(target: Path) -> Iterator[None]:
    path = target.with_name(f".{target.name}.lock")
    descriptor = _locked(path, target)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)  # before the lock is given back: afterwards it may be that of another
        os.close(descriptor)


def _locked(path: Path, target: Path) -> int:
    """Return the descriptor of a locked file that lies at `path`."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(descriptor)
            raise ExportError(
                f"Another export writes {target} already. Wait for it or end it, or give another `out=`."
            ) from error
        except (
            OSError
        ):  # a file system without locks: what is there at the end is still never replaced unasked
            return descriptor
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), path.stat()):
                return descriptor
        os.close(descriptor)  # its holder removed it in between; others meet at another file


def _made_parents(target: Path) -> list[Path]:
    """Make the missing directories above `target` and return them, the outermost first."""
    missing = [parent for parent in target.parents if not parent.exists()]
    target.parent.mkdir(parents=True, exist_ok=True)
    return missing[::-1]


def _remove_if_empty(directory: Path) -> None:
    with contextlib.suppress(OSError):
        directory.rmdir()


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
            f"{target} holds {counted(len(foreign), 'file')} that no export wrote ({excerpt(foreign[0])} for "
            "one), so `force=True` does not replace it. Move them away."
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
