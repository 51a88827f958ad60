"""Measuring jobs for boards that neither SSH nor Python reaches: a directory is carried there and back.

`emit_job` writes it, `run.sh` in it measures with trtexec on the board, `hwnas.latency.measure.jobs.results`
reads what came back.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hwnas.errors import ConfigError, MeasurementError
from hwnas.files import copy_atomically, sha256_of_file, write_bytes_atomically, write_json_atomically
from hwnas.latency.backends.errors import AgentError
from hwnas.latency.backends.onnx_file import read_outline
from hwnas.latency.backends.trtexec_flags import weak_typing_flags
from hwnas.latency.measure.jobs.script import JobModel, job_script
from hwnas.latency.measure.model_files import refuse_sizes
from hwnas.latency.measure.reference import REFERENCE, write_reference
from hwnas.model_files.external_data import read_model_files
from hwnas.scratch import ScratchDirectory

JOB_FILE = "job.json"
RESULTS = "results"
SCHEMA_VERSION = 3
"""2 added `files` with the external data of each model; with 3 the script hashes all that it measured."""
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}\Z")


@dataclass(frozen=True)
class JobSettings:
    """How a job measures.

    Attributes:
        processes: runs of trtexec for each model, interleaved with the reference network.
        iterations: fewest inferences of a run.
        duration_s: shortest time a run is clocked, whole seconds.
        warmup_ms: that each run warms up, milliseconds.
        optimization_level: effort of the builder, 0 to 5.
        tf32: whether float32 may be computed in TF32.
        dla_core: number of the DLA core, -1 for the GPU alone.
        timeout_s: seconds after which a build or run is ended, where the board has `timeout`.
    """

    processes: int = 3
    iterations: int = 50
    duration_s: int = 3
    warmup_ms: int = 500
    optimization_level: int = 3
    tf32: bool = True
    dla_core: int = -1
    timeout_s: int = 3600

    def __post_init__(self) -> None:
        """Refuse settings that cannot be followed.

        Raises:
            ConfigError: naming the setting, its range and its value.
        """
        for name, low, high in (
            ("processes", 1, 100),
            ("iterations", 10, 1_000_000),
            ("duration_s", 0, 3600),
            ("warmup_ms", 0, 600_000),
            ("optimization_level", 0, 5),
            ("dla_core", -1, 15),
            ("timeout_s", 1, 86_400),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                raise ConfigError(f"Job setting {name!r} must lie in {low}..{high}, but is {value!r}.")


def emit_job(
    models: Sequence[str | Path], directory: str | Path, *, settings: JobSettings | None = None
) -> Path:
    """Write a job that measures ONNX files with trtexec and return the path of its script.

    Every model is compared with the reference network, see `hwnas.latency.measure.reference`.

    Args:
        models: ONNX files with static shapes, or bundle directories; their names must differ.
        directory: new or empty.
        settings: how to measure.

    Raises:
        ConfigError: if the directory holds something, or a name cannot be used in a script.
        MeasurementError: if a model is no ONNX file or has open axes, or its external data is missing, lies
            outside its directory, or is not what the graph says.
    """
    chosen = settings or JobSettings()
    directory = Path(directory)
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise ConfigError(
            f"A job needs a new or empty directory, but {str(directory)!r} is not; name another."
        )
    with ScratchDirectory("job") as temporary:
        reference = Path(temporary) / f"{REFERENCE}.onnx"
        write_reference(reference)
        files = {REFERENCE: reference, **_named([Path(model) for model in models])}
        described = [_describe(name, path) for name, path in files.items()]
        (directory / "models").mkdir(parents=True, exist_ok=True)
        for entry, path in zip(described, files.values(), strict=True):
            for inside, source in _sources(entry, path).items():
                (directory / inside).parent.mkdir(parents=True, exist_ok=True)
                copy_atomically(source, directory / inside)
    write_json_atomically(directory / JOB_FILE, _content(described, chosen))
    script = directory / "run.sh"
    write_bytes_atomically(script, job_script(described, vars(chosen)).encode("utf-8"))
    script.chmod(0o755)
    return script


def _named(models: Sequence[Path]) -> dict[str, Path]:
    named: dict[str, Path] = {}
    for path in models:
        is_bundle = path.is_dir()
        name = path.name if is_bundle else path.stem
        if not _NAME.match(name) or name.partition(".")[0] == REFERENCE:
            raise ConfigError(
                f"The model name {name!r} cannot be used in a job; rename {str(path)!r} to letters, digits, "
                f"'_', '.' and '-', other than {REFERENCE!r}."
            )
        if name in named:
            raise ConfigError(
                f"Two models are named {name!r}: {str(named[name])!r} and {str(path)!r}; rename one."
            )
        named[name] = path / "model.onnx" if is_bundle else path
    if not named:
        raise ConfigError("A job needs at least one model to measure; name an ONNX file.")
    return named


def _describe(name: str, path: Path) -> JobModel:
    try:
        outline = read_outline(str(path))
    except AgentError as error:
        raise MeasurementError(str(error)) from error
    open_inputs = [spec.name for spec in outline.inputs if any(size < 0 for size in spec.shape)]
    if open_inputs:
        raise MeasurementError(
            f"{str(path)!r} has inputs without fixed shape: {open_inputs}. Export it for the shape to "
            "measure."
        )
    refuse_sizes(outline.inputs, repr(str(path)))
    found = read_model_files(path)
    # Files that other models might name likewise: such a model has a directory of its own.
    directory = f"models/{name}.files" if found.external else "models"
    file = f"{directory}/{path.name}" if found.external else f"models/{name}.onnx"
    external = {f"{directory}/{entry.location}": sha256_of_file(entry.path) for entry in found.external}
    weak_flags = tuple(weak_typing_flags([], outline))
    return JobModel(name, file, found.sha256(), weak_flags, {file: sha256_of_file(path), **external})


def _sources(entry: JobModel, path: Path) -> dict[str, Path]:
    """Return where each file of a model of the job comes from, by its path within the job."""
    directory = Path(entry.file).parent
    return {
        inside: path if inside == entry.file else path.parent / Path(inside).relative_to(directory)
        for inside in entry.hashes
    }


def _content(models: Sequence[JobModel], settings: JobSettings) -> Mapping[str, Any]:
    return {
        "schema_version": SCHEMA_VERSION,
        "models": {
            entry.name: {"file": entry.file, "sha256": entry.sha256, "files": dict(entry.hashes)}
            for entry in models
        },
        "settings": vars(settings),
    }
