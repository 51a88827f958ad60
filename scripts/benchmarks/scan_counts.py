"""Counts of refused scans, each kept in a file of its own, so that a study that was ended can go on."""

from __future__ import annotations

import hashlib
import re
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from hwnas.files import read_checked_json, write_checked_json

ROOT = Path(__file__).parents[2]
# All that decides what is refused: the checks, what they learn from, and the variations.
_CODE = (
    "hwnas/data/**/*.py",
    "hwnas/data/**/*.yaml",
    "hwnas/range_view/*.py",
    "hwnas/bundle/runtime/*.py",
    "export/cpp/*",
)
_EXAMPLES = 6


@dataclass
class Count:
    """How many of some variations were refused, or only warned about.

    Attributes:
        tried: variations.
        refused: of them.
        warned: of those accepted.
        examples: seeds and words of the first that went the other way than intended.
    """

    tried: int = 0
    refused: int = 0
    warned: int = 0
    examples: list[str] = field(default_factory=list)

    def add(self, seed: int, refusal: str | None, remarks: Sequence[str], *, intended: bool) -> None:
        """Count one variation; `intended` says whether it should be refused."""
        self.tried += 1
        self.refused += refusal is not None
        self.warned += refusal is None and bool(remarks)
        if (refusal is not None) != intended and len(self.examples) < _EXAMPLES:
            self.examples.append(f"{seed}: {refusal or '; '.join(remarks) or 'no word'}")


def code_version() -> str:
    """Return a checksum of the code and the sensor tables that decide what is refused."""
    digest = hashlib.sha256()
    paths = {path for pattern in _CODE for path in ROOT.glob(pattern) if path.is_file()}
    paths |= {Path(__file__).with_name(name) for name in ("scan_refusals.py", "scan_variations.py")}
    for path in sorted(paths):
        digest.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


class CountStore:
    """Counts that were made, in files under a directory; None keeps nothing.

    A count is taken from its file only if code, data and number of variations are those it was made with.
    """

    def __init__(self, directory: Path | None, settings: Sequence[object]) -> None:
        """Take the directory and what counts depend on besides the code, such as the number of variations."""
        self._directory = directory
        self._key = f"{code_version()} {' '.join(map(str, settings))}"

    def count(self, names: Sequence[str], make: Callable[[], Count]) -> Count:
        """Return the count of that name, from its file or else by `make`, which is then kept."""
        label = " / ".join(names)
        path = self._path(names)
        stored = None if path is None else self._stored(path)
        if stored is not None:
            print(f"{label}: as counted before", file=sys.stderr, flush=True)
            return stored
        start = time.monotonic()
        found = make()
        spent = time.monotonic() - start
        print(
            f"{label}: {found.refused} of {found.tried} refused, {spent:.0f} s", file=sys.stderr, flush=True
        )
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_checked_json(path, {"key": self._key, "count": asdict(found)})
        return found

    def _path(self, names: Sequence[str]) -> Path | None:
        if self._directory is None:
            return None
        return self._directory / ("__".join(re.sub(r"\W+", "-", name) for name in names) + ".json")

    def _stored(self, path: Path) -> Count | None:
        if not path.is_file():
            return None
        try:
            stored = read_checked_json(path)
        except ValueError as error:
            print(f"{path}: {error}; counting again", file=sys.stderr, flush=True)
            return None
        return Count(**stored["count"]) if stored.get("key") == self._key else None
