"""Which results of a directory `infer` wrote, so that nothing else is ever replaced by one.

What a processor of a plug-in writes may look like anything; only its hash tells it from a file of the user.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from hwnas.appending import append_lines
from hwnas.files import sha256_of_file

NAME = ".hwnas-infer.jsonl"


class WrittenResults:
    """The record of one directory of results: a line of JSON for each file, with its SHA-256."""

    def __init__(self, directory: Path) -> None:
        """Read what is recorded; a line that was cut off by a kill, or damaged, counts as missing."""
        self._directory = directory
        self._hashes: dict[str, str] = {}
        path = directory / NAME
        # Names are UTF-8, or escaped where they are not, so other bytes are damage.
        content = path.read_bytes().decode("utf-8", errors="replace") if path.is_file() else ""
        for line in content.split("\n"):
            try:
                entry = json.loads(line)
                self._hashes[str(entry["file"])] = str(entry["sha256"])
            except (ValueError, KeyError, TypeError, RecursionError):
                continue

    def holds(self, path: Path) -> bool:
        """Return whether `infer` wrote a file, and it was not changed since."""
        stated = self._hashes.get(self._name(path))
        return (
            stated is not None and path.is_file() and not path.is_symlink() and sha256_of_file(path) == stated
        )

    def add(self, path: Path) -> None:
        """Record a file that was just written."""
        entry = {"file": self._name(path), "sha256": sha256_of_file(path)}
        append_lines(self._directory / NAME, json.dumps(entry) + "\n")

    def _name(self, path: Path) -> str:
        return os.fsencode(path.relative_to(self._directory)).decode("utf-8", "backslashreplace")
