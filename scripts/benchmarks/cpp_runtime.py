#!/usr/bin/env python3
"""What the C++ runtime costs beside the Python runner, from points to labels and scores, by step.

    python scripts/benchmarks/cpp_runtime.py --bundle BUNDLE SCAN.bin ...
    python scripts/benchmarks/cpp_runtime.py --bundle BUNDLE SCAN.bin ... --repeats 50 --json
    python scripts/benchmarks/cpp_runtime.py --bundle BUNDLE SCAN.bin ... --against REVISION --rate-hz 10

Both take the same bundle and scans on the same core, with one thread, the same ONNX Runtime and the compiled
kernel, and by turns: whatever disturbs one disturbs the other. The C++ runtime is built first, with CMake's
`Release`. Labels must be equal. Ratios are medians of the ratios of runs next to each other.

With `--against` the C++ runtime of another revision takes its turn, too; with `--rate-hz` scans come at that
rate, so that nothing that a scan needs is left in the caches.

Prints Markdown, with `--json` one JSON document. Ends with 1 if labels differ.
"""

from __future__ import annotations

import argparse
import importlib.util
import io
import itertools
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import time
import warnings
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from types import TracebackType

import numpy as np

from hwnas.bundle.runtime import Runner
from hwnas.range_view.compiled import kernel_name

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build" / "cpp" / "release"
CPP_STEPS = ("projection", "checks")
"""Which Python does at once."""
STEPS = ("projection and checks", "network", "labels", "scores", "all")
WARM_UPS = 3

Times = dict[str, float]


@dataclass(frozen=True)
class Timing:
    """Times of one step, over scans and repeats.

    Attributes:
        step: what was clocked.
        python_ms: median and 99th percentile of the Python runner; None for what it does not clock.
        cpp_ms: likewise of the C++ runtime.
        before_ms: likewise of the other revision of it; None without one.
        ratio: median of Python over C++, of runs next to each other.
        ratio_before: likewise of the other revision over this one.
    """

    step: str
    python_ms: tuple[float, float] | None
    cpp_ms: tuple[float, float]
    before_ms: tuple[float, float] | None
    ratio: float | None
    ratio_before: float | None


