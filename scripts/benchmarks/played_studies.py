"""Studies that `strategies.py` has played, kept in a file so that a stopped run goes on."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from accuracy_table import refuse

FORMAT = "hwnas strategies on a table, 1"
"""Of the file of results."""
NAME_ANOTHER = "name another file as --results."

Study = tuple[str, str, int]
"""Device, strategy and seed."""


class Results:
    """Finished studies, kept in a file if one is named."""

    def __init__(self, path: Path | None, settings: list[Any]) -> None:
        """Read the file, and see whether it can be written.

        Args:
            path: of the file.
            settings: what tells studies apart beside device, strategy and seed.
        """
        self._path, self._settings = path, settings
        self._studies: dict[str, dict[str, Any]] = {}
        if path is None:
            return
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            document = {"format": FORMAT, "studies": {}}
        except (OSError, ValueError, RecursionError) as error:
            refuse(f"Expected a file of finished studies, but {path} cannot be read: {error}; {NAME_ANOTHER}")
        if not is_of_results(document):
            refuse(f"Expected a file of finished studies, {FORMAT!r}, but {path} is none; {NAME_ANOTHER}")
        self._studies = document["studies"]
        self._write()

    def get(self, study: Study, marks: list[int]) -> dict[str, Any] | None:
        """Return what was found, None if it was not played or not scored at one of the marks."""
        found = self._studies.get(self._key(study))
        return found if found and {str(mark) for mark in marks} <= set(found["ratios"]) else None

    def add(self, study: Study, found: dict[str, Any]) -> None:
        """Note a study; ratios at marks of an earlier run stay."""
        earlier = self._studies.get(self._key(study), {"ratios": {}})
        self._studies[self._key(study)] = {**found, "ratios": {**earlier["ratios"], **found["ratios"]}}
        self._write()

    def _key(self, study: Study) -> str:
        return json.dumps([*self._settings, *study])

    def _write(self) -> None:
        if self._path is None:
            return
        part = self._path.with_name(self._path.name + ".part")
        try:
            text = json.dumps({"format": FORMAT, "studies": self._studies}, sort_keys=True, allow_nan=False)
            part.write_text(text, encoding="utf-8")
            part.replace(self._path)
        except OSError as error:
            refuse(f"Expected to write finished studies to {self._path}, but got {error}; {NAME_ANOTHER}")


def is_of_results(document: Any) -> bool:
    """Return whether this is what `Results` writes."""
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        return False
    studies = document.get("studies")
    return isinstance(studies, dict) and all(
        isinstance(study, dict)
        and isinstance(study.get("ratios"), dict)
        and all(is_finite(value) for value in [study.get("proposal_s"), *study["ratios"].values()])
        for study in studies.values()
    )


def is_finite(value: Any) -> bool:
    """Return whether this is a number that counts."""
    return isinstance(value, int | float) and math.isfinite(value)
