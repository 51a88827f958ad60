from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import nn

from hwnas.errors import TrainingError
from hwnas.training.checkpoint import (
    Checkpoint,
    Identity,
    load_checkpoint,
    load_weights,
    read_tensors,
    save_checkpoint,
    save_result,
    save_weights,
    write_tensors,
)

IDENTITY = Identity("architecture", "recipe", 0, "data")


def _checkpoint(step: int) -> Checkpoint:
    return Checkpoint(step, finished=False, tensors={"a": torch.full((2,), float(step))}, scalars={"lr": 0.1})


def test_weights_come_back_exactly(tmp_path: Path) -> None:
    module, other = nn.BatchNorm2d(3), nn.BatchNorm2d(3)
    with torch.no_grad():
        module.weight.normal_()
    save_weights(tmp_path / "w.safetensors", module)
    load_weights(tmp_path / "w.safetensors", other)
    assert all(
        torch.equal(a, b)
        for a, b in zip(module.state_dict().values(), other.state_dict().values(), strict=True)
    )


@pytest.mark.parametrize("other", [nn.Linear(3, 2), nn.Linear(2, 2, bias=False), nn.Conv2d(2, 2, 1)])
def test_weights_of_another_network_are_refused(tmp_path: Path, other: nn.Module) -> None:
    save_weights(tmp_path / "w.safetensors", nn.Linear(2, 2))
    with pytest.raises(TrainingError, match="not of this network"):
        load_weights(tmp_path / "w.safetensors", other)


@pytest.mark.parametrize("content", [None, b"", b"\x80\x04pickle", b"\xff" * 100])
def test_damaged_weights_are_refused(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "w.safetensors").write_bytes(content)
    with pytest.raises(TrainingError, match="cannot be read"):
        load_weights(tmp_path / "w.safetensors", nn.Linear(2, 2))


def test_the_newer_checkpoint_replaces_the_older(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, IDENTITY, _checkpoint(1))
    (tmp_path / ".step-00000001.safetensors.left").write_bytes(b"half written")
    save_checkpoint(tmp_path, IDENTITY, _checkpoint(2))
    found = load_checkpoint(tmp_path, IDENTITY)
    assert found is not None
    assert found.step == 2
    assert found.tensors["a"].tolist() == [2.0, 2.0]
    assert found.scalars == {"lr": 0.1}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["state.json", "step-00000002.safetensors"]


def test_tensors_without_their_state_are_not_a_checkpoint(tmp_path: Path) -> None:
    """What a process killed between the two files leaves: the older checkpoint counts."""
    save_checkpoint(tmp_path, IDENTITY, _checkpoint(1))
    state = (tmp_path / "state.json").read_bytes()
    older = (tmp_path / "step-00000001.safetensors").read_bytes()
    save_checkpoint(tmp_path, IDENTITY, _checkpoint(2))
    (tmp_path / "state.json").write_bytes(state)
    (tmp_path / "step-00000001.safetensors").write_bytes(older)
    found = load_checkpoint(tmp_path, IDENTITY)
    assert found is not None
    assert found.step == 1


def test_a_result_removes_the_checkpoints(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, IDENTITY, _checkpoint(1))
    save_result(tmp_path, IDENTITY, 2, nn.Linear(2, 2))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["state.json", "weights.safetensors"]
    found = load_checkpoint(tmp_path, IDENTITY)
    assert found is not None
    assert found.finished


@pytest.mark.parametrize("field", ["architecture", "recipe", "seed", "data"])
def test_the_checkpoint_of_something_else_is_refused(tmp_path: Path, field: str) -> None:
    save_checkpoint(tmp_path, IDENTITY, _checkpoint(1))
    other = Identity(**{**IDENTITY.to_json(), field: 7 if field == "seed" else "other"})
    with pytest.raises(TrainingError, match=f"another {field}"):
        load_checkpoint(tmp_path, other)


@pytest.mark.parametrize("content", ["", "{}", "[1]", json.dumps({"identity": {}, "step": "x"})])
def test_a_damaged_state_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "state.json").write_text(content)
    with pytest.raises(TrainingError, match="not a training state"):
        load_checkpoint(tmp_path, IDENTITY)


def test_any_changed_byte_of_weights_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    tensors = {
        "a": torch.arange(6.0).reshape(2, 3).to(torch.bfloat16),
        "n": torch.tensor(5),
        "e": torch.zeros(0, 3),
    }
    write_tensors(path, tensors)
    whole = path.read_bytes()
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with contextlib.suppress(TrainingError):
            found = read_tensors(path)
            assert found.keys() == tensors.keys(), place
            assert all(torch.equal(found[name], tensors[name]) for name in tensors), place
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(TrainingError, match="do not have the checksum of their content"):
        read_tensors(path)


def test_weights_without_a_checksum_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    safetensors.torch.save_file({"weight": torch.zeros(2, 2), "bias": torch.zeros(2)}, path)
    with pytest.raises(TrainingError, match="another program or version"):
        load_weights(path, nn.Linear(2, 2))
