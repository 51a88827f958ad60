"""Files that are either whole or absent. Python 3.8 syntax: this module travels to boards."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import stat
import tempfile
from pathlib import Path
from typing import Any, BinaryIO, Dict, Mapping, Union

PathLike = Union[str, "os.PathLike[str]"]

_BEFORE_CHECKSUM = ',\n  "checksum": "sha256:'
_CHECKSUM = _BEFORE_CHECKSUM + '{}"\n}}\n'


def read_plain_file(path: PathLike, max_bytes: int) -> bytes:
    """Return the content of a plain file; directories, pipes and devices are refused, not waited for.

    Args:
        path: of the file.
        max_bytes: that it may have.

    Raises:
        OSError: if it is missing, not readable, something else than a file, or larger; `strerror` says so.
    """
    with _open_plain_file(path) as stream:
        content: bytes = b""
        if os.fstat(stream.fileno()).st_size <= max_bytes:
            content = stream.read(max_bytes + 1)
            if len(content) <= max_bytes:
                return content
    raise OSError(errno.EFBIG, f"it has more than {max_bytes:,} bytes", os.fspath(path))


def _open_plain_file(path: PathLike) -> BinaryIO:
    name = os.fspath(path)
    if "\0" in str(name):
        raise OSError(errno.EINVAL, "its name holds a zero byte", name)
    # Opening a pipe would wait for a writer; a check before would be of another file, if it is swapped then.
    descriptor = os.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    if stat.S_ISDIR(mode):
        raise OSError(errno.EISDIR, "it is a directory, expected a file", name)
    raise OSError(errno.EINVAL, "it is a pipe or device, expected a file", name)


def reason_of(error: OSError) -> str:
    """Return why a file could not be used, without its name."""
    return error.strerror or str(error)


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


def with_checksum(text: str) -> str:
    """Return the text of a JSON object with a checksum as its last field, on a line of its own.

    The checksum is the SHA-256 of everything before the comma that precedes it, so that any change is
    noticed, not only one that breaks the syntax.
    """
    body = text.rstrip()
    if not body.startswith("{") or not body.endswith("}") or body[1:-1].strip() == "":
        raise ValueError("Only a JSON object with a field can hold a checksum.")
    body = body[:-1].rstrip()
    return body + _CHECKSUM.format(hashlib.sha256(body.encode("utf-8")).hexdigest())


def checked_json(text: str) -> Dict[str, Any]:
    """Return the JSON object of a text that `with_checksum` made, without its checksum.

    Raises:
        ValueError: if the text has no checksum, or not its own: it was cut off, damaged or edited.
    """
    body, mark, rest = text.rpartition(_BEFORE_CHECKSUM)
    if not mark:
        raise ValueError("it has no checksum: it was cut off, or another version of hwnas wrote it")
    if mark + rest != _CHECKSUM.format(hashlib.sha256(body.encode("utf-8")).hexdigest()):
        raise ValueError("its checksum is not that of its content: it was damaged or edited")
    value: Dict[str, Any] = json.loads(body + "\n}")
    return value


def write_checked_json(path: PathLike, value: Mapping[str, Any]) -> None:
    """Write a readable JSON object with a checksum, atomically. NaN and infinity are refused (ValueError)."""
    text = json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False)
    write_bytes_atomically(path, with_checksum(text).encode("utf-8"))


def read_checked_json(path: PathLike) -> Dict[str, Any]:
    """Return the JSON object in a file of `write_checked_json`, without its checksum.

    Raises:
        OSError: if the file cannot be read.
        ValueError: if it is not as it was written.
    """
    return checked_json(Path(path).read_text(encoding="utf-8"))


def sha256_of_file(path: PathLike) -> str:
    """Return the SHA-256 of a plain file as 64 hexadecimal digits, reading it in pieces.

    Raises:
        OSError: if it is missing, not readable, or something else than a file.
    """
    digest = hashlib.sha256()
    with _open_plain_file(path) as stream:
        for piece in iter(lambda: stream.read(1 << 20), b""):
            digest.update(piece)
    return digest.hexdigest()
