from __future__ import annotations

import json

import pytest

from hwnas.errors import ConfigError
from hwnas.training.recipe import Recipe


@pytest.mark.parametrize("recipe", [Recipe(), Recipe.proxy(), Recipe.full()])
def test_survives_json(recipe: Recipe) -> None:
    assert Recipe.from_json(json.loads(json.dumps(recipe.to_json()))) == recipe


def test_proxy_is_shorter_than_full() -> None:
    assert Recipe.proxy().steps < Recipe.full().steps / 3


def test_unknown_setting_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="learning_rate"):
        Recipe.from_json({"learnig_rate": 1e-3})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("steps", 0),
        ("steps", 2.5),
        ("pretraining_steps", -1),
        ("pretraining_share", 1.5),
        ("pretraining_steps", 1800),
        ("batch_size", True),
        ("learning_rate", 0.0),
        ("learning_rate", float("nan")),
        ("weight_decay", -1.0),
        ("augmentation", 1.5),
        ("average", 1.0),
        ("optimizer", "adam"),
        ("mixed_precision", "int8"),
        ("workers", -1),
        ("gradient_clip", "1"),
    ],
)
def test_wrong_value_is_named(name: str, value: object) -> None:
    with pytest.raises(ConfigError, match=name):
        Recipe.from_json({name: value})


def test_a_loss_without_parts_is_refused() -> None:
    with pytest.raises(ConfigError, match="lovasz"):
        Recipe(cross_entropy=0.0, lovasz=0.0)


def test_id_tells_what_shapes_the_result() -> None:
    assert Recipe().id == Recipe(workers=4, checkpoint_every=7).id
    assert Recipe().id != Recipe(learning_rate=1e-4).id
