"""From a run directory to its report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from hwnas.bundle.provenance import installed_versions
from hwnas.errors import HwnasError
from hwnas.files import refuse_foreign, write_bytes_atomically
from hwnas.io_spec import NetworkContract
from hwnas.report.content import Member, RunContent, load_content
from hwnas.report.drawing import draw_architecture
from hwnas.report.page import GENERATOR, Illustrations, render_page
from hwnas.search.run_directory import RunDirectory
from hwnas.search_spaces.base import SearchSpace, make_search_space
from hwnas.tasks.base import Picture, Task, make_task
from hwnas.tasks.optional_parts import expectations
from hwnas.training.checkpoint import load_weights
from hwnas.training.predict import torch_predict

_BEGINNING_BYTES = 4096
MAX_PICTURED = 5
"""Members with pictures: every picture makes the file larger."""


@torch.random.fork_rng(devices=[])  # what is drawn here must not change what the caller draws afterwards
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
        ConfigError: if what is to be replaced is no report, or the run file is damaged.
        StudyError: if there is no run, or a file of it is damaged.
        OSError: if the file cannot be written.
    """
    directory = RunDirectory(run)
    target = directory.report if out is None else out
    if out is not None or directory.path.is_dir():  # where there is no run, that is said
        refuse_foreign(target, "a report", is_report)
    content = load_content(directory)
    page = render_page(content, _illustrate(content), installed_versions())
    write_bytes_atomically(target, page.encode("utf-8"))
    return target


def is_report(content: bytes) -> bool:
    """Return whether a file is a report, by its beginning."""
    return GENERATOR.encode() in content[:_BEGINNING_BYTES]


def _illustrate(content: RunContent) -> Illustrations:
    notes: list[str] = []
    task = _task(content, notes)
    space = _space(content, task, notes)
    if space is None:
        return Illustrations(notes=tuple(notes))
    drawings = _drawings(content, space)
    pictures = {}
    if task is not None:
        for number, member in enumerate(_pictured(content)):
            pictures[member.architecture.id] = _pictures(
                content, task, space, member, notes, limit=2 if number == 0 else 1
            )
    return Illustrations(drawings, pictures, tuple(notes), _expects(content, task))


def _expects(content: RunContent, task: Task | None) -> dict[str, Any]:
    """Return what the task says of its raw input; nothing where it cannot be asked."""
    if task is None or not content.members:
        return {}
    return expectations(task, content.members[0].architecture)


def _drawings(content: RunContent, space: SearchSpace) -> dict[str, str]:
    members = content.trained or content.members
    blocks = {member.architecture.id: space.blocks(member.architecture) for member in members}
    kinds = list(dict.fromkeys(block.kind for listed in blocks.values() for block in listed))
    return {
        name: draw_architecture(listed, title=f"architecture {name}", kinds=kinds)
        for name, listed in blocks.items()
        if listed
    }


def _task(content: RunContent, notes: list[str]) -> Task | None:
    try:
        return make_task(content.config.task.name, content.config.task.settings)
    except HwnasError as error:
        notes.append(f"There are no sample pictures, because the task cannot be opened here: {error}")
        return None


def _space(content: RunContent, task: Task | None, notes: list[str]) -> SearchSpace | None:
    """Return the search space that built the members, or None with a note."""
    contracts = [task.contract] if task is not None else _possible_contracts(content.members)
    problem: HwnasError | None = None
    for contract in contracts:
        try:
            space = make_search_space(content.config.space.name, contract)
            for member in content.members:
                space.blocks(member.architecture)
        except HwnasError as error:
            problem = error
        else:
            return space
    if problem is not None:
        notes.append(f"There are no drawings, because the search space does not open here: {problem}")
    return None


def _possible_contracts(members: Sequence[Member]) -> list[NetworkContract]:
    """Return contracts that all members may have met, for when the task cannot be asked."""
    if not members:
        return []
    first = members[0].architecture
    channels, height, _ = first.input_shape
    widths = tuple(sorted({member.architecture.input_shape[2] for member in members}))
    return [
        NetworkContract(channels, height, widths, first.outputs, cyclic_width=cyclic)
        for cyclic in (True, False)
    ]


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
        return task.pictures(
            torch_predict(module, task.io_spec(member.architecture)), member.architecture, limit=limit
        )
    except HwnasError as error:
        notes.append(f"There is no sample picture of {member.architecture.id}: {error}")
        return []
