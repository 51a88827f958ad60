"""From a run directory to its report."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from hwnas.errors import HwnasError
from hwnas.export.provenance import installed_versions
from hwnas.files import write_bytes_atomically
from hwnas.io_spec import NetworkContract
from hwnas.report.content import Member, RunContent, load_content
from hwnas.report.drawing import draw_architecture
from hwnas.report.page import Illustrations, render_page
from hwnas.search.run_directory import RunDirectory
from hwnas.search_spaces.base import SearchSpace, make_search_space
from hwnas.tasks.base import Picture, Task, make_task
from hwnas.training.checkpoint import load_weights
from hwnas.training.predict import torch_predict

MAX_PICTURED = 5
"""Members with pictures: every picture makes the file larger."""


def build_report(run: Path | str, out: Path | None = None) -> Path:
    """Write the report of a run as one HTML file that opens without a network.

    Works as soon as there is a `front.json`. What needs the data set is left out, with a note
    that says so, where the data set cannot be read.

    Args:
        run: the run directory.
        out: where to write; `report.html` in the run directory if None.

    Returns:
        The written file.

    Raises:
        StudyError: if there is no run, or a file of it is damaged.
        ConfigError: if the run file is damaged.
        OSError: if the file cannot be written.
    """
    directory = RunDirectory(run)
    content = load_content(directory)
    page = render_page(content, _illustrate(content), installed_versions())
    target = directory.report if out is None else out
    write_bytes_atomically(target, page.encode("utf-8"))
    return target


def _illustrate(content: RunContent) -> Illustrations:
    notes: list[str] = []
    task = _task(content, notes)
    space = _space(content, task, notes)
    if space is None:
        return Illustrations(notes=tuple(notes))
    drawings = {}
    for member in content.trained or content.members:
        blocks = space.blocks(member.architecture)
        if blocks:
            title = f"architecture {member.architecture.id}"
            drawings[member.architecture.id] = draw_architecture(blocks, title=title)
    pictures = {}
    if task is not None:
        for number, member in enumerate(_pictured(content)):
            pictures[member.architecture.id] = _pictures(
                content, task, space, member, notes, limit=2 if number == 0 else 1
            )
    return Illustrations(drawings, pictures, tuple(notes))


def _task(content: RunContent, notes: list[str]) -> Task | None:
    try:
        return make_task(content.config.task.name, content.config.task.settings)
    except HwnasError as error:
        notes.append(f"There are no sample pictures, because the task cannot be opened here: {error}")
        return None


def _space(content: RunContent, task: Task | None, notes: list[str]) -> SearchSpace | None:
    contract = task.contract if task is not None else _contract_of(content.members)
    if contract is None:
        return None
    try:
        return make_search_space(content.config.space.name, contract)
    except HwnasError as error:
        notes.append(f"There are no drawings, because the search space cannot be opened here: {error}")
        return None


def _contract_of(members: Iterable[Member]) -> NetworkContract | None:
    """Return a contract that all members meet, for when the task cannot be asked."""
    architectures = [member.architecture for member in members]
    if not architectures:
        return None
    channels, height, _ = architectures[0].input_shape
    widths = tuple(sorted({architecture.input_shape[2] for architecture in architectures}))
    return NetworkContract(channels, height, widths, architectures[0].num_classes)


def _pictured(content: RunContent) -> list[Member]:
    """Return the members that get pictures, the most accurate first, the others spread over the front."""
    ranked = sorted(content.trained, key=lambda member: -float((member.quality or {})["value"]))
    if len(ranked) <= MAX_PICTURED:
        return ranked
    return [ranked[round(index * (len(ranked) - 1) / (MAX_PICTURED - 1))] for index in range(MAX_PICTURED)]


def _pictures(
    content: RunContent, task: Task, space: SearchSpace, member: Member, notes: list[str], *, limit: int
) -> list[Picture]:
    if member.trained is None:
        return []
    try:
        module = space.build(member.architecture)
        load_weights(content.run.path / member.trained["checkpoint"], module)
        return task.pictures(torch_predict(module), member.architecture, limit=limit)
    except HwnasError as error:
        notes.append(f"There is no sample picture of {member.architecture.id}: {error}")
        return []
