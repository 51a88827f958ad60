"""Finds the files of a data set by its patterns or lists."""

from __future__ import annotations

import errno
import itertools
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from hwnas.data.datasets.dataset_config import EMBEDDED_LABELS, DatasetConfig, ScanEntry, lacks_scan
from hwnas.data.datasets.reading import ScanFiles
from hwnas.data.scan_files.containers import ContainerFormat, format_of_container
from hwnas.errors import DataError
from hwnas.files import reason_of
from hwnas.plugins import plugin_names
from hwnas.text import shown

ONLY_SEQUENCE = "all"
_MOST_STARS = 4
_NOTHING_THERE = (errno.ENOENT, errno.ENOTDIR)


class Unreadable(NamedTuple):
    """A directory that could not be searched for scans, from that of the data set, and why."""

    path: str
    message: str


def scan_files(
    directory: Path, config: DatasetConfig, container: ContainerFormat | None = None
) -> tuple[tuple[ScanFiles, ...], tuple[Unreadable, ...]]:
    """Return all scans, ordered by sequence and name, and the directories that could not be searched.

    Where files hold several scans, every file is a sequence, unless `{sequence}` or the list says otherwise.

    Scans of a sequence in which at least one label file exists name their label file, whether it
    exists or not; `missing_labels` says which do not.

    Args:
        directory: of `dataset.yaml`.
        config: what it says.
        container: the format, if its files hold several scans.

    Raises:
        DataError: if there is no scan, two have the same id, or a file with several cannot be read.
    """
    unreadable: list[Unreadable] = []
    if isinstance(config.scans, str) and container is None and "{scan}" not in config.scans:
        raise DataError(lacks_scan(config.scans))
    if isinstance(config.scans, str):
        files = _from_pattern(
            directory, config.scans, config.label_pattern, unreadable, has_several=container is not None
        )
        where = str(directory / config.scans)
    else:
        files = _from_list(directory, config.scans)
        where = "the list of scans"
    if not files:
        reasons = "".join(f" {one.message}" for one in unreadable[:3])
        raise DataError(
            f"{directory} holds no scan: nothing matches {where}. Check 'scans' in dataset.yaml "
            f"(docs/reference/dataset-yaml.md).{reasons}"
        )
    if container is not None:
        files = [scan for one in files for scan in _scans_in(one, container, config.format_options)]
    files.sort(key=lambda one: (one.sequence, one.id))
    for one, other in itertools.pairwise(files):
        if one.id == other.id:
            raise DataError(
                f"Two scans have the id {one.id!r}: {one.points} and {other.points}; name them apart."
            )
    return tuple(files), tuple(dict.fromkeys(unreadable))


def format_of(config: DatasetConfig) -> str:
    """Return the name of the file format: as stated, or what the names of the scans end with.

    Raises:
        DataError: if it is not stated and the names end with no format that is registered, or with several.
    """
    if config.format is not None:
        return config.format
    endings = endings_of(config)
    known = plugin_names("hwnas.data_formats")
    if len(endings) == 1 and endings[0] in known:
        return endings[0]
    found = ", ".join(f"'.{ending}'" if ending else "nothing" for ending in endings[:5])
    raise DataError(
        f"The names of the scans end with {found or 'nothing'}; expected one of "
        f"{['.' + name for name in known]} for all of them. If they are stored so under another name, state "
        f"'format' in dataset.yaml, one of {list(known)}. Otherwise convert them: read the points with a "
        "tool that knows the format and write `np.save(path, values)` with columns x, y, z, intensity, or "
        "plug in a reader (entry-point group 'hwnas.data_formats'). Scans of different formats are data sets "
        "of their own."
    )


def endings_of(config: DatasetConfig) -> tuple[str, ...]:
    """Return what the names of the scans end with, without the dot, in lower case; sorted."""
    names = [config.scans] if isinstance(config.scans, str) else [entry.points for entry in config.scans]
    return tuple(sorted({os.path.splitext(name)[1].lower().lstrip(".") for name in names}))


def _scans_in(file: ScanFiles, container: ContainerFormat, options: Mapping[str, Any]) -> Iterator[ScanFiles]:
    """Yield the scans of a file that holds several; their labels are in another such file, if in any."""
    labels = Path(file.labels) if file.labels is not None and os.path.exists(file.labels) else None
    name = file.id.rpartition("/")[2]
    above = file.sequence if name == file.sequence else file.id
    for scan in container.scans_in(Path(file.points), options, labels):
        yield ScanFiles(
            f"{above}/{scan.name}",
            file.sequence,
            os.path.join(file.points, scan.name),
            os.path.join(labels, scan.name) if labels is not None and scan.is_labelled else None,
        )


def missing_labels(files: Iterable[ScanFiles]) -> list[ScanFiles]:
    """Return the scans without a label file, listing every directory only once."""
    listed: dict[str, set[str] | None] = {}
    missing = []
    for one in files:
        if one.labels is None:
            missing.append(one)
            continue
        directory, name = os.path.split(one.labels)
        if directory not in listed:
            listed[directory] = _listed(directory)
        found = listed[directory]
        if found is not None and name not in found:
            missing.append(one)
    return missing


def _listed(directory: str) -> set[str] | None:
    """Return the names in a directory; None of a file that holds several labels, all of which are there."""
    if format_of_container(Path(directory)) is not None:
        return None
    try:
        return set(os.listdir(directory))
    except OSError:
        return set()  # whether it is missing or not readable, nobody gets labels there


