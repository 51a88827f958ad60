from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hwnas.bundle.runtime import arrays as arrays_module
from hwnas.errors import DataError, PluginError
from hwnas.io_spec import IoSpec, OutputSpec, TensorSpec
from hwnas.tasks.base import Picture, Quality
from hwnas.testing.tiny import CLASSES, HEIGHT, WIDTH, TinySamples, TinySpace, TinyTask
from hwnas.training.dry_run import dry_run
from hwnas.training.trainers import BY_DEFAULT


def test_a_sound_task_passes_and_every_method_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = set()

    def noting(name: str) -> Any:
        method = getattr(TinyTask, name)

        def noted(self: Any, *arguments: Any, **named: Any) -> Any:
            tried.add(name)
            return method(self, *arguments, **named)

        return noted

    wanted = {"train_dataset", "loss", "inputs", "evaluate", "decisions"}
    for name in wanted:
        monkeypatch.setattr(TinyTask, name, noting(name))
    dry_run(TinyTask(), TinySpace(), BY_DEFAULT)
    assert tried == wanted


class Unsized(TinySamples):
    def __getitem__(self, index: int) -> Any:
        image, target = super().__getitem__(index)
        return image[:, : 4 + index], target


class Doubles(TinySamples):
    def __getitem__(self, index: int) -> Any:
        image, target = super().__getitem__(index)
        return image.double(), target


def returning(value: Any) -> Callable[..., Any]:
    return lambda self, *_arguments, **_named: value


def raising(self: Any, *_arguments: Any, **_named: Any) -> Any:
    raise KeyError("nothing there")


def alternating() -> Callable[..., Any]:
    given: Iterator[int] = iter(range(1000))
    return lambda self, outputs: np.array([next(given)])


