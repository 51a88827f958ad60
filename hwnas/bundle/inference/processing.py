"""Files through the processor of a bundle of any task."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from hwnas.bundle.inference.input_files import Inputs, find_inputs, outputs_of, picture_of
from hwnas.bundle.inference.results import Inference, InferenceProblem, InferenceStatus, InferredFile
from hwnas.bundle.inference.written_results import WrittenResults
from hwnas.bundle.runtime.processor import result_warnings
from hwnas.bundle.runtime.runner import Runner
from hwnas.bundle.signature import Trust
from hwnas.errors import DataError
from hwnas.files import write_bytes_atomically
from hwnas.plugins import Blame, plugin_or_name
from hwnas.progress import Listener
from hwnas.thread_counts import checked_threads

_GROUP = "hwnas.processors"


@dataclass(frozen=True)
class FileOptions:
    """How files are run, whatever they hold.

    Attributes:
        threads: of one inference; 0 for all cores.
        precision: of the network, or `recommended`.
        picture: draw each input with its result, too.
        force: replace results and pictures that exist; other files of these names are refused.
        check_scans: refuse inputs that contradict the manifest.
        trust: who must have signed the bundle.
        progress: is told of each file before it is read.
    """

    threads: int = 1
    precision: str = "fp32"
    picture: bool = False
    force: bool = False
    check_scans: bool = True
    trust: Trust | None = None
    progress: Listener[InferenceStatus] | None = None

    def __post_init__(self) -> None:
        """Refuse a wrong number of threads before anything is read.

        Raises:
            ConfigError: naming what is expected.
        """
        checked_threads(self.threads)

    def runner(self, bundle: Path) -> Runner:
        """Return a runner of a bundle."""
        return Runner(
            bundle,
            threads=self.threads,
            precision=self.precision,
            check_scans=self.check_scans,
            trust=self.trust,
        )


def process_files(bundle: Path, paths: Sequence[Path], out: Path, options: FileOptions) -> Inference:
    """Run every file that can be through a bundle; nothing is written if an output exists already.

    Args:
        bundle: directory of the bundle.
        paths: files, and directories that are searched for files that the processor takes.
        out: directory of the results.
        options: how they are run.

    Raises:
        BundleError: if the bundle cannot be used, or is not signed as wanted.
        ConfigError: if two results would be one file, or a file exists and may not be replaced.
        PluginError: if the processor is not installed, or raises an error of its own.
    """
    with options.runner(bundle) as runner:
        processor = runner.processor
        sample = str(_words(runner).get("sample", "sample"))
        endings = [suffix.lstrip(".") for suffix in processor.input_suffixes]
        inputs = find_inputs(paths, endings, what=sample)
        written = WrittenResults(out)
        outputs = outputs_of(
            inputs.files,
            out,
            force=options.force,
            picture=options.picture,
            suffix=processor.result_suffix,
            is_own=written.holds,
        )

        def use(_number: int, path: Path, output: Path) -> InferredFile:
            found = _processed(runner, path, output, picture=options.picture)
            written.add(output)
            return found

        files, problems = use_each(
            inputs,
            outputs,
            use,
            sample=sample,
            progress=options.progress,
        )
    return Inference(bundle, sample, files, problems, are_checked=options.check_scans)


def use_each(
    inputs: Inputs,
    outputs: Sequence[Path],
    use: Callable[[int, Path, Path], InferredFile],
    *,
    sample: str,
    progress: Listener[InferenceStatus] | None,
) -> tuple[tuple[InferredFile, ...], tuple[InferenceProblem, ...]]:
    """Use every input; those that cannot be used become problems.

    Args:
        inputs: found files, and directories that could not be searched.
        outputs: a result file for each of the files.
        use: is given the number of a file, from 0, its path and its output.
        sample: what one of them is called.
        progress: is told of each before it is read.
    """
    files: list[InferredFile] = []
    problems = [InferenceProblem(path, f"{path}: {why}", is_directory=True) for path, why in inputs.problems]
    for number, (file, output) in enumerate(zip(inputs.files, outputs, strict=True)):
        if progress is not None:
            progress(InferenceStatus(number + 1, len(outputs), file.path, sample))
        try:
            files.append(use(number, file.path, output))
        except DataError as error:
            message = str(error) if str(file.path) in str(error) else f"{file.path}: {error}"
            problems.append(InferenceProblem(file.path, message))
    return tuple(files), tuple(problems)


def _words(runner: Runner) -> Mapping[str, Any]:
    words = runner.manifest.content["task"].get("words")
    return words if isinstance(words, dict) else {}


def _processed(runner: Runner, path: Path, output: Path, *, picture: bool) -> InferredFile:
    """Run one file and write what came of it.

    Raises:
        DataError: if the file cannot be used.
    """
    processor, plugin = runner.processor, plugin_or_name(_GROUP, runner.manifest.processor_name)
    with Blame(plugin, "read", own_errors=True):
        raw = processor.read(path)
    with Blame(plugin, "check", own_errors=True):
        warnings = list(processor.check(raw))
    start = time.perf_counter()
    with Blame(plugin, "before and after", own_errors=True):
        result = runner.process(raw)
    run_ms = (time.perf_counter() - start) * 1e3
    with Blame(plugin, "warnings_of", own_errors=True):
        warnings += result_warnings(processor, result)
    output.parent.mkdir(parents=True, exist_ok=True)
    with Blame(plugin, "write", own_errors=True):
        facts = dict(processor.write(result, output))
    warnings += cast("Sequence[str]", facts.pop("warnings", ()))
    drawn = None
    if picture:
        with Blame(plugin, "picture", own_errors=True):
            png = processor.picture(raw, result, str(runner.manifest.content["architecture_id"]))
        drawn = picture_of(output)
        write_bytes_atomically(drawn, png)
    return InferredFile(path, output, run_ms, tuple(warnings), drawn, facts)
