from __future__ import annotations

import os

import pytest
import torch

from hwnas.errors import ConfigError
from hwnas.training.device import choose_device, visible_device


@pytest.mark.parametrize(
    ("index", "visible", "expected"),
    [
        (0, None, "0"),
        (3, None, "3"),
        (0, "4,5", "4"),
        (1, "4,5", "5"),
        (1, "GPU-1a2b, MIG-3c4d", "MIG-3c4d"),
    ],
)
def test_devices_are_counted_among_those_that_are_visible(
    index: int, visible: str | None, expected: str
) -> None:
    assert visible_device(index, visible) == expected


@pytest.mark.parametrize(("index", "visible"), [(2, "4,5"), (0, ""), (0, "-1"), (1, "4,-1,5"), (4, "4")])
def test_devices_that_are_not_visible_are_refused(index: int, visible: str) -> None:
    with pytest.raises(ConfigError, match=rf"cuda:{index}.*CUDA_VISIBLE_DEVICES"):
        visible_device(index, visible)


def test_a_refused_device_leaves_the_environment_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5")
    with pytest.raises(ConfigError, match="lets this process use 2"):
        choose_device("cuda:2")
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "4,5"


@pytest.mark.skipif(torch.cuda.is_available(), reason="it is about machines without a GPU")
def test_the_chosen_device_is_one_of_those_that_are_visible(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5")
    with pytest.raises(ConfigError, match="cannot be used here"):
        choose_device("cuda:1")
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "5"
