"""Which files a bundle is run on, and where the results go."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hwnas.data.pictures import is_own_picture
from hwnas.data.scan_files.containers import format_of_container
from hwnas.errors import ConfigError
from hwnas.files import refuse_foreign

LABEL_SUFFIX = ".label"
PICTURE_SUFFIX = ".png"


@dataclass(frozen=True)
class InputFile:
    """A file to be used.

    Attributes:
        path: of the file.
        place: where its result goes in the output directory, without suffix.
    """

    path: Path
    place: Path


@dataclass(frozen=True)
class Inputs:
    """What files and directories hold.

    Attributes:
        files: to be used, in order.
        problems: (path, message) of directories that could not be searched.
        left_out: files whose names end like those of samples, but that are none.
    """

    files: tuple[InputFile, ...]
    problems: tuple[tuple[Path, str], ...]
    left_out: tuple[Path, ...] = ()


def find_inputs(
    paths: Sequence[Path],
    endings: Sequence[str],
    what: str = "scan",
    is_sample: Callable[[Path, Path], bool] | None = None,
) -> Inputs:
    """Return the scans that files and directories name.

    Directories are searched with all that is below them, but links to directories are not followed, and names
    that begin with a dot are left out. Labels of scans from a directory lie in the same subdirectories below
    the output, below the directory's own name if there are several; those of files are named by the file, and
    by its sequence where names repeat. Where two scans differ in the ending only, labels keep it.

    Args:
        paths: files and directories.
        endings: of names of scans, without the dot.
        what: they are called in messages.
        is_sample: tells of a file, and of the directory that it was found in, whether it is used; None for
            all with such an ending.

    Raises:
        ConfigError: if a directory holds no scan, or two scans would be written to one file.
    """
    directories = [path for path in paths if os.path.isdir(path) and format_of_container(path) is None]  # noqa: PTH112 - takes any name
    files = [path for path in paths if path not in directories]
    scans = [InputFile(path, place) for path, place in zip(files, _places_of_files(files), strict=True)]
    problems: list[tuple[Path, str]] = []
    left_out: list[Path] = []
    for directory in directories:
        above = Path(directory.resolve().name) if len(directories) > 1 else Path()
        unreadable: list[tuple[Path, str]] = []
        below = list(_files_below(directory, unreadable))
        problems += unreadable
        ending_alike = [path for path in below if path.suffix.lower().lstrip(".") in endings]
        found = ending_alike if is_sample is None else [path for path in below if is_sample(path, directory)]
        others = sorted(set(ending_alike) - set(found))
        left_out += others
        if not found and not unreadable:
            raise ConfigError(f"{directory} holds no {what}: {_why_none(others, endings)}")
        scans += [InputFile(path, above / path.relative_to(directory).with_suffix("")) for path in found]
    return Inputs(tuple(_distinct(scans)), tuple(problems), tuple(left_out))


def _why_none(left_out: Sequence[Path], endings: Sequence[str]) -> str:
    if not left_out:
        return f"no name ends in one of {['.' + ending for ending in endings]}."
    others = " and others" if len(left_out) > 1 else ""
    return (
        f"{left_out[0]}{others} could be one by the ending, but `scans` in dataset.yaml does not name it or, "
        "where there is no dataset.yaml, it is named like a file of labels. Mend dataset.yaml, or give the "
        "files themselves."
    )


def picture_of(output: Path) -> Path:
    """Return where the picture of a result goes: beside it, and never in its place."""
    return output.with_suffix(
        PICTURE_SUFFIX if output.suffix != PICTURE_SUFFIX else f".picture{PICTURE_SUFFIX}"
    )


def outputs_of(
    scans: Sequence[InputFile],
    out: Path,
    *,
    force: bool,
    picture: bool,
    suffix: str = LABEL_SUFFIX,
    is_own: Callable[[Path], bool] | None = None,
) -> list[Path]:
    """Return the result file of each scan.

    Args:
        scans: found.
        out: directory of the results.
        force: replace results and pictures that exist.
        picture: whether pictures are drawn.
        suffix: of the results, such as that of label files.
        is_own: tells whether a result may be replaced; None for labels, whose content tells that.

    Raises:
        ConfigError: if one exists, or its picture does, and `force` is False, or it has the name of a result
            or of a picture but is none that hwnas wrote.
    """
    outputs = [out / f"{scan.place}{suffix}" for scan in scans]
    pictures = [picture_of(output) for output in outputs] if picture else []
    existing = [path for path in (*outputs, *pictures) if os.path.lexists(path)]
    if existing and not force:
        raise ConfigError(
            f"{existing[0]} exists already ({len(existing)} files do). Give `force=True` to replace them, "
            "or another `out=`."
        )
    for path in existing:
        if path in pictures:
            refuse_foreign(path, "a picture", is_own_picture)
        elif is_own is None:
            refuse_foreign(path, "labels", _are_labels)
        elif not is_own(path):
            raise ConfigError(
                f"{path} would become a result, but there is a file that `infer` did not write, or that was "
                "changed since. Move it away, or name another directory."
            )
    return outputs


def _are_labels(content: bytes) -> bool:
    """Return whether a file may be replaced by labels: it is uint32 as `infer` writes them.

    Ids have 16 bits. Above them, labels by people have numbers of instances, which no `infer` writes, and
    other files have anything.
    """
    if len(content) % 4:
        return False
    return not np.any(np.frombuffer(content, "<u4") >> 16)


def _places_of_files(files: Sequence[Path]) -> list[Path]:
    stems = [path.stem for path in files]
    if len(set(stems)) < len(stems):
        stems = [f"{_sequence(path)}_{path.stem}" for path in files]
    return [Path(stem) for stem in stems]


def _sequence(scan: Path) -> str:
    """Return `08` for `08/velodyne/000000.bin`, otherwise the name of the scan's directory."""
    parent = Path(os.path.realpath(scan.parent))
    return parent.parent.name if parent.name == "velodyne" else parent.name


def _files_below(directory: Path, problems: list[tuple[Path, str]]) -> Iterator[Path]:
    def take(error: OSError) -> None:
        problems.append((Path(str(error.filename)), f"The directory cannot be read: {error.strerror}."))

    for above, below, names in os.walk(directory, onerror=take):
        below[:] = sorted(name for name in below if not name.startswith("."))
        yield from (Path(above) / name for name in sorted(names) if not name.startswith("."))


def _distinct(scans: list[InputFile]) -> list[InputFile]:
    """Return the scans, no two with one place; `a.bin` and `a.pcd` keep their endings."""
    counts = Counter(scan.place for scan in scans)
    apart = [
        InputFile(scan.path, scan.place.with_name(_whole_name(scan))) if counts[scan.place] > 1 else scan
        for scan in scans
    ]
    repeated = [place for place, count in Counter(scan.place for scan in apart).items() if count > 1]
    if repeated:
        raise ConfigError(
            f"Several inputs would have one result, {repeated[0]}: {_listed(scans, repeated[0])}. Give the "
            "directories that hold them instead of the files, so that results lie in subdirectories of the "
            "same names; or use separate commands with different directories."
        )
    return apart


def _listed(scans: Sequence[InputFile], place: Path) -> str:
    paths = [scan.path for scan in scans if place in (scan.place, scan.place.with_name(_whole_name(scan)))]
    return " and ".join(str(path) for path in paths[:3]) + (", ..." if len(paths) > 3 else "")


def _whole_name(scan: InputFile) -> str:
    return scan.place.name + scan.path.suffix
