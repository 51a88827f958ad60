"""The table of trained networks: rows that survive kills, strata, other settings refused, ceilings of noise."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from hwnas.errors import ConfigError
from hwnas.io_spec import NetworkContract, dense_logits
from hwnas.models.cost import count_macs
from hwnas.search_spaces.base import SearchSpace, make_search_space
from hwnas.training.recipe import Recipe
from tests.tasks.lidar_data import write_scans

DIRECTORY = Path(__file__).parents[2] / "scripts" / "benchmarks"
NAMES = ("lidar_table", "lidar_table_figures", "lidar_table_latency", "row_table", "stratified_networks")
CONTRACT = NetworkContract(5, 64, (256,), dense_logits(8), cyclic_width=True)
EDGES = np.geomspace(0.1, 3.0, 4)


@pytest.fixture(scope="module")
def modules() -> Iterator[dict[str, ModuleType]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(DIRECTORY))
        yield {name: importlib.import_module(name) for name in NAMES}
    for name in NAMES:
        sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def space() -> SearchSpace:
    return make_search_space("range-unet", CONTRACT)


def row(name: str, seed: int = 0, miou: float | None = 0.2, **others: Any) -> dict[str, Any]:
    plain = {
        "origin": "sampled",
        "macs": 10**8,
        "parameters": 10**5,
        "cpu_s": 1.0,
        "wall_s": 2.0,
        "genes": {},
    }
    curve = None if miou is None else [miou / 2, miou, miou, miou]
    return {"id": name, "seed": seed, "miou": miou, "miou_curve": curve, "reason": ""} | plain | others


def test_a_table_goes_on_where_it_was(modules: dict[str, ModuleType], tmp_path: Path) -> None:
    table_of, path = modules["row_table"].RowTable, tmp_path / "new" / "table.jsonl"
    with table_of(path, {"steps": 4}) as table:
        session = table.add_session({"machine": "one"})
        table.append(row("a"))
        table.append(row("a", 1, None, reason="The loss is not finite."))
    with table_of(path, {"steps": 4}) as table:
        assert table.keys == {("a", 0), ("a", 1)}
        assert table.rows[1]["reason"] == "The loss is not finite."
        assert table.add_session({"machine": "other"}) != session
        table.append(row("b"))
    assert [json.loads(line)["id"] for line in path.read_text().splitlines()] == ["a", "a", "b"]
    reported = json.loads(path.with_suffix(".json").read_text())
    assert reported["settings"] == {"steps": 4}
    assert [each["machine"] for each in reported["sessions"].values()] == ["one", "other"]


@pytest.mark.parametrize("torn", ['{"id":"b","se', "{", '{"id":"b","seed":0,"settings":"12345678"}'])
def test_a_torn_last_line_is_dropped(modules: dict[str, ModuleType], tmp_path: Path, torn: str) -> None:
    path = tmp_path / "table.jsonl"
    with modules["row_table"].RowTable(path, {}) as table:
        table.append(row("a"))
    whole = path.read_text()
    path.write_text(whole + torn)
    assert [each["id"] for each in modules["row_table"].read_rows(path)] == ["a"]
    with modules["row_table"].RowTable(path, {}) as table:
        assert path.read_text() == whole
        table.append(row("b"))
    assert [each["id"] for each in modules["row_table"].read_rows(path)] == ["a", "b"]


def test_other_settings_and_damage_are_refused(modules: dict[str, ModuleType], tmp_path: Path) -> None:
    table_of, path = modules["row_table"].RowTable, tmp_path / "table.jsonl"
    with table_of(path, {"steps": 4}) as table:
        table.append(row("a"))
        with pytest.raises(ConfigError, match=r"Another process writes .*table\.jsonl"):
            table_of(path, {"steps": 4})
    content = path.read_text()
    with pytest.raises(ConfigError, match=r"rows of the settings .* but these are .*table\.json"):
        table_of(path, {"steps": 5})
    assert path.read_text() == content
    for damage in ("no row\n", "[1]\n", '{"id":"b"}\n'):
        path.write_text(damage + content)
        with pytest.raises(ConfigError, match=r"Line 1 of .*table\.jsonl"):
            table_of(path, {"steps": 4})
        assert path.read_text() == damage + content


def test_strata_are_filled_evenly(modules: dict[str, ModuleType], space: SearchSpace) -> None:
    plan = modules["stratified_networks"]
    strata = plan.sample_strata(space, EDGES, 3, np.random.default_rng(0))
    assert [len(stratum) for stratum in strata] == [3, 3, 3]
    assert len({network.id for stratum in strata for network in stratum}) == 9
    for stratum, low, high in zip(strata, EDGES, EDGES[1:], strict=False):
        for network in stratum:
            assert low <= count_macs(space.build(network), network.input_shape) / 1e9 < high
    more = plan.sample_strata(space, EDGES, 5, np.random.default_rng(0))
    assert [stratum[:3] for stratum in more] == strata
    assert list(plan.strata_of(np.array([0.01, 0.1, 2.9, 3.0]), EDGES)) == [-1, 0, 2, -1]


def test_macs_are_counted_without_building(modules: dict[str, ModuleType], space: SearchSpace) -> None:
    plan, rng = modules["stratified_networks"], np.random.default_rng(5)
    networks = [space.decode(plan.draw(space, rng)) for _ in range(6)]
    built = [count_macs(space.build(network), network.input_shape) for network in networks]
    assert (plan.gmacs_of(space, networks) * 1e9).round().astype(int).tolist() == built


def test_any_beginning_of_the_order_is_spread(modules: dict[str, ModuleType], space: SearchSpace) -> None:
    plan = modules["stratified_networks"]
    strata = plan.sample_strata(space, EDGES, 4, np.random.default_rng(0))
    middle = plan.middle_networks(space, 3.0)
    sizes = plan.gmacs_of(space, middle)
    assert list(sizes) == sorted(sizes)
    assert len(set(middle)) == len(middle) >= 4
    jobs = list(plan.ordered_jobs(strata, [(network, "scaled") for network in middle], 0))
    assert jobs == list(plan.ordered_jobs(strata, [(network, "scaled") for network in middle], 0))
    assert len({(job.architecture.id, job.seed) for job in jobs}) == len(jobs)
    assert {job.architecture for job in jobs} == {*middle, *(n for stratum in strata for n in stratum)}
    assert {job.seed for job in jobs} == {0, 1, 2}
    firsts = [job.architecture for job in jobs if job.origin == "sampled" and job.seed == 0]
    for number in range(4):
        assert set(firsts[3 * number : 3 * number + 3]) == {stratum[number] for stratum in strata}


def test_hand_crafted_networks_up_to_a_size(modules: dict[str, ModuleType]) -> None:
    space = make_search_space("hand-crafted", CONTRACT, {"network": ["salsanext", "rangenet21"]})
    found = modules["stratified_networks"].hand_crafted_networks(space, 1.6)
    reported = [(network.genes["network"], network.genes["width_multiplier"]) for network in found]
    salsanext = [("salsanext", multiplier) for multiplier in (0.125, 0.25, 0.375)]
    assert reported == [*salsanext, ("rangenet21", 0.125), ("rangenet21", 0.25)]


def test_noise_between_seeds_limits_tau(modules: dict[str, ModuleType], capsys: Any, tmp_path: Path) -> None:
    figures, rng = modules["lidar_table_figures"], np.random.default_rng(0)
    expected = np.linspace(0.1, 0.4, 60)
    rows = [
        row(f"{number}", seed, float(value + 0.02 * rng.standard_normal()), macs=number + 1)
        for number, value in enumerate(expected)
        for seed in range(3)
    ]
    noise = figures.seed_noise(rows)
    assert (noise.architectures, noise.trainings) == (60, 180)
    assert 0.017 < noise.deviation < 0.023
    ceiling = figures.ceiling_of(np.array([each["miou"] for each in rows[::3]]), noise.deviation)
    between = figures.tau_between_seeds(rows)
    assert 0.8 < ceiling.of_another_seed < ceiling.of_expected < 0.95
    assert between.low < ceiling.of_another_seed < between.high
    silent = figures.ceiling_of(expected, 0.0)
    assert (silent.of_expected, silent.of_another_seed) == (1.0, 1.0)
    path = tmp_path / "table.jsonl"
    with modules["row_table"].RowTable(path, {}) as table:
        for each in [*rows[:9], row("x", 0, None, reason="It diverged.")]:
            table.append(each)
        with pytest.raises(ConfigError, match="3 trained networks"):
            figures.show(path)
        for each in rows[9:]:
            table.append(each)
    figures.show(path)
    said = capsys.readouterr().out
    assert "181 rows: 60 architectures (60 sampled), 1 failed" in said
    assert "failed: x, seed 0: It diverged." in said
    assert (
        f"| MACs | {figures.rank_correlation_of(np.arange(60.0), np.array([r['miou'] for r in rows[::3]]))}"
        in said
    )


def test_rows_tell_their_architectures(modules: dict[str, ModuleType], space: SearchSpace) -> None:
    rng = np.random.default_rng(2)
    plan, described = modules["stratified_networks"], modules["lidar_table_latency"].described
    networks = [space.decode(plan.draw(space, rng)) for _ in range(40)]
    rows = [{"id": each.id, "space": each.space, "genes": dict(each.genes)} for each in networks]
    # Strides that were made smaller for want of pixels are not among the values of their genes.
    assert any(each.genes.get("stage5_stride") == "1x1" for each in networks)
    assert [described(json.loads(json.dumps(each)), CONTRACT) for each in rows] == networks
    with pytest.raises(ConfigError, match=rf"The genes of the row {rows[0]['id']} are those of"):
        described({**rows[0], "genes": rows[1]["genes"]}, CONTRACT)


def test_one_network_becomes_a_row(modules: dict[str, ModuleType], tmp_path: Path) -> None:
    script, plan = modules["lidar_table"], modules["stratified_networks"]
    write_scans(tmp_path / "data")
    task = script.make_task("lidar-segmentation", {"data": str(tmp_path / "data"), "widths": [256]})
    space = make_search_space("range-unet", task.contract)
    network = space.decode({gene: values[0] for gene, values in space.choices.items()})
    reported = script.table_settings(task, tmp_path / "data")
    assert reported["recipe"]["learning_rate"] == script.RECIPE.learning_rate
    (tmp_path / "data" / "notes.txt").write_text("no scan")
    assert script.table_settings(task, tmp_path / "data") == reported
    label = next((tmp_path / "data" / "sequences" / "00" / "labels").iterdir())
    label.write_bytes(bytes(len(label.read_bytes())))
    assert script.table_settings(task, tmp_path / "data")["scans_sha256"] != reported["scans_sha256"]
    recipe = Recipe(steps=4, average=0.5, mixed_precision="no")
    found = script.row_of(plan.Job(network, "sampled", 1), task, recipe)
    again = script.row_of(plan.Job(network, "sampled", 1), task, recipe)
    other = script.row_of(plan.Job(network, "sampled", 2), task, recipe)
    assert found["miou_curve"] == again["miou_curve"] != other["miou_curve"]
    assert len(found["miou_curve"]) == len(found["iou_curve"]) == 4
    assert found["miou"] == found["miou_curve"][-1]
    ious = np.array(found["intersection"]) / np.maximum(found["union"], 1)
    for value, counted in zip(found["iou_curve"][-1], ious, strict=True):
        assert value is None or value == pytest.approx(counted, abs=1e-4)
    assert modules["lidar_table_latency"].described(found, task.contract) == network
    assert json.loads(json.dumps(found)) == found
    diverging = Recipe(steps=4, learning_rate=1e30, gradient_clip=1e30, mixed_precision="no")
    failed = script.row_of(plan.Job(network, "sampled", 0), task, diverging)
    assert failed["miou"] is None
    assert "NaN or infinity" in failed["reason"]
