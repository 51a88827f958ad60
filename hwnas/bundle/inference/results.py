"""What came of the files that a bundle was run on."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hwnas.json_values import JsonObject
from hwnas.text import counted, one_line

RAW, TRAIN = "raw", "train"


@dataclass(frozen=True)
class InferenceStatus:
    """Which file is read next.

    Attributes:
        number: its place among those that are wanted, from 1.
        wanted: how many files there are.
        path: path of the file.
        sample: what the bundle's task calls one of them, such as `scan`.
    """

    number: int
    wanted: int
    path: Path
    sample: str


@dataclass(frozen=True)
class InferredFile:
    """A file that a bundle was run on.

    Attributes:
        path: path of the input.
        result: file that was written: of LiDAR bundles labels, uint32, one id for every point.
        run_ms: time from raw input to result; neither reading nor writing of files counts.
        warnings: what is unusual about the input, or could not be checked; sentences.
        picture: PNG of input and result; None unless asked for.
        facts: what the processor says of the result; of LiDAR bundles `points` and `projection`.
    """

    path: Path
    result: Path
    run_ms: float
    warnings: tuple[str, ...] = ()
    picture: Path | None = None
    facts: JsonObject = field(default_factory=dict)


@dataclass(frozen=True)
class InferenceProblem:
    """What could not be used.

    Attributes:
        path: path of a file, or of a directory that could not be searched.
        message: why, with the path.
        is_directory: whether it is a directory.
    """

    path: Path
    message: str
    is_directory: bool = False


@dataclass(frozen=True)
class Inference:
    """What came of the files that a bundle was run on.

    Attributes:
        bundle: its directory.
        sample: what the task calls one of the files, such as `scan`.
        files: those that were used, in order.
        problems: what could not be used.
        ids: what label files of LiDAR bundles hold: `raw` or `train`; None for others.
        are_checked: whether inputs that contradict the manifest were refused.
        left_out: files in directories that end like scans, but are none: a `dataset.yaml` has them not, or
            they are named like labels.
    """

    bundle: Path
    sample: str
    files: tuple[InferredFile, ...]
    problems: tuple[InferenceProblem, ...]
    ids: str | None = None
    are_checked: bool = True
    left_out: tuple[Path, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values, as `hwnas infer --json` prints them."""
        return {
            "bundle": str(self.bundle),
            "sample": self.sample,
            "ids": self.ids,
            "are_checked": self.are_checked,
            "files": [
                {
                    "path": str(file.path),
                    "result": str(file.result),
                    "run_ms": file.run_ms,
                    "facts": dict(file.facts),
                    "warnings": list(file.warnings),
                    "picture": None if file.picture is None else str(file.picture),
                }
                for file in self.files
            ],
            "left_out": [str(path) for path in self.left_out],
            "problems": [
                {"path": str(one.path), "message": one.message, "is_directory": one.is_directory}
                for one in self.problems
            ],
        }

    def __repr__(self) -> str:
        """Return the figures that matter most, in a line."""
        return one_line(
            self,
            counted(len(self.files), self.sample),
            f"{len(self.problems)} unusable" if self.problems else "",
            counted(sum(len(file.warnings) for file in self.files), "warning"),
        )