def narrower(self: Any, *_arguments: Any, **_named: Any) -> Any:
    yield {"image": np.zeros((1, 2, HEIGHT, WIDTH // 2), np.float32)}


def quality(**changes: Any) -> Quality:
    return replace(Quality("share", 0.5, {}, 2, 4, {}), **changes)


SPEC = TinyTask().io_spec(TinySpace().decode({"channels": 4}))
OTHER = IoSpec(SPEC.inputs, (TensorSpec("scores", (1, CLASSES, HEIGHT, WIDTH)),))


@pytest.mark.parametrize(
    ("method", "wrong", "reported"),
    [
        ("words", property(returning(None)), "`words` .*must be MetricWords"),
        ("contract", property(raising), "`contract` .*raised KeyError: 'nothing there'"),
        ("io_spec", returning(OTHER), r"`io_spec` .*outputs of the contract, .*logits.*states .*scores"),
        ("deployment", returning({"a": np.float32(1)}), "`deployment` .*plain JSON"),
        ("fingerprint", returning(object()), "`fingerprint` .*plain JSON"),
        ("train_dataset", returning([]), "`train_dataset` .*has none"),
        ("train_dataset", returning(Unsized(6, 0.0, 0)), r"`train_dataset` .*\(2, 8, 16\).*\(2, 4, 16\)"),
        ("train_dataset", returning(Doubles(6, 0.0, 0)), "`train_dataset` .*float32.*float64"),
        ("loss", returning(lambda logits, _: logits.sum() * float("nan")), "`loss` .*finite scalar.*nan"),
        ("loss", returning(lambda logits, _: logits), "`loss` .*finite scalar"),
        ("loss", returning(lambda *_: torch.tensor(1.0)), "`loss` .*gradient"),
        ("loss", returning(raising), "`loss` .*KeyError"),
        ("inputs", narrower, r"`inputs` .*\(1, 2, 8, 16\).*\(1, 2, 8, 8\)"),
        ("inputs", returning([]), "`inputs` .*yields none"),
        ("decisions", alternating(), "`decisions` .*always the same"),
        ("decisions", returning(np.empty(0)), "`decisions` .*decide something"),
        ("evaluate", returning(quality(value=42.5)), "`evaluate` .*0 .*to 1 .*42.5.*divide"),
        ("evaluate", returning(quality(value=float("nan"))), "`evaluate` .*nan"),
        ("evaluate", returning(quality(metric="mIoU")), "`evaluate` .*'share'.*'mIoU'"),
        ("evaluate", returning(0.5), "`evaluate` .*Quality.*float"),
        ("evaluate", raising, "`evaluate` .*raised KeyError"),
        ("pictures", returning([Picture("a", b"GIF89a")]), "`pictures` .*PNG"),
        ("raw_inputs", returning([]), "`raw_inputs` .*as many samples as `inputs`, 2, but yields 0"),
    ],
)
def test_the_method_at_fault_is_named(
    monkeypatch: pytest.MonkeyPatch, method: str, wrong: Any, reported: str
) -> None:
    monkeypatch.setattr(TinyTask, method, wrong)
    with pytest.raises(PluginError, match=f"{reported}|^{reported}"):
        dry_run(TinyTask(), TinySpace(), BY_DEFAULT)


def test_few_samples_without_labels_are_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    nothing = quality(value=float("nan"), num_items=0)
    monkeypatch.setattr(TinyTask, "evaluate", returning(nothing))
    dry_run(TinyTask(), TinySpace(), BY_DEFAULT)


def test_errors_that_are_meant_for_users_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Any, *_arguments: Any, **_named: Any) -> Any:
        raise DataError("The scan is broken.")

    monkeypatch.setattr(TinyTask, "train_dataset", refuse)
    with pytest.raises(DataError, match="broken"):
        dry_run(TinyTask(), TinySpace(), BY_DEFAULT)


def test_networks_must_return_what_the_contract_says(monkeypatch: pytest.MonkeyPatch) -> None:
    contract = replace(TinyTask.contract, outputs=(OutputSpec("logits", CLASSES, 2),))
    monkeypatch.setattr(TinyTask, "contract", contract)
    halved = IoSpec(SPEC.inputs, (TensorSpec("logits", (1, CLASSES, HEIGHT // 2, WIDTH // 2)),))
    monkeypatch.setattr(TinyTask, "io_spec", returning(halved))
    with pytest.raises(
        PluginError,
        match=r"Plug-in 'tiny' of hwnas.search_spaces.*: `build`.*\(1, 3, 4, 8\).*\(1, 3, 8, 16\)",
    ):
        dry_run(TinyTask(), TinySpace(), BY_DEFAULT)


@pytest.mark.parametrize(
    ("method", "wrong", "reported"),
    [
        ("input_suffixes", ".npz", "`input_suffixes` .*tuple of texts.*'.npz'"),
        ("check", raising, "`check` .*KeyError"),
        ("check", returning("odd"), "`check` .*tuple of texts.*'odd'"),
        ("check", returning(None), "`check` .*tuple of texts.*None"),
        ("warnings_of", raising, "`warnings_of` .*KeyError"),
        ("warnings_of", returning("odd"), "`warnings_of` .*tuple of texts.*'odd'"),
        ("before", lambda self, raw: ({"image": raw["image"] + 1}, None), "`before` .*differs by"),
        ("before", lambda self, raw: ({"x": raw["image"]}, None), "`before` .*'image'.*'x'"),
        ("after", raising, "`after` .*KeyError"),
        ("write", returning({}), "`write` .*must write the file"),
        ("picture", returning(b"nothing"), "`picture` .*PNG"),
    ],
)
def test_the_processor_is_taken_from_raw_input_to_a_result(
    monkeypatch: pytest.MonkeyPatch, method: str, wrong: Any, reported: str
) -> None:
    monkeypatch.setattr(arrays_module.ArraysProcessor, method, wrong, raising=False)
    with pytest.raises(PluginError, match=f"{reported}"):
        dry_run(TinyTask(), TinySpace(), BY_DEFAULT)


def test_nothing_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    state = torch.random.get_rng_state()
    dry_run(TinyTask(), TinySpace(), BY_DEFAULT)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert not list(tmp_path.iterdir())
