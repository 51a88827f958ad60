"""What came of the files that a bundle was run on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

RAW, TRAIN = "raw", "train"


@dataclass(frozen=True)
class InferenceStatus:
    """Which file is read next.

    Attributes:
        number: its place among those that are wanted, from 1.
        wanted: how many files there are.
        path: of the file.
        sample: what the bundle's task calls one of them, such as `scan`.
    """

    number: int
    wanted: int
    path: Path
    sample: str


InferenceListener = Callable[[InferenceStatus], None]


@dataclass(frozen=True)
class InferredFile:
    """A file that a bundle was run on.

    Attributes:
        path: of the input.
        result: file that was written: of LiDAR bundles labels, uint32, one id for every point.
        run_ms: from raw input to result; neither reading nor writing of files counts.
        warnings: what is unusual about the input, or could not be checked; sentences.
        picture: PNG of input and result; None unless asked for.
        facts: what the processor says of the result; of LiDAR bundles `points` and `projection`.
    """

    path: Path
    result: Path
    run_ms: float
    warnings: tuple[str, ...] = ()
    picture: Path | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class InferenceProblem:
    """What could not be used.

    Attributes:
        path: of a file, or of a directory that could not be searched.
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
        ids: of LiDAR bundles, what label files hold: `raw` or `train`; None for others.
    """

    bundle: Path
    sample: str
    files: tuple[InferredFile, ...]
    problems: tuple[InferenceProblem, ...]
    ids: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values, as `hwnas infer --json` prints them."""
        path, result, time = ("sample", "result", "run_ms")
        if self.ids is not None:
            path, result, time = ("scan", "labels", "label_ms")
        files = [
            {
                path: str(file.path),
                result: str(file.result),
                **file.facts,
                "warnings": list(file.warnings),
                time: file.run_ms,
                **({} if file.picture is None else {"picture": str(file.picture)}),
            }
            for file in self.files
        ]
        problems = [
            {"directory" if problem.is_directory else path: str(problem.path), "message": problem.message}
            for problem in self.problems
        ]
        if self.ids is None:
            return {"bundle": str(self.bundle), "results": files, "problems": problems}
        return {"bundle": str(self.bundle), "ids": self.ids, "scans": files, "problems": problems}
