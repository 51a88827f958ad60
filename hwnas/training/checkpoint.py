"""Checkpoints: safetensors for tensors, JSON for the rest, valid at whatever moment the power goes.

A training writes `step-<n>.safetensors` first and then `state.json`, which names it; replacing
`state.json` is what commits the checkpoint. The older file goes only after that.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from hwnas.errors import TrainingError
from hwnas.files import read_checked_json, write_bytes_atomically, write_checked_json

SCHEMA_VERSION = 1
STATE_FILE = "state.json"
WEIGHTS_FILE = "weights.safetensors"
_CHECKSUM = "sha256"


def save_weights(path: Path, module: nn.Module) -> None:
    """Write all parameters and buffers of a module as safetensors, atomically."""
    write_tensors(path, module.state_dict())


def load_weights(path: Path, module: nn.Module) -> None:
    """Read weights into a module that has exactly these parameters and buffers.

    Raises:
        TrainingError: if the file is missing or damaged, or does not fit the module.
    """
    tensors = read_tensors(path)
    wanted = module.state_dict()
    missing, unknown = sorted(set(wanted) - set(tensors)), sorted(set(tensors) - set(wanted))
    shapes = [name for name in wanted if name in tensors and tensors[name].shape != wanted[name].shape]
    if missing or unknown or shapes:
        raise TrainingError(
            f"The weights in {path} are not of this network: missing {missing[:3]}, unknown {unknown[:3]}, "
            f"of another shape {shapes[:3]}. Use the architecture that they were trained for."
        )
    module.load_state_dict(tensors)


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write named tensors as safetensors, atomically, with a checksum in their metadata."""
    # Tensors in channels-last order, or on a GPU, are brought to the one order that files have.
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_bytes_atomically(path, safetensors.torch.save(plain, {_CHECKSUM: _checksum(plain)}))


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file by name.

    Raises:
        TrainingError: if the file is missing, or not as `write_tensors` wrote it.
    """
    try:
        content = path.read_bytes()
        tensors = safetensors.torch.load(content)
        metadata = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")]).get("__metadata__", {})
    except (OSError, SafetensorError, ValueError) as error:
        raise TrainingError(f"The weights {path} cannot be read: {error}. Train again.") from error
    if metadata.get(_CHECKSUM) != _checksum(tensors):
        raise TrainingError(
            f"The weights {path} are damaged, or another program or version of hwnas wrote them: they do not "
            "have the checksum of their content. Restore the file from a copy, or train again."
        )
    return tensors


def _checksum(tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


@dataclass(frozen=True)
class Identity:
    """What a checkpoint belongs to; training goes on only where all of it is the same.

    Attributes:
        architecture: id of the architecture.
        recipe: id of the recipe.
        seed: of weights, order and augmentation.
        data: fingerprint of the task.
    """

    architecture: str
    recipe: str
    seed: int
    data: str

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return dict(vars(self))


@dataclass(frozen=True)
class Checkpoint:
    """A training that can go on.

    Attributes:
        step: steps done.
        finished: whether that is all; `tensors` is then empty and the weights are in `WEIGHTS_FILE`.
        tensors: weights, their moving average, and state of the optimiser.
        scalars: state of schedule and optimiser, plain JSON values.
    """

    step: int
    finished: bool
    tensors: Mapping[str, Tensor]
    scalars: Mapping[str, Any]


def save_checkpoint(directory: Path, identity: Identity, checkpoint: Checkpoint) -> None:
    """Write a checkpoint of a training that goes on, and remove the one before."""
    name = f"step-{checkpoint.step:08d}.safetensors"
    write_tensors(directory / name, checkpoint.tensors)
    _commit(directory, identity, checkpoint, name)


def save_result(
    directory: Path,
    identity: Identity,
    step: int,
    module: nn.Module,
    scalars: Mapping[str, Any] | None = None,
) -> None:
    """Write the weights of a finished training with what is to be kept of it, and remove its checkpoints."""
    save_weights(directory / WEIGHTS_FILE, module)
    _commit(
        directory, identity, Checkpoint(step, finished=True, tensors={}, scalars=scalars or {}), WEIGHTS_FILE
    )


def load_checkpoint(directory: Path, identity: Identity) -> Checkpoint | None:
    """Return the checkpoint in a directory, or None where there is none.

    Raises:
        TrainingError: if it belongs to something else, or is damaged.
    """
    path = directory / STATE_FILE
    if not path.is_file():
        return None
    try:
        state = read_checked_json(path)
        found, name = state["identity"], state["file"]
        step, finished, scalars = int(state["step"]), bool(state["finished"]), state["scalars"]
    except (ValueError, KeyError, TypeError) as error:
        raise TrainingError(f"{path} is not a training state: {error!r}. Remove {directory}.") from error
    if found != identity.to_json():
        differing = [key for key, value in identity.to_json().items() if found.get(key) != value]
        raise TrainingError(
            f"{directory} holds a training with another {' and '.join(differing)} "
            f"(found {found}, expected {identity.to_json()}). Train without resuming, or elsewhere."
        )
    tensors = {} if finished else read_tensors(directory / name)
    return Checkpoint(step, finished, tensors, scalars)


def prefixed(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors with a prefix before their names."""
    return {prefix + name: tensor for name, tensor in tensors.items()}


def unprefixed(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors whose names have a prefix, without it."""
    return {name[len(prefix) :]: tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _commit(directory: Path, identity: Identity, checkpoint: Checkpoint, name: str) -> None:
    state = {
        "schema_version": SCHEMA_VERSION,
        "identity": identity.to_json(),
        "step": checkpoint.step,
        "finished": checkpoint.finished,
        "file": name,
        "scalars": dict(checkpoint.scalars),
    }
    write_checked_json(directory / STATE_FILE, state)
    # Hidden ones are what a killed process left half written.
    for pattern in ("step-*.safetensors", ".step-*.safetensors.*"):
        for old in directory.glob(pattern):
            if old.name != name:
                with contextlib.suppress(FileNotFoundError):
                    old.unlink()
