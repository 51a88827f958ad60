"""Files that are either whole or absent. Python 3.8 syntax: this module travels to boards."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any, Union

PathLike = Union[str, "os.PathLike[str]"]


def write_bytes_atomically(path: PathLike, content: bytes) -> None:
    """Write `content` so that readers, and a power cut, see the old file or the new one.

    The bytes go to a temporary file beside `path`, are flushed to disk and renamed over it.

    Raises:
        OSError: if the directory is missing or not writable; `path` is then untouched.
    """
    target = Path(path)
    descriptor, temporary = tempfile.mkstemp(dir=str(target.parent), prefix="." + target.name + ".")
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        # mkstemp makes private files; a result is as readable as any other file of the user.
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        os.replace(temporary, str(target))
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


def copy_atomically(source: PathLike, target: PathLike) -> None:
    """Copy the content of a file of any size so that `target` is whole or absent.

    Raises:
        OSError: as `write_bytes_atomically`, or if `source` cannot be read.
    """
    wanted = Path(target)
    with open(source, "rb") as stream:
        descriptor, temporary = tempfile.mkstemp(dir=str(wanted.parent), prefix=".copy.")
        try:
            with os.fdopen(descriptor, "wb") as out:
                shutil.copyfileobj(stream, out, 1 << 20)
                out.flush()
                os.fsync(out.fileno())
            umask = os.umask(0)
            os.umask(umask)
            os.chmod(temporary, 0o666 & ~umask)
            os.replace(temporary, str(wanted))
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)
            raise


def write_json_atomically(path: PathLike, value: Any) -> None:
    """Write `value` as readable JSON, atomically. NaN and infinity are refused (ValueError)."""
    text = json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False) + "\n"
    write_bytes_atomically(path, text.encode("utf-8"))


def sha256_of_file(path: PathLike) -> str:
    """Return the SHA-256 of a file as 64 hexadecimal digits, reading it in pieces."""
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        for piece in iter(lambda: stream.read(1 << 20), b""):
            digest.update(piece)
    return digest.hexdigest()
