from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch

from hwnas.architecture import Architecture
from hwnas.errors import TrainingError
from hwnas.files import read_checked_json, write_checked_json
from hwnas.search_spaces.base import SearchSpace, make_search_space, sample_choices
from hwnas.testing.tiny import TinyTask
from hwnas.training.recipe import Recipe
from hwnas.training.relaxation import RelaxationSettings, relax
from hwnas.training.relaxed_choices import FILE, RelaxedChoices
from hwnas.training.shared_weights import SharedWeights
from hwnas.training.supernet import train_supernet

torch.set_num_threads(1)
RECIPE = Recipe(steps=20, batch_size=2, mixed_precision="no", average=0.0, learning_rate=0.02)
CHOICES = {
    "stem_width": [8, 16],
    "num_stages": [2],
    "decoder_width": [16, 24],
    "decoder": ["bilinear-sum", "pixel-shuffle"],
    **{f"stage{stage}_width": [16, 32] for stage in range(1, 6)},
    **{f"stage{stage}_depth": [1, 2, 3] for stage in range(1, 6)},
}
SETTINGS = RelaxationSettings(steps=12, weights=(0.0, 3.0), drawn=32, checkpoint_every=4, learning_rate=0.3)


def latencies(networks: Sequence[Architecture]) -> npt.NDArray[np.float64]:
    """Made up: channels times depth."""
    return np.array(
        [
            sum(
                float(network.genes[f"stage{stage}_width"]) * float(network.genes[f"stage{stage}_depth"])
                for stage in (1, 2)
            )
            for network in networks
        ]
    )


@pytest.fixture(scope="module")
def space() -> SearchSpace:
    return make_search_space("range-unet", TinyTask.contract, CHOICES)


@pytest.fixture(scope="module")
def shared(space: SearchSpace, tmp_path_factory: pytest.TempPathFactory) -> SharedWeights:
    return train_supernet(TinyTask(), space, RECIPE, seed=0, directory=tmp_path_factory.mktemp("net"))


def relaxed(space: SearchSpace, shared: SharedWeights, directory: Path, **changes: object) -> RelaxedChoices:
    arguments = {"seed": 0, "directory": directory, "provenance": {"table": "t"}, **changes}
    return relax(TinyTask(), space, shared, latencies, RECIPE, SETTINGS, **arguments)  # type: ignore[arg-type]


def expected_ms(found: RelaxedChoices, space: SearchSpace, turn: int) -> float:
    rng = np.random.default_rng(0)
    networks = []
    for _ in range(300):
        choices = {
            gene: values[int(rng.choice(len(values), p=found.probabilities[gene][turn]))]
            for gene, values in space.choices.items()
        }
        networks.append(space.decode(choices))
    return float(latencies(networks).mean())


def test_a_weight_on_the_latency_makes_fast_networks_likely(
    space: SearchSpace, shared: SharedWeights, tmp_path: Path
) -> None:
    before = {name: tensor.clone() for name, tensor in shared.state_dict().items()}
    found = relaxed(space, shared, tmp_path)
    assert expected_ms(found, space, 1) < 0.8 * expected_ms(found, space, 0)
    rng = np.random.default_rng(1)
    uniform = latencies([space.decode(sample_choices(space, rng)) for _ in range(300)]).mean()
    assert expected_ms(found, space, 1) < 0.8 * uniform
    # The task loss moves choices, too, where the latency has no say.
    assert max(abs(rows[0] - 1 / len(rows[0])).max() for rows in found.probabilities.values()) > 0.05
    assert all(torch.equal(tensor, before[name]) for name, tensor in shared.state_dict().items())
    again = RelaxedChoices.load(tmp_path, space.name, space.choices)
    assert all(np.allclose(rows, again.probabilities[gene]) for gene, rows in found.probabilities.items())


def test_an_interrupted_relaxation_goes_on_where_it_stopped(
    space: SearchSpace, shared: SharedWeights, tmp_path: Path
) -> None:
    class KilledError(Exception):
        pass

    def die(step: int, *_: object) -> None:
        if step == 7:
            raise KilledError

    whole = relaxed(space, shared, tmp_path / "a")
    with pytest.raises(KilledError):
        relaxed(space, shared, tmp_path / "b", progress=die)
    steps: list[int] = []
    resumed = relaxed(space, shared, tmp_path / "b", progress=lambda *s: steps.append(s[0]))
    assert steps[0] == 5
    for gene, rows in whole.probabilities.items():
        assert np.allclose(rows, resumed.probabilities[gene], atol=1e-5), gene
    with pytest.raises(TrainingError, match="holds a training"):
        relaxed(space, shared, tmp_path / "b", provenance={"table": "another"})


def test_networks_that_the_table_does_not_know_are_refused(
    space: SearchSpace, shared: SharedWeights, tmp_path: Path
) -> None:
    with pytest.raises(TrainingError, match="knows 0 of"):
        relax(
            TinyTask(),
            space,
            shared,
            lambda networks: np.full(len(networks), np.nan),
            RECIPE,
            SETTINGS,
            seed=0,
            directory=tmp_path,
            provenance={},
        )


def test_damaged_and_foreign_choices_are_refused(space: SearchSpace, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="hwnas relax"):
        RelaxedChoices.load(tmp_path, space.name, space.choices)
    uniform = {gene: np.full((1, len(values)), 1 / len(values)) for gene, values in space.choices.items()}
    plain = {gene: list(values) for gene, values in space.choices.items()}
    RelaxedChoices({"name": space.name, "choices": plain}, (0.1,), uniform, {}, "tiny").save(tmp_path)
    assert RelaxedChoices.load(tmp_path, space.name, space.choices).weights == (0.1,)
    with pytest.raises(TrainingError, match="another space"):
        RelaxedChoices.load(tmp_path, "other", space.choices)
    with pytest.raises(TrainingError, match=r"from other data.*relax again"):
        RelaxedChoices.load(tmp_path, space.name, space.choices, "other")
    content = read_checked_json(tmp_path / FILE)
    (tmp_path / FILE).write_text(json.dumps(content))
    with pytest.raises(TrainingError, match=r"relied on \(it has no checksum"):
        RelaxedChoices.load(tmp_path, space.name, space.choices)
    for gene, rows in (("stem_width", [[0.5, 0.6]]), ("stem_width", [[1.0]]), ("stem_width", [[1.5, -0.5]])):
        content["probabilities"][gene] = rows
        write_checked_json(tmp_path / FILE, content)
        with pytest.raises(TrainingError, match="rows of 2 probabilities"):
            RelaxedChoices.load(tmp_path, space.name, space.choices)
