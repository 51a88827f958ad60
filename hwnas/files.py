"""Files that are either whole or absent. Python 3.8 syntax: this module travels to boards."""

from __future__ import annotations

import contextlib
import errno
import fnmatch
import hashlib
import json
import os
import re
import secrets
import stat
from pathlib import Path
from typing import (
    Any,
    BinaryIO,
    Callable,
    Dict,
    Iterable,
    Iterator,
    Mapping,
    Optional,
    Sequence,
    Tuple,
    Type,
    Union,
)

from hwnas.errors import ConfigError, HwnasError
from hwnas.text import excerpt, shown

_KEPT_OF_NAME = 100
_MAX_OWN_BYTES = 256 << 20

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
        size = os.fstat(stream.fileno()).st_size
        if size <= max_bytes:
            content: bytes = stream.read(size + 1)  # reading reserves as much memory as it may return
            if len(content) > size:  # it grew, or is of a file system that states no sizes
                content += stream.read(max_bytes + 1 - len(content))
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


def checked_path(value: Any, what: str, error: Type[HwnasError] = ConfigError) -> Path:
    """Return a path that a caller gave, whether there is something or not.

    Args:
        value: text, or what is a path in Python's terms.
        what: it is, for the error, such as "`out=`".
        error: to raise.

    Raises:
        HwnasError: `error`, if this can be the name of no file: of another type, empty, with a zero byte or
            halves of characters, or too long for the file system.
    """
    try:
        text = os.fspath(value)
    except TypeError:
        text = None
    if not isinstance(text, str):
        raise error(f"{what} is {shown(value)}; expected a path, as text or `pathlib.Path`.")
    if not text:
        raise error(f"{what} is empty; expected a path, such as '.' for the working directory.")
    try:
        os.lstat(text)
    except ValueError as problem:
        raise error(f"{what} is {shown(text)}, which can be no path: {problem}.") from problem
    except OSError as problem:
        if problem.errno == errno.ENAMETOOLONG:
            raise error(
                f"{what} is {shown(text)}, which is too long for the file system: names may have 255 bytes "
                "on most, whole paths 4095."
            ) from problem
    return Path(text)


def is_yaml(name: PathLike) -> bool:
    """Return whether a setting is the path of a YAML file, not the name of what comes with hwnas."""
    return os.fspath(name).endswith((".yaml", ".yml"))


def reason_of(error: OSError) -> str:
    """Return why a file could not be used, without its name."""
    return error.strerror or str(error)


@contextlib.contextmanager
def naming(path: PathLike) -> Iterator[None]:
    """Let errors of the operating system in a block name `path`: writes to an open file name none.

    Raises:
        OSError: as it came, with the path.
    """
    try:
        yield
    except OSError as error:
        error.filename, error.filename2 = os.fspath(path), None
        raise


@contextlib.contextmanager
def utf8_path(path: PathLike) -> Iterator[str]:
    """Yield a path of the same file that is UTF-8, for libraries that take no other; good inside the block.

    Other files beside it, such as the external data of a model, are found from there too.

    Raises:
        OSError: if it cannot be opened.
    """
    text = os.fspath(path)
    directory, name = os.path.split(text)
    if _is_utf8(text):
        yield text
        return
    flags = os.O_PATH | os.O_CLOEXEC | (os.O_DIRECTORY if _is_utf8(name) else 0)
    descriptor = os.open(directory if _is_utf8(name) else text, flags)
    try:
        link = "/proc/self/fd/" + str(descriptor)
        yield os.path.join(link, name) if _is_utf8(name) else link
    finally:
        os.close(descriptor)


def _is_utf8(text: str) -> bool:
    # Bytes that are not UTF-8 are held as halves of surrogate pairs, see PEP 383.
    return not any("\ud800" <= character <= "\udfff" for character in text)


def write_bytes(path: PathLike, content: bytes) -> None:
    """Write a file in place, for directories that are moved into place as a whole.

    Raises:
        OSError: naming `path`, if it cannot be written.
    """
    with naming(path), open(path, "wb") as stream:
        stream.write(content)


def write_bytes_atomically(path: PathLike, content: bytes) -> None:
    """Write `content` so that readers, and a power cut, see the old file or the new one.

    The bytes go to a temporary file beside `path`, are flushed to disk and renamed over it.

    Raises:
        OSError: naming `path`, if the directory is missing or not writable, or the disk is full; `path` is
            then untouched.
    """
    target = Path(path)
    with naming(target):
        _write_pieces_atomically(target, [content])


def _write_pieces_atomically(target: Path, pieces: Iterable[bytes]) -> None:
    # Whatever the length of the name, the temporary one fits where it fits.
    name = os.fsencode(target.name)[:_KEPT_OF_NAME].decode("ascii", errors="replace").replace("\ufffd", "_")
    descriptor, temporary = _new_file(str(target.parent), "." + name + ".")
    try:
        with os.fdopen(descriptor, "wb") as stream:
            for piece in pieces:
                stream.write(piece)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, str(target))
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


def _new_file(directory: str, prefix: str) -> Tuple[int, str]:
    """Return descriptor and path of a new file that is as readable as any other of the user.

    `tempfile.mkstemp` makes private ones, and asking for the umask would change it for all threads.
    """
    while True:
        path = os.path.join(directory, prefix + secrets.token_hex(4))
        with contextlib.suppress(FileExistsError):
            return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666), path


def copy_atomically(source: PathLike, target: PathLike) -> None:
    """Copy the content of a file of any size so that `target` is whole or absent.

    Raises:
        OSError: as `write_bytes_atomically`, or if `source` cannot be read.
    """
    with open(source, "rb") as stream:
        _write_pieces_atomically(Path(target), _pieces(stream))


