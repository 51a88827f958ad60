"""`hwnas infer` for bundles of any task: files go through the bundle's processor."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwnas.cli.console import err_console, out_console, print_json
from hwnas.cli.infer_inputs import find_scans, outputs_of, picture_of
from hwnas.errors import DataError
from hwnas.files import write_bytes_atomically
from hwnas.plugins import Blaming
from hwnas.text import plural

if TYPE_CHECKING:
    from hwnas.bundle.runtime import Runner
    from hwnas.bundle.signature import Trust

_GROUP = "hwnas.processors"
_SHOWN_PROBLEMS = 20


@dataclass
class Processed:
    """What came of the files.

    Attributes:
        sample: what the task calls one of them, such as `image`.
        written: what is known of each result, as plain JSON values.
        problems: path, as `sample` or `directory`, and message of what could not be used.
    """

    sample: str
    written: list[dict[str, Any]] = field(default_factory=list)
    problems: list[dict[str, str]] = field(default_factory=list)


def process_files(
    bundle: Path,
    paths: Sequence[Path],
    out: Path,
    *,
    threads: int,
    picture: bool,
    force: bool,
    precision: str = "fp32",
    trust: Trust | None = None,
) -> Processed:
    """Run every file that can be through a bundle; nothing is written if an output exists already.

    Args:
        bundle: directory of the bundle.
        paths: files, and directories that are searched for files that the processor takes.
        out: directory of the results.
        threads: of one inference.
        picture: draw each sample, too.
        force: replace files that exist.
        precision: of the network.
        trust: who must have signed the bundle.

    Raises:
        BundleError: if the bundle cannot be used, or is not signed as `trust` wants.
        ConfigError: if two results would be one file, or a file exists and `force` is False.
        PluginError: if the processor is not installed, or raises an error of its own.
    """
    from rich.progress import track

    from hwnas.bundle.runtime import Runner

    with Runner(bundle, threads=threads, precision=precision, trust=trust) as runner:
        processor = runner.processor
        sample = str(_words(runner).get("sample", "sample"))
        endings = [suffix.lstrip(".") for suffix in processor.input_suffixes]
        inputs = find_scans(paths, endings, what=sample)
        outputs = outputs_of(inputs.scans, out, force=force, picture=picture, suffix=processor.result_suffix)
        found = Processed(
            sample,
            problems=[{"directory": str(path), "message": f"{path}: {why}"} for path, why in inputs.problems],
        )
        pairs = list(zip(inputs.scans, outputs, strict=True))
        title = f"Running {plural(sample)}"
        for file, output in track(pairs, title, console=err_console, transient=True):
            try:
                entry = _processed(runner, file.path, output, picture=picture)
            except DataError as error:
                message = str(error) if str(file.path) in str(error) else f"{file.path}: {error}"
                found.problems.append({"sample": str(file.path), "message": message})
                continue
            found.written.append(entry)
    return found


def report(found: Processed, bundle: Path, *, as_json: bool) -> None:
    """Print what came of the files.

    Raises:
        DataError: if one could not be used.
    """
    if as_json:
        print_json({"bundle": str(bundle), "results": found.written, "problems": found.problems})
    else:
        for entry in found.written:
            line = f"{entry['result']}  in {entry['run_ms']:.0f} ms"
            out_console.print(line, markup=False, highlight=False, soft_wrap=True)
            for warning in entry["warnings"]:
                text = f"Warning: {entry['sample']}: {warning}"
                err_console.print(text, markup=False, highlight=False, soft_wrap=True)
    if found.problems:
        shown = [f"\n  {problem['message']}" for problem in found.problems[:_SHOWN_PROBLEMS]]
        more = "\n  ... (--json lists all)" if len(found.problems) > _SHOWN_PROBLEMS else ""
        count = f"{len(found.problems)} of {len(found.written) + len(found.problems)}"
        raise DataError(f"{count} {plural(found.sample)} could not be used:{''.join(shown)}{more}")


def _words(runner: Runner) -> Mapping[str, Any]:
    words = runner.manifest.content["task"].get("words")
    return words if isinstance(words, dict) else {}


def _processed(runner: Runner, path: Path, output: Path, *, picture: bool) -> dict[str, Any]:
    """Run one file and write what came of it.

    Raises:
        DataError: if the file cannot be used.
    """
    processor, name = runner.processor, runner.manifest.processor_name
    with Blaming(_GROUP, name, "read"):
        raw = processor.read(path)
    with Blaming(_GROUP, name, "check"):
        warnings = list(processor.check(raw))
    start = time.perf_counter()
    with Blaming(_GROUP, name, "before and after"):
        result = runner.process(raw)
    run_ms = (time.perf_counter() - start) * 1e3
    output.parent.mkdir(parents=True, exist_ok=True)
    with Blaming(_GROUP, name, "write"):
        facts = dict(processor.write(result, output))
    entry = {
        "sample": str(path),
        "result": str(output),
        **facts,
        "warnings": [*warnings, *facts.get("warnings", ())],
        "run_ms": run_ms,
    }
    if picture:
        with Blaming(_GROUP, name, "picture"):
            png = processor.picture(raw, result, str(runner.manifest.content["architecture_id"]))
        entry["picture"] = str(picture_of(output))
        write_bytes_atomically(picture_of(output), png)
    return entry
