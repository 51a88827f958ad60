from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hwnas.config import load_config
from hwnas.errors import ConfigError, StudyError
from hwnas.files import write_checked_json
from hwnas.io_spec import NetworkContract, dense_logits
from hwnas.search.driver import search
from hwnas.search.run_directory import RunDirectory
from hwnas.search.warm_start import adapted, first_candidates
from hwnas.search_spaces.base import make_search_space, sample_choices

pytestmark = pytest.mark.usefixtures("tiny_plugin", "forked_workers")


def _other_run(path: Path, chosen: list[dict]) -> Path:
    """Files of an earlier run whose trials lie on one front."""
    space = make_search_space("tiny-space", NetworkContract(2, 8, (16,), dense_logits(3)))
    run = RunDirectory(path)
    run.make()
    trials = []
    for number, choices in enumerate(chosen):
        architecture = space.decode(choices).to_json()
        run.trial(number).mkdir()
        write_checked_json(
            run.trial_record(number), {"schema_version": 2, "number": number, "choices": choices}
        )
        trials.append(
            {
                "number": number,
                "state": "COMPLETE",
                "architecture": architecture,
                "error": 0.5 - 0.1 * number,
                "latency_ms": 1.0 + number,
                "cost": 1.0 + number,
                "duplicate_of": None,
            }
        )
    members = [{**trial, "trial": trial["number"]} for trial in trials]
    write_checked_json(run.front, {"schema_version": 2, "trials": trials, "members": members})
    return path


def _choices(channels: int, depth: int) -> dict:
    return {"channels": channels, "depth": depth, "kernel": 1, "activation": "silu", "behaviour": "good"}


def test_fronts_of_earlier_runs_are_taken_over_and_remembered(tmp_path: Path) -> None:
    other = _other_run(tmp_path / "other", [_choices(2, 1), _choices(4, 2), _choices(8, 3)])
    space = make_search_space(
        "tiny-space", NetworkContract(2, 8, (16,), dense_logits(3)), {"channels": [4, 8]}
    )
    run = RunDirectory(tmp_path / "new")
    run.make()
    found = first_candidates(run, space, [str(other)], 9)
    assert sorted((one["channels"], one["depth"]) for one in found) == [(4, 1), (4, 2), (8, 3)]
    assert first_candidates(run, space, [], 9) == found, "what was begun with is kept"
    with pytest.raises(StudyError, match=r"front\.json"):
        first_candidates(RunDirectory(tmp_path), space, [str(tmp_path / "nothing")], 9)


def test_a_sensor_of_another_width_takes_the_nearest_one() -> None:
    wide = make_search_space(
        "range-unet", NetworkContract(5, 64, (1024, 2048), dense_logits(19), cyclic_width=True)
    )
    narrow = make_search_space(
        "range-unet", NetworkContract(5, 32, (256, 512), dense_logits(4), cyclic_width=False)
    )
    choices = sample_choices(wide, np.random.default_rng(0))
    taken = adapted(choices, narrow)
    assert taken is not None
    assert taken["input_width"] == 512
    assert "cyclic_padding" not in taken
    assert narrow.decode(taken).input_shape == (5, 32, 512)
    assert adapted({"edge1": "none"}, narrow) is None
    limited = make_search_space(
        "range-unet", NetworkContract(5, 32, (256,), dense_logits(4)), {"decoder": ["concatenation"]}
    )
    assert adapted({**choices, "decoder": "elsewhere"}, limited) is None


def test_a_run_of_another_space_is_refused(tmp_path: Path) -> None:
    other = _other_run(tmp_path / "other", [_choices(2, 1)])
    space = make_search_space("range-unet", NetworkContract(5, 32, (256,), dense_logits(4)))
    with pytest.raises(ConfigError, match="None of the 1 networks"):
        first_candidates(RunDirectory(tmp_path), space, [str(other)], 9)


@pytest.mark.slow
def test_a_search_begins_with_what_was_found_elsewhere(write_run, tmp_path: Path) -> None:
    other = _other_run(tmp_path / "other", [_choices(8, 3)])
    path = write_run(search__warm_start=[str(other)])
    front = search(load_config(path), tmp_path / "out").front
    assert front["trials"][0]["architecture"]["genes"] == _choices(8, 3)
    assert len([trial for trial in front["trials"] if trial["state"] == "COMPLETE"]) >= 3