def _pieces(stream: BinaryIO) -> Iterator[bytes]:
    return iter(lambda: stream.read(1 << 20), b"")


def write_json_atomically(path: PathLike, value: Any) -> None:
    """Write `value` as readable JSON, atomically. NaN and infinity are refused (ValueError)."""
    write_bytes_atomically(path, (json_text(value) + "\n").encode("utf-8"))


def json_text(value: Any, indent: Optional[int] = 2) -> str:
    """Return JSON that UTF-8 can hold, in one line if `indent` is None. NaN and infinity are a ValueError."""
    text = json.dumps(value, indent=indent, allow_nan=False, ensure_ascii=False)
    # Names of files that are not UTF-8 are held as halves of surrogate pairs, which JSON writes as escapes.
    return re.sub("[\ud800-\udfff]", _json_escape, text)


def _json_escape(found: re.Match[str]) -> str:
    return f"\\u{ord(found.group()):04x}"


def refuse_foreign(path: PathLike, what: str, is_own: Callable[[bytes], bool]) -> None:
    """Refuse to write over a file that hwnas did not write; call it before the work that is to be written.

    Args:
        path: that is to be written; a path where nothing is yet passes.
        what: hwnas would have written there, for the error, such as `a report`.
        is_own: tells by its content whether a file is such.

    Raises:
        ConfigError: if the directory is missing or not writable, no file can have this name, or something
            else is there.
    """
    target = Path(path)
    try:
        if not target.parent.is_dir():
            raise ConfigError(
                f"{str(target)!r} names a file in a directory that does not exist; make it first."
            )
        if not os.access(str(target.parent), os.W_OK | os.X_OK):
            raise ConfigError(
                f"{str(target)!r} names a file in a directory that is not writable; name another."
            )
        os.lstat(str(target))
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:  # such as of a name that is too long, or holds a zero byte
        reason = reason_of(error) if isinstance(error, OSError) else str(error)
        raise ConfigError(
            f"{excerpt(str(target))} would become {what}, but no file can have that name ({reason}). Name "
            "another."
        ) from error
    try:
        if is_own(read_plain_file(target, _MAX_OWN_BYTES)):
            return
        found = "a file that hwnas did not write as such"
    except OSError as error:
        found = f"something else ({error.strerror})"
    raise ConfigError(
        f"{str(target)!r} would become {what}, but there is {found}. Move it away, or name another file."
    )


def is_json_with(*keys: str) -> Callable[[bytes], bool]:
    """Return what tells whether a file holds a JSON object with all of these keys."""

    def is_own(content: bytes) -> bool:
        try:
            found = json.loads(content)
        except (ValueError, RecursionError):
            return False
        return isinstance(found, dict) and set(keys) <= set(found)

    return is_own


def refuse_foreign_directory(path: PathLike, what: str, markers: Sequence[str]) -> None:
    """Refuse to write into a directory that holds other things.

    Args:
        path: of the directory; one that is missing or empty passes.
        what: hwnas would have written there, for the error, such as `a supernet`.
        markers: names of files, or patterns of them as in a shell, of which one is in every such directory.

    Raises:
        ConfigError: if a directory without them is not empty.
    """
    target = Path(path)
    if not target.is_dir():
        return
    others = sorted(os.listdir(str(target)))
    found = (name for name in others if any(fnmatch.fnmatchcase(name, marker) for marker in markers))
    if others and not any((target / name).is_file() for name in found):
        raise ConfigError(
            f"{str(target)!r} would hold {what}, but holds other things ({others[0]!r} for one). Name a new "
            "or empty directory."
        )


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


def checked_text(text: str) -> str:
    """Return the JSON that a text of `with_checksum` holds, without its checksum and not yet parsed.

    Raises:
        ValueError: if the text has no checksum, or not its own: it was cut off, damaged or edited.
    """
    body, mark, rest = text.rpartition(_BEFORE_CHECKSUM)
    if not mark:
        raise ValueError("it has no checksum: it was cut off, or another version of hwnas wrote it")
    if mark + rest != _CHECKSUM.format(hashlib.sha256(body.encode("utf-8")).hexdigest()):
        raise ValueError("its checksum is not that of its content: it was damaged or edited")
    return body + "\n}"


def checked_json(text: str) -> Dict[str, Any]:
    """Return the JSON object of a text that `with_checksum` made, without its checksum.

    Raises:
        ValueError: as `checked_text`.
    """
    value: Dict[str, Any] = json.loads(checked_text(text))
    return value


def write_checked_json(path: PathLike, value: Mapping[str, Any]) -> None:
    """Write a readable JSON object with a checksum, atomically. NaN and infinity are refused (ValueError)."""
    write_bytes_atomically(path, with_checksum(json_text(value)).encode("utf-8"))


def read_checked_json(path: PathLike) -> Dict[str, Any]:
    """Return the JSON object in a file of `write_checked_json`, without its checksum.

    Raises:
        OSError: as `read_plain_file`; larger files than 256 MiB are refused.
        ValueError: if it is not as it was written.
    """
    return checked_json(read_plain_file(path, _MAX_OWN_BYTES).decode("utf-8"))


def sha256_of_file(path: PathLike) -> str:
    """Return the SHA-256 of a plain file as 64 hexadecimal digits, reading it in pieces.

    Raises:
        OSError: if it is missing, not readable, or something else than a file.
    """
    digest = hashlib.sha256()
    with _open_plain_file(path) as stream:
        for piece in _pieces(stream):
            digest.update(piece)
    return digest.hexdigest()
