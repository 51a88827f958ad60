"""Earlier runs that a search learns from: what is read of them, kept, refused and told."""

from __future__ import annotations

import json
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwnas.cli.search import _runs_of
from hwnas.config import SearchOptions, load_config
from hwnas.errors import ConfigError, StudyError
from hwnas.files import write_checked_json
from hwnas.io_spec import NetworkContract, dense_logits
from hwnas.report.build import build_report
from hwnas.run.run import Run
from hwnas.search.earlier_studies import earlier_studies, record_of_earlier, remark_on_others
from hwnas.search.run_directory import RunDirectory
from hwnas.search.strategies import EarlierStudy
from hwnas.search_spaces.base import SearchSpace, make_search_space, sample_choices

pytestmark = pytest.mark.usefixtures("tiny_plugin", "forked_workers")


def space_of(**choices: Any) -> SearchSpace:
    return make_search_space("tiny-space", NetworkContract(2, 8, (16,), dense_logits(3)), choices or None)


def earlier_run(
    path: Path,
    number: int = 12,
    *,
    seed: int = 0,
    task: str = "some data",
    steps: int = 5,
    full_steps: int = 9,
    supernet: str = "",
) -> Path:
    """Files of a run that trained different networks, the larger the better."""
    space, rng = space_of(), np.random.default_rng(seed)
    trained: dict[str, dict[str, Any]] = {}
    while len(trained) < number:
        architecture = space.decode({**sample_choices(space, rng), "behaviour": "good"})
        trained.setdefault(architecture.id, architecture.to_json())
    run = RunDirectory(path)
    run.make()
    trials = [
        {
            "number": place,
            "state": "COMPLETE",
            "architecture": architecture,
            "error": 0.6 - 0.02 * architecture["genes"]["channels"] - 0.05 * architecture["genes"]["depth"],
            "duplicate_of": None,
        }
        for place, architecture in enumerate(trained.values())
    ]
    trials.append({**trials[0], "number": number, "duplicate_of": 0})
    trials.append({**trials[0], "number": number + 1, "state": "FAIL", "error": None})
    write_checked_json(run.front, {"schema_version": 2, "trials": trials, "members": []})
    identity = {
        "task_fingerprint": task,
        "config": {
            "training": {"proxy": {"steps": steps}, "full": {"steps": full_steps}},
            "search": {"estimator": {"name": "training"}},
        },
        "estimator_inputs": {"weight-sharing.supernet": supernet},
    }
    write_checked_json(run.identity, {"schema_version": 2, **identity})
    return path


def learned(run: RunDirectory, space: SearchSpace, others: list[str]) -> tuple[EarlierStudy, ...]:
    return earlier_studies(run, space, record_of_earlier(run, space, others))


def test_trained_networks_are_read_once_and_kept(tmp_path: Path) -> None:
    other, run = earlier_run(tmp_path / "other"), RunDirectory(tmp_path / "new")
    run.make()
    (study,) = learned(run, space_of(), [str(other)])
    assert study.name == str(other)
    assert len(study.architectures) == len(study.errors) == 12, "neither repeated nor failed ones"
    one = study.architectures[0].genes
    assert study.errors[0] == pytest.approx(0.6 - 0.02 * one["channels"] - 0.05 * one["depth"])
    (other / "front.json").unlink()
    assert learned(run, space_of(), [str(other)]) == (study,), "what was begun with is kept"
    assert learned(run, space_of(), []) == (study,)
    assert learned(RunDirectory(tmp_path / "third"), space_of(), []) == ()


def test_errors_of_other_data_or_another_training_are_of_another_kind(tmp_path: Path) -> None:
    paths = [
        earlier_run(tmp_path / "a"),
        earlier_run(tmp_path / "b", seed=1, full_steps=90),
        earlier_run(tmp_path / "c", task="other data"),
        earlier_run(tmp_path / "d", steps=50),
        earlier_run(tmp_path / "e", supernet="other weights"),
    ]
    run = RunDirectory(tmp_path / "new")
    run.make()
    kinds = [study.kind for study in learned(run, space_of(), [str(path) for path in paths])]
    assert kinds[0] == kinds[1], "how networks of the front are trained afterwards does not matter"
    assert len(set(kinds)) == 4


def test_a_run_counts_once_however_it_is_named(tmp_path: Path) -> None:
    run, other = RunDirectory(tmp_path / "new"), earlier_run(tmp_path / "other")
    run.make()
    (tmp_path / "link").symlink_to(other)
    names = [str(other), f"{other}/", str(tmp_path / "new" / ".." / "other"), str(tmp_path / "link")]
    (study,) = learned(run, space_of(), names)
    assert study.name == str(other.resolve())
    assert remark_on_others(run, [study], names) == ""
    for others in ([], [str(tmp_path / "third")]):
        assert study.name in remark_on_others(run, [study], others)
    assert remark_on_others(run, [], []) == ""


