from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwnas.architecture import Architecture
from hwnas.config import load_config
from hwnas.errors import ConfigError, PluginError
from hwnas.io_spec import NetworkContract, dense_logits
from hwnas.models.cost import count_macs
from hwnas.objectives import Constraint, Objectives
from hwnas.search.driver import search
from hwnas.search.latency_filter import LatencyFilter, may_fit
from hwnas.search.run_directory import RunDirectory
from hwnas.search.warm_start import first_candidates
from hwnas.search_spaces.base import Fits, SearchSpace, Seeds, make_search_space
from hwnas.search_spaces.cells import Cell
from hwnas.search_spaces.nas_cell_seeds import choices_of_cells, read_cells

pytestmark = pytest.mark.usefixtures("forked_workers")

WriteRun = Callable[..., Path]

FIRST = "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|skip_connect~0|none~1|avg_pool_3x3~2|"
SECOND = "|none~0|+|nor_conv_1x1~0|none~1|+|none~0|none~1|nor_conv_3x3~2|"
LIKE_SECOND = "|nor_conv_1x1~0|+|none~0|none~1|+|none~0|nor_conv_3x3~1|avg_pool_3x3~2|"
DEAD = "|none~0|+|none~0|none~1|+|none~0|nor_conv_3x3~1|nor_conv_3x3~2|"


def cell_space(**restrictions: list[str]) -> SearchSpace:
    return make_search_space("nas-cell", NetworkContract(5, 16, (64,), dense_logits(3)), restrictions)


def file_of(directory: Path, *lines: str) -> Path:
    path = directory / "cells.txt"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_cells_are_read_once_and_in_order(tmp_path: Path) -> None:
    path = file_of(tmp_path, "# from a table", "", f"  {SECOND}  # second", FIRST, LIKE_SECOND, SECOND)
    assert [str(cell) for cell in read_cells(path)] == [SECOND, FIRST]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (FIRST.replace("skip", "jump"), r"cells\.txt:2: .* is no cell\. Expected"),
        (FIRST[:-1], r"cells\.txt:2: .* is no cell"),
        (f"{FIRST},93.2", r"cells\.txt:2: .* is no cell"),
        ("421211", r"cells\.txt:2: .* is no cell"),
        (DEAD, r"cells\.txt:2: nothing of the input reaches the output"),
    ],
)
def test_lines_that_are_no_cell_are_refused(line: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        read_cells(file_of(tmp_path, FIRST, line))


def test_files_without_cells_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"holds none\. Write one a line"):
        read_cells(file_of(tmp_path, "# nothing"))
    with pytest.raises(ConfigError, match="cannot be read"):
        read_cells(tmp_path / "missing.txt")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00|")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_cells(tmp_path / "binary")


def test_cells_are_stacked_in_ways_that_the_seed_draws() -> None:
    space, cells = cell_space(), [Cell.parse(FIRST), Cell.parse(SECOND)]
    found, left_out = choices_of_cells(space, cells, 5, 0)
    assert left_out == []
    kept = [Cell.of(space.decode(choices).genes) for choices in found]
    assert kept == [cell.canonical() for cell in cells]
    assert found == choices_of_cells(space, cells, 5, 0)[0]
    assert found != choices_of_cells(space, cells, 5, 1)[0]
    assert len(choices_of_cells(space, cells, 1, 0)[0]) == 1


def test_cells_are_stacked_until_they_fit_the_limits() -> None:
    space, cells = cell_space(), [Cell.parse(FIRST), Cell.parse(SECOND)]
    sizes = [count_macs(space.build(one), one.input_shape) / 1e9 for one in decoded(space, cells, 40)]
    most = float(np.quantile(sizes, 0.1))
    objectives = Objectives(constraints=(Constraint.parse(f"gmacs <= {most}"),))
    nothing = LatencyFilter(None, space, objectives)
    found, left_out = choices_of_cells(
        space, cells, 5, 0, lambda one: may_fit(one, space, nothing, objectives)
    )
    assert (len(found), left_out) == (2, [])
    for choices in found:
        network = space.decode(choices)
        assert count_macs(space.build(network), network.input_shape) / 1e9 <= most
    # Of a cell that cannot be stacked within the limits, nothing is proposed, and that is said.
    tight = Objectives(constraints=(Constraint.parse("parameters_m <= 0.000001"),))
    found, left_out = choices_of_cells(space, cells, 5, 0, lambda one: may_fit(one, space, nothing, tight))
    assert (found, left_out) == ([], cells)