def _from_pattern(
    directory: Path, scans: str, labels: str | None, unreadable: list[Unreadable], *, has_several: bool
) -> list[ScanFiles]:
    found = _matches(directory, scans, unreadable, has_several=has_several)
    if labels is None or labels == EMBEDDED_LABELS:
        return [
            ScanFiles(f"{sequence}/{scan}", sequence, path, None) for (sequence, scan), path in found.items()
        ]
    labelled = _matches(directory, labels, unreadable, has_several=has_several)
    if has_several:  # `{sequence}.mcap` fits `01_labels.mcap`, too
        found = {key: path for key, path in found.items() if path not in labelled.values()}
    labelled_sequences = {sequence for sequence, _ in labelled}
    return [
        ScanFiles(
            f"{sequence}/{scan}",
            sequence,
            path,
            _label_path(directory, labels, sequence, scan) if sequence in labelled_sequences else None,
        )
        for (sequence, scan), path in found.items()
    ]


def _label_path(directory: Path, pattern: str, sequence: str, scan: str) -> str:
    return str(directory / pattern.replace("{sequence}", sequence).replace("{scan}", scan))


def _matches(
    directory: Path, pattern: str, unreadable: list[Unreadable], *, has_several: bool
) -> dict[tuple[str, str], str]:
    """Return (sequence, scan) -> path of all names that match, whatever is behind them.

    Where files hold several scans, what is missing of the two is the other.
    """
    pattern = _normal(pattern)
    expression = _names_matching(pattern)
    found = {}
    parts = pattern.replace("{sequence}", "*").replace("{scan}", "*").split("/")
    for path in _names_like(str(directory), "", parts, unreadable):
        match = expression.fullmatch(path)
        if match:
            groups = match.groupdict()
            scan = groups.get("scan", groups.get("sequence", ""))
            sequence = groups.get("sequence", scan if has_several else ONLY_SEQUENCE)
            found[sequence, scan] = str(directory / path)
    return found


def _normal(pattern: str) -> str:
    """Return a pattern without `./`.

    Raises:
        DataError: if it leads out of the directory of the data set, or has many `*` in one name.
    """
    pattern = os.path.normpath(os.path.expanduser(pattern))
    if ".." in Path(pattern).parts or Path(pattern).is_absolute():
        raise DataError(
            f"The pattern {shown(pattern)} must stay inside the directory of dataset.yaml; move the file up."
        )
    if any(len(re.findall(r"\*+", part)) > _MOST_STARS for part in Path(pattern).parts):
        raise DataError(
            f"The pattern {shown(pattern)} has more than {_MOST_STARS} `*` in one name; write out what they "
            "stand for, or name the scans in a list."
        )
    return pattern


def _names_matching(pattern: str) -> re.Pattern[str]:
    text = _expression_of(pattern)
    for name in ("sequence", "scan"):
        placeholder = re.escape("{" + name + "}")
        text = text.replace(placeholder, f"(?P<{name}>[^/]+)", 1).replace(placeholder, f"(?P={name})")
    return re.compile(text)


def is_scan_of(config: DatasetConfig, directory: Path) -> Callable[[Path], bool]:
    """Return what tells of a file below a data set whether the data set has it as a scan.

    Args:
        config: of the data set.
        directory: of its `dataset.yaml`.

    Raises:
        DataError: if a pattern leads out of the directory.
    """
    above = os.path.abspath(directory)
    if not isinstance(config.scans, str):
        listed = {os.path.abspath(file.points) for file in _from_list(directory, config.scans)}
        return lambda path: os.path.abspath(path) in listed
    scans, labels = _names_matching(_normal(config.scans)), None
    if config.label_pattern not in (None, EMBEDDED_LABELS, config.scans):
        # Where files hold several scans, `{sequence}.mcap` fits `01_labels.mcap`, too.
        labels = _names_matching(_normal(str(config.label_pattern)))

    def is_scan(path: Path) -> bool:
        name = os.path.relpath(os.path.abspath(path), above)
        return bool(scans.fullmatch(name)) and not (labels is not None and labels.fullmatch(name))

    return is_scan


def _expression_of(pattern: str) -> str:
    """Return a regular expression in which `*` stands for any text without `/` and `?` for one character."""
    # Several `*` in a row are one; as many expressions in a row would take for ever on long names.
    return re.sub(r"(?:\\\*)+", "[^/]*", re.escape(pattern)).replace(re.escape("?"), "[^/]")


def _names_like(directory: str, below: str, parts: list[str], unreadable: list[Unreadable]) -> Iterator[str]:
    """Yield paths below `directory` whose parts match one by one; unlike glob, say what cannot be listed."""
    part, rest = parts[0], parts[1:]
    names = [part]
    if "*" in part or "?" in part:
        expression = re.compile(_expression_of(part), re.DOTALL)
        try:
            listed = os.listdir(os.path.join(directory, below))
        except OSError as error:
            if error.errno not in _NOTHING_THERE:
                message = f"{error.filename} cannot be listed: {reason_of(error)}."
                unreadable.append(Unreadable(below or ".", message))
            return
        names = sorted(name for name in listed if expression.fullmatch(name))
    for name in names:
        path = os.path.join(below, name)
        if rest and os.path.isdir(os.path.join(directory, path)):
            yield from _names_like(directory, path, rest, unreadable)
        elif not rest and os.path.lexists(os.path.join(directory, path)):
            yield path


def _from_list(directory: Path, entries: tuple[ScanEntry, ...]) -> list[ScanFiles]:
    return [
        ScanFiles(
            f"{entry.sequence}/{Path(entry.points).stem}",
            entry.sequence,
            str(directory / os.path.expanduser(entry.points)),
            str(directory / os.path.expanduser(entry.labels)) if entry.labels is not None else None,
        )
        for entry in entries
    ]