def test_what_was_proposed_counts_where_genes_of_networks_are_none_that_can_be_chosen(tmp_path: Path) -> None:
    """Strides of `range-unet` that an image is too low for become others, which its choices lack."""
    space = make_search_space("range-unet", NetworkContract(5, 32, (256, 512), dense_logits(4)))
    rng, other, run = (
        np.random.default_rng(0),
        RunDirectory(tmp_path / "other"),
        RunDirectory(tmp_path / "new"),
    )
    proposed = [sample_choices(space, rng) for _ in range(40)]
    decoded = [space.decode(choices) for choices in proposed]
    odd = [one for one in decoded if any(one.genes[gene] not in space.choices[gene] for gene in one.genes)]
    assert odd, "otherwise this tests nothing"
    earlier_run(other.path)
    trials = [
        {
            "number": number,
            "state": "COMPLETE",
            "architecture": one.to_json(),
            "error": 0.3,
            "duplicate_of": None,
        }
        for number, one in enumerate(decoded)
    ]
    write_checked_json(other.front, {"schema_version": 2, "trials": trials, "members": []})
    for number, choices in enumerate(proposed):
        other.trial(number).mkdir()
        write_checked_json(other.trial_record(number), {"schema_version": 2, "choices": choices})
    run.make()
    (study,) = learned(run, space, [str(other.path)])
    assert [one.id for one in study.architectures] == [one.id for one in decoded]


def test_networks_of_a_wider_space_take_the_nearest_values(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "new")
    run.make()
    narrow = space_of(channels=[4, 8])
    (study,) = learned(run, narrow, [str(earlier_run(tmp_path / "other"))])
    assert {architecture.genes["channels"] for architecture in study.architectures} <= {4, 8}


@pytest.mark.parametrize(
    ("given", "meant"), [("a,b", ["a", "b"]), ("one", ["one"]), ("with,comma", ["with,comma"]), ("a,", ["a"])]
)
def test_runs_are_separated_by_commas(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str, meant: list[str]
) -> None:
    (tmp_path / "with,comma").mkdir()
    monkeypatch.chdir(tmp_path)
    assert _runs_of(given) == meant


def test_what_nothing_can_be_learned_from_is_refused(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "new")
    run.make()
    few = earlier_run(tmp_path / "few", 4)
    with pytest.raises(
        ConfigError, match=r"at least 5 trained networks.*of the 4 in .*few 4 different ones fit"
    ):
        learned(run, space_of(), [str(few)])
    other_space = make_search_space("range-unet", NetworkContract(5, 32, (256,), dense_logits(4)))
    with pytest.raises(ConfigError, match=r"of the 12 in .* 0 different ones fit the space 'range-unet'"):
        learned(run, other_space, [str(earlier_run(tmp_path / "other"))])
    one = earlier_run(tmp_path / "one")
    front = json.loads((one / "front.json").read_text())
    repeated = [{**front["trials"][0], "number": number} for number in range(100)]
    write_checked_json(one / "front.json", {"schema_version": 2, "trials": repeated, "members": []})
    with pytest.raises(ConfigError, match=r"of the 100 in .* 1 different ones fit"):
        learned(run, space_of(), [str(one)])
    with pytest.raises(ConfigError, match="cannot learn from itself"):
        learned(run, space_of(), [str(run.path)])
    with pytest.raises(StudyError, match=r"front\.json"):
        learned(run, space_of(), [str(tmp_path / "nothing")])
    assert not run.learned_from.exists()
    whole = earlier_run(tmp_path / "whole")
    learned(run, space_of(), [str(whole)])
    run.learned_from.write_text(run.learned_from.read_text().replace("0.", "1.", 1))
    with pytest.raises(StudyError, match=r"learned_from\.json"):
        learned(run, space_of(), [str(whole)])


def test_a_strategy_that_learns_from_nothing_is_refused_before_anything_is_written(
    write_run, tmp_path: Path
) -> None:
    path = write_run(search__learn_from=[str(earlier_run(tmp_path / "other"))], search__strategy="random")
    with pytest.raises(ConfigError, match="'random' learns from none"):
        Run(tmp_path / "out", load_config(path)).search()
    assert not (tmp_path / "out").exists()


def test_what_cannot_be_learned_from_leaves_no_run_behind(write_run, tmp_path: Path) -> None:
    few = earlier_run(tmp_path / "few", 4)
    settings = {"search__strategy": "surrogate", "search__trials": 1}
    for others in ([str(tmp_path / "nothing")], [str(few)], [str(tmp_path / "out")]):
        run = Run(tmp_path / "out", load_config(write_run(search__learn_from=others, **settings)))
        with pytest.raises((ConfigError, StudyError)):
            run.search()
        assert not RunDirectory(tmp_path / "out").exists
    good = [str(earlier_run(tmp_path / "other"))]
    found = Run(tmp_path / "out", load_config(write_run(search__learn_from=good, **settings))).search()
    assert found.transfer is not None


@pytest.mark.slow
def test_a_search_learns_and_says_what(write_run, tmp_path: Path) -> None:
    other = earlier_run(tmp_path / "[b]<i>other</i>")
    path = write_run(search__learn_from=[str(other)], search__strategy="surrogate", search__trials=4)
    run = Run(tmp_path / "out", load_config(path))
    summary = run.search()
    assert summary.transfer is not None
    assert summary.transfer.studies == (str(other.resolve()),)
    assert summary.transfer.networks == 12
    value = summary.to_json()
    assert value["transfer"]["studies"] == [str(other.resolve())]
    json.dumps(value)
    page = build_report(tmp_path / "out").read_text()
    assert "Earlier runs" in page
    assert escape(str(other.resolve())) in page
    assert "<i>other" not in page
    assert summary.remarks == ()
    third = str(earlier_run(tmp_path / "third", seed=3))
    again = run.search(options=SearchOptions(learn_from=[third]))
    assert again.transfer is not None
    assert again.transfer.studies == summary.transfer.studies
    assert "goes on with the earlier runs" in "".join(again.remarks)
