"""Where an adaptation keeps what it has finished, until its bundle is there."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hwnas.directory_holding import held_directory
from hwnas.errors import ConfigError, DataError
from hwnas.files import read_checked_json, write_checked_json

_REQUEST = "request.json"


@contextmanager
def held_workspace(directory: Path, request: Mapping[str, Any]) -> Iterator[None]:
    """Keep what is finished of exactly this request, until the block ends without an error.

    Args:
        directory: that is made, and in the end removed.
        request: plain JSON values; what another one left is removed.

    Raises:
        ConfigError: if another process works there, or something else lies there.
        DataError: if what lies there is damaged.
    """
    directory.mkdir(parents=True, exist_ok=True)
    kept = directory / _REQUEST
    with held_directory(directory):
        if not kept.is_file() and any(directory.iterdir()):
            raise ConfigError(
                f"{directory} is where an adaptation keeps what it has finished, but holds something else. "
                "Move it away, or name another directory for the bundle."
            )
        if not kept.is_file() or read_kept(kept) != request:
            for path in directory.iterdir():
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            write_checked_json(kept, request)
        yield
        shutil.rmtree(directory)


def read_kept(path: Path) -> dict[str, Any]:
    """Return what an adaptation wrote earlier.

    Raises:
        DataError: if it is damaged.
    """
    try:
        return read_checked_json(path)
    except ValueError as error:
        raise DataError(
            f"{path} is damaged ({error}). Remove the directory {path.parent}; it holds what an interrupted "
            "adaptation had finished."
        ) from error
