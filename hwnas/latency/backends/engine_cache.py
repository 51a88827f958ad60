"""Engines built earlier, found by what they were built from.

An engine is native code: loading one runs it. So the directory belongs to its user alone, and an engine is
loaded only if its hash is the one written down when it was built here.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
from pathlib import Path
from typing import Any, Dict, Mapping, Optional

from hwnas.files import read_checked_json, sha256_of_file, write_checked_json
from hwnas.latency.backends.errors import AgentError

DIRECTORY_VARIABLE = "HWNAS_ENGINE_CACHE"


class EngineCache:
    """A directory of engines, each with a record of its build beside it."""

    def __init__(self, directory: str = "") -> None:
        """Use `directory`, else the one in HWNAS_ENGINE_CACHE, else ~/.cache/hwnas/engines.

        Raises:
            AgentError: if it cannot be made, or other users may write to it.
        """
        cache = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
        default = os.path.join(cache, "hwnas", "engines")
        self._directory = Path(directory or os.environ.get(DIRECTORY_VARIABLE) or default)
        try:
            self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            found = self._directory.stat()
        except OSError as error:
            raise AgentError(
                f"The directory for engines, {str(self._directory)!r}, cannot be used: {error.strerror}. "
                f"Free disk space, or name another in {DIRECTORY_VARIABLE}."
            ) from error
        if found.st_uid != os.getuid() or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise AgentError(
                f"The directory for engines, {str(self._directory)!r}, must be yours and writable by you "
                "alone, because loading an engine runs it. Repair it with chmod, or name another in "
                f"{DIRECTORY_VARIABLE}."
            )

    def path(self, key: str) -> str:
        """Return where the engine of `key` lies or is to be written."""
        return str(self._directory / f"{key}.engine")

    def timing_cache(self, identity: Mapping[str, Any]) -> str:
        """Return where the kernel timings of one device and version lie or are to be written."""
        return str(self._directory / f"timing-{key_of(identity)[:16]}.cache")

    def find(self, key: str) -> Optional[Dict[str, Any]]:
        """Return the record of a whole engine, None if there is none."""
        try:
            record = read_checked_json(self._record_path(key))
            is_whole = sha256_of_file(self.path(key)) == record["engine_sha256"]
        except (OSError, ValueError, KeyError):
            return None
        return record if is_whole else None

    def keep(self, key: str, record: Mapping[str, Any]) -> None:
        """Write the record of the engine that was built at `path(key)`; from now on `find` gives it.

        Raises:
            AgentError: if it cannot be written.
        """
        try:
            write_checked_json(self._record_path(key), record)
        except OSError as error:
            raise AgentError(
                f"The record of an engine cannot be written to {str(self._directory)!r}: {error.strerror}. "
                f"Free disk space, or name another directory in {DIRECTORY_VARIABLE}."
            ) from error

    def adopt(self, key: str, other: str) -> None:
        """Let `find(key)` give the engine that was built for `other` from now on.

        Raises:
            AgentError: if there is no such engine, or its copy cannot be written.
        """
        record = self.find(other)
        if record is None:
            raise AgentError(
                f"No whole engine {other[:16]} lies in {str(self._directory)!r}; build it first."
            )
        copy = self.path(key) + ".new"
        try:
            shutil.copyfile(self.path(other), copy)
            os.replace(copy, self.path(key))
        except OSError as error:
            raise AgentError(
                f"An engine cannot be copied in {str(self._directory)!r}: {error.strerror}. Free disk space."
            ) from error
        # Last: until it is there, the hash in the old record does not fit, and the engine is built anew.
        self.keep(key, record)

    def _record_path(self, key: str) -> Path:
        return self._directory / f"{key}.json"


def key_of(content: Mapping[str, Any]) -> str:
    """Return 64 hexadecimal digits that stand for `content` (plain JSON values)."""
    text = json.dumps(content, sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()
