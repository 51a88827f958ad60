"""Reading of small files that somebody else may have made.

Python 3.8 syntax, standard library only: this module travels to boards.
"""

from __future__ import annotations

from pathlib import Path

from hwnas.errors import BundleError


def read_small_file(path: Path, most_bytes: int, missing: str) -> bytes:
    """Return the content of a plain file.

    Args:
        path: the file.
        most_bytes: a larger file is refused before it fills the memory.
        missing: what to say if there is none, or a link, which may lead out of the bundle.

    Raises:
        BundleError: if there is no such file, it is too large, or it cannot be read.
    """
    if path.is_symlink() or not path.is_file():
        raise BundleError(missing)
    try:
        with open(path, "rb") as stream:
            content = stream.read(most_bytes + 1)
    except OSError as error:
        raise BundleError(f"{path} cannot be read: {error}. Copy the bundle again.") from error
    if len(content) > most_bytes:
        raise BundleError(
            f"{path} is larger than any {path.name} ({most_bytes} bytes). Copy the bundle again."
        )
    return content
