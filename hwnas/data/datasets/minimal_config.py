"""A minimal `dataset.yaml` for the scan files that lie in a directory, for messages."""

from __future__ import annotations

import itertools
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from hwnas.data.scan_files.label_names import is_named_like_labels

DOCS_PAGE = "docs/reference/dataset-yaml.md"
_LABEL_ENDING = "label"
_MOST_FILES = 2_000
_MOST_DIRECTORIES = 200


def minimal_config(directory: Path, formats: Sequence[str]) -> str | None:
    """Return lines of a `dataset.yaml` that finds the scan files below a directory; None if there is none.

    Only the first files and directories are considered, so that this takes no time in any directory.

    Args:
        directory: to be searched; hidden names and links to directories are left out.
        formats: endings of scan files, without the dot.
    """
    found = _files_below(directory)
    end_alike = [path for path in found if path.suffix.lower().lstrip(".") in formats]
    scans = _pattern([path for path in end_alike if not is_named_like_labels(path)])
    if scans is None:
        return None
    labels = _pattern([path for path in found if path.suffix == f".{_LABEL_ENDING}"])
    lines = ["sensor: unknown  # or its name, such as hdl-32e", f'scans: "{scans}"']
    if labels is not None and ("{sequence}" in labels) == ("{sequence}" in scans):
        lines += [f'labels: "{labels}"', "label_map: semantickitti-19  # or a file of yours"]
    return "\n".join(lines)


def _files_below(directory: Path) -> list[PurePosixPath]:
    found: list[PurePosixPath] = []
    for above, below, names in itertools.islice(os.walk(directory), _MOST_DIRECTORIES):
        below[:] = sorted(name for name in below if not name.startswith("."))
        place = PurePosixPath(Path(above).relative_to(directory).as_posix())
        found += [place / name for name in sorted(names) if not name.startswith(".")]
        if len(found) > _MOST_FILES:
            break
    return found


def _pattern(paths: Sequence[PurePosixPath]) -> str | None:
    """Return the pattern that matches most of the files; `{sequence}` is a directory whose name differs."""
    if not paths:
        return None
    (depth, ending), _ = Counter((len(path.parts), path.suffix) for path in paths).most_common(1)[0]
    alike = [path.parent.parts for path in paths if (len(path.parts), path.suffix) == (depth, ending)]
    common = Counter(alike).most_common(1)[0][0]
    differing = [place for place in range(depth - 1) if len({parts[place] for parts in alike}) > 1]
    if differing:  # of several, one whose pattern matches most; the upper one where two match as many
        patterns = Counter(
            (*parts[:place], "{sequence}", *parts[place + 1 :]) for place in differing for parts in alike
        )
        common = patterns.most_common(1)[0][0]
    return "/".join([*common, f"{{scan}}{ending}"])
