"""Reading of small files that somebody else may have made.

Python 3.8 syntax, standard library only: this module travels to boards.
"""

from __future__ import annotations

import errno
from pathlib import Path

from hwnas.errors import BundleError
from hwnas.files import read_plain_file

_NO_FILE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EINVAL, errno.ENXIO})
"""That there is none, or a directory, pipe, device or socket in its place."""


def read_small_file(path: Path, most_bytes: int, missing: str) -> bytes:
    """Return the content of a plain file.

    Args:
        path: the file.
        most_bytes: a larger file is refused before it fills the memory.
        missing: what to say if there is none, or a link, which may lead out of the bundle.

    Raises:
        BundleError: if there is no such file, it is too large, or it cannot be read.
    """
    if path.is_symlink():
        raise BundleError(missing)
    try:
        return read_plain_file(path, most_bytes)
    except OSError as error:
        if error.errno in _NO_FILE:
            raise BundleError(missing) from error
        if error.errno == errno.EFBIG:
            raise BundleError(
                f"{path} is larger than any {path.name} ({most_bytes} bytes). Copy the bundle again."
            ) from error
        raise BundleError(f"{path} cannot be read: {error}. Copy the bundle again.") from error