def test_cells_that_are_left_out_are_named(tmp_path: Path) -> None:
    run, space = RunDirectory(tmp_path / "run"), cell_space()
    run.make()
    messages: list[str] = []
    path = file_of(tmp_path, FIRST, SECOND)
    wanted = Cell.parse(SECOND).canonical()
    found = first_candidates(
        run,
        space,
        [],
        6,
        initial_architectures=str(path),
        fits=lambda one: Cell.of(one.genes) == wanted,
        on_message=messages.append,
    )
    assert [Cell.of(space.decode(choices).genes) for choices in found] == [wanted]
    (message,) = messages
    assert FIRST in message
    assert SECOND not in message


def decoded(space: SearchSpace, cells: list[Cell], count: int) -> list[Architecture]:
    found = [choices_of_cells(space, cells, 2, seed)[0] for seed in range(count // 2)]
    return [space.decode(choices) for both in found for choices in both]


def test_restrictions_of_the_space_hold() -> None:
    # SECOND as it is written breaks the restriction; the cell that it is built like does not.
    space = cell_space(edge1=["nor_conv_1x1"])
    (found,), _ = choices_of_cells(space, [Cell.parse(SECOND)], 5, 0)
    assert Cell.of(space.decode(found).genes) == Cell.parse(SECOND).canonical()
    with pytest.raises(ConfigError, match=r"outside of what `space\.choices` allows for \['edge1'\]"):
        choices_of_cells(space, [Cell.parse(FIRST)], 5, 0)


def test_spaces_without_seeds_are_refused(tmp_path: Path) -> None:
    space = make_search_space("range-unet", NetworkContract(5, 32, (256,), dense_logits(4)))
    run = RunDirectory(tmp_path / "run")
    run.make()
    with pytest.raises(ConfigError, match=r"'range-unet' reads no such file .*`seeds`.*`nas-cell`"):
        first_candidates(run, space, [], 6, initial_architectures=str(file_of(tmp_path, FIRST)))
    assert not run.warm_start.exists()


class _Astray:
    """A space whose seeds are not its own."""

    def __init__(self) -> None:
        self._space = cell_space()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._space, name)

    def seeds(self, file: Path, most: int, *, seed: int, fits: Fits) -> Seeds:
        found = self._space.seeds(file, most, seed=seed, fits=fits)  # type: ignore[attr-defined]
        return Seeds(tuple({**choices, "edge1": "teleport"} for choices in found.choices))


def test_seeds_that_a_space_cannot_decode_are_its_fault(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "run")
    run.make()
    with pytest.raises(PluginError, match=r"`seeds` of the search space 'nas-cell' must return .*teleport"):
        first_candidates(run, _Astray(), [], 6, initial_architectures=str(file_of(tmp_path, FIRST)))


def test_what_a_run_began_with_is_kept(tmp_path: Path) -> None:
    run, space = RunDirectory(tmp_path / "run"), cell_space()
    run.make()
    path = file_of(tmp_path, FIRST, SECOND)
    found = first_candidates(run, space, [], 6, initial_architectures=str(path), seed=3)
    assert found == choices_of_cells(space, read_cells(path), 2, 3)[0]
    path.unlink()
    assert first_candidates(run, space, [], 6, initial_architectures=str(path), seed=3) == found
    assert json.loads(run.warm_start.read_text())["initial_architectures"] == str(path)


def test_a_file_of_cells_counts_from_the_run_file(write_run: WriteRun, tmp_path: Path) -> None:
    file_of(tmp_path, FIRST)
    assert load_config(
        write_run(search__initial_architectures="cells.txt")
    ).search.initial_architectures == str(tmp_path / "cells.txt")


@pytest.mark.slow
@pytest.mark.usefixtures("tiny_plugin")
def test_a_search_begins_with_cells(write_run: WriteRun, tmp_path: Path) -> None:
    file_of(tmp_path, FIRST)
    small = {"stem_width": [8], "num_stages": [2], "cells": [1], "decoder_width": [16]}
    path = write_run(space={"name": "nas-cell", "choices": small}, search__initial_architectures="cells.txt")
    trials = search(load_config(path), tmp_path / "out").front["trials"]
    assert Cell.of(trials[0]["architecture"]["genes"]) == Cell.parse(FIRST).canonical()
    assert len([trial for trial in trials if trial["state"] == "COMPLETE"]) >= 3


def test_a_search_of_another_space_is_refused(write_run: WriteRun, tmp_path: Path, tiny_plugin: Path) -> None:
    file_of(tmp_path, FIRST)
    with pytest.raises(ConfigError, match="'tiny-space' reads no such file"):
        search(load_config(write_run(search__initial_architectures="cells.txt")), tmp_path / "out")