class CppProgram:
    """`step_times`, which labels a scan for each number that it is told."""

    def __init__(self, built: Path, bundle: Path, library: Path, scans: Sequence[Path]) -> None:
        command = [str(built / "tests" / "step_times"), str(bundle), str(library), *map(str, scans)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __enter__(self) -> CppProgram:
        """Return the program itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End it."""
        self._process.communicate()

    def times_ms(self, number: int) -> Times:
        """Label a scan and return the time of each step."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{number}\n")
        self._process.stdin.flush()
        project, check, *others = map(float, self._process.stdout.readline().split())
        return {**dict(zip(CPP_STEPS, (project, check), strict=True)), **with_sum([project + check, *others])}


def main() -> None:
    """Measure and print."""
    arguments = _arguments()
    os.sched_setaffinity(0, {arguments.core})
    library = onnxruntime_library()
    with tempfile.TemporaryDirectory() as scratch:
        builds = [build(ROOT / "export" / "cpp", BUILD)]
        if arguments.against is not None:
            sources = sources_of(arguments.against, Path(scratch))
            builds.append(build(sources, Path(scratch) / "build", "-DHWNAS_VERSION=0.0.0"))
        differing = differing_points(arguments.bundle, library, arguments.scans)
        with ExitStack() as stack:
            programs = [
                stack.enter_context(CppProgram(built, arguments.bundle, library, arguments.scans))
                for built in builds
            ]
            all_ms = clock(arguments, programs)
    timings = [
        timing(step, *([times[step] for times in by_run if step in times] for by_run in all_ms))
        for step in (*CPP_STEPS, *STEPS)
    ]
    if arguments.json:
        facts = {"scans": len(arguments.scans), "repeats": arguments.repeats, "differing_points": differing}
        print(json.dumps({**facts, "timings": [asdict(found) for found in timings]}))
    else:
        _print_table(timings, arguments, differing)
    sys.exit(int(differing > 0))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("scans", nargs="+", type=Path, help=".bin files as the bundle was trained on")
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--repeats", type=int, default=20, help="timings of each scan")
    parser.add_argument("--against", help="Git revision whose C++ runtime is clocked, too")
    parser.add_argument("--rate-hz", type=float, help="of scans; as fast as possible without")
    parser.add_argument("--core", type=int, default=0, help="that both run on")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def onnxruntime_library() -> Path:
    """Return the library that the Python package of onnxruntime uses."""
    spec = importlib.util.find_spec("onnxruntime")
    places = [] if spec is None else list(spec.submodule_search_locations or [])
    found = [path for place in places for path in Path(place, "capi").glob("libonnxruntime.so.1.*")]
    if not found:
        raise SystemExit("The installed package of onnxruntime has no library; install it by pip.")
    return found[0]


def sources_of(revision: str, directory: Path) -> Path:
    """Write the C++ sources of a revision into a directory and return their folder."""
    command = ["git", "archive", revision, "--", "export/cpp"]
    archive = subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as files:
        files.extractall(directory, filter="data")
    return directory / "export" / "cpp"


def build(sources: Path, directory: Path, *options: str) -> Path:
    """Build the C++ runtime and return where."""
    given = ["-S", str(sources), "-DCMAKE_BUILD_TYPE=Release", "-DHWNAS_BUILD_TESTS=ON", *options]
    targets = ["--target", "step_times", "hwnas_infer"]
    for command in (
        ["cmake", "-B", str(directory), *given],
        ["cmake", "--build", str(directory), *targets],
    ):
        subprocess.run(command, check=True, stdout=sys.stderr)
    return directory


def differing_points(bundle: Path, library: Path, scans: Sequence[Path]) -> int:
    """Return how many points of all scans the two label otherwise."""
    differing = 0
    with Runner(bundle) as runner, tempfile.TemporaryDirectory() as scratch:
        for scan in scans:
            out = Path(scratch) / "cpp.label"
            command = [str(BUILD / "hwnas_infer"), str(bundle), str(scan), "-o", str(out), "--force"]
            command += ["--ids", "train", "--library", str(library)]
            subprocess.run(command, check=True, stdout=sys.stderr)
            differing += int(np.count_nonzero(np.fromfile(out, "<u4") != runner.label_scan(scan)))
    return differing


def clock(
    arguments: argparse.Namespace, programs: Sequence[CppProgram]
) -> tuple[list[Times], list[Times], list[Times]]:
    """Return the times of Python, of C++ and of its other revision, taken by turns."""
    found: tuple[list[Times], list[Times], list[Times]] = ([], [], [])
    with Runner(arguments.bundle) as runner:
        if runner.kernel != kernel_name() or runner.kernel != "compiled":
            raise SystemExit("The Python package was built without its compiled kernel.")
        read = [runner.read_scan(scan) for scan in arguments.scans]
        due = time.perf_counter()
        for turn in range(-WARM_UPS, arguments.repeats):
            for number, scan in enumerate(read):
                jobs = [partial(python_times_ms, runner, scan)]
                jobs += [partial(program.times_ms, number) for program in programs]
                for job, times in zip(jobs, found, strict=False):
                    if arguments.rate_hz is not None:
                        due = max(due + 1.0 / arguments.rate_hz, time.perf_counter())
                        time.sleep(max(0.0, due - time.perf_counter()))
                    taken = job()
                    if turn >= 0:
                        times.append(taken)
    return found


def python_times_ms(runner: Runner, scan: object) -> Times:
    """Label a scan as the Python runner does, and return the time of each step."""
    places = [time.perf_counter()]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        arrays, context = runner.processor.before(scan)
        places.append(time.perf_counter())
        outputs = runner.predict(arrays)
        places.append(time.perf_counter())
        result = runner.processor.after(outputs, context)
        places.append(time.perf_counter())
        result.scores  # noqa: B018 - computed here
        places.append(time.perf_counter())
    return with_sum([1e3 * (end - start) for start, end in itertools.pairwise(places)])


def with_sum(times_ms: Sequence[float]) -> Times:
    """Return times by step, with their sum as the last."""
    return dict(zip(STEPS, [*times_ms, sum(times_ms)], strict=True))


def timing(step: str, python_ms: list[float], cpp_ms: list[float], before_ms: list[float]) -> Timing:
    """Return what was clocked of one step."""
    of_python, of_cpp, of_before = (
        (float(np.median(values)), float(np.percentile(values, 99))) if values else None
        for values in (python_ms, cpp_ms, before_ms)
    )
    assert of_cpp is not None
    ratio, ratio_before = (
        float(np.median(np.divide(values, cpp_ms))) if values else None for values in (python_ms, before_ms)
    )
    return Timing(step, of_python, of_cpp, of_before, ratio, ratio_before)


def _print_table(timings: Sequence[Timing], arguments: argparse.Namespace, differing: int) -> None:
    pace = "" if arguments.rate_hz is None else f", scans at {arguments.rate_hz:g} Hz"
    runs = f"{arguments.repeats} runs on each of {len(arguments.scans)} scans{pace}"
    print(f"Median ms (99th percentile) of {runs}, one core, one thread\n")
    has_before = arguments.against is not None
    names = ["step", "Python", "C++", "Python / C++"]
    names += [f"C++ of {arguments.against}", "before / now"] if has_before else []
    print(f"| {' | '.join(names)} |")
    print("|---" * len(names) + "|")
    for found in timings:
        cells = [found.step, _shown(found.python_ms), _shown(found.cpp_ms), _ratio(found.ratio)]
        cells += [_shown(found.before_ms), _ratio(found.ratio_before)] if has_before else []
        print(f"| {' | '.join(cells)} |")
    print(f"\nPoints labelled otherwise: {differing}")


def _shown(values: tuple[float, float] | None) -> str:
    return "" if values is None else f"{values[0]:.1f} ({values[1]:.1f})"


def _ratio(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


if __name__ == "__main__":
    main()
