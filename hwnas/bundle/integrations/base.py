"""What integration files are made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from string import Template
from typing import Any

import numpy as np

from hwnas.files import write_bytes_atomically
from hwnas.io_spec import IoSpec, TensorSpec

_INSTALLED = Path(__file__).parent / "templates"
_IN_REPOSITORY = Path(__file__).parents[3] / "export"


@dataclass(frozen=True)
class Deployed:
    """A network of a bundle as other programs will load it.

    Attributes:
        bundle: directory of the bundle.
        architecture_id: of the network.
        precision: of the file.
        file: name of the ONNX file in the bundle.
        io_spec: its inputs and outputs.
        engine: name of its TensorRT engine in the bundle; None where there is none.
        tensorrt: precision and ONNX file that TensorRT is to build from, where it is another one.
        stated: what the manifest says so far.
    """

    bundle: Path
    architecture_id: str
    precision: str
    file: str
    io_spec: IoSpec
    engine: str | None = None
    tensorrt: tuple[str, str] | None = None
    stated: Mapping[str, Any] = field(default_factory=dict)

    @property
    def built_from(self) -> tuple[str, str]:
        """Precision and ONNX file that TensorRT builds from."""
        return self.tensorrt or (self.precision, self.file)

    @property
    def name(self) -> str:
        """Name of the model; the architecture's id keeps caches of other networks from being taken for it."""
        return f"hwnas_{self.architecture_id}_{self.precision}"


Writer = Callable[[Deployed], Mapping[str, Any]]
"""Writes files into the bundle and returns what the manifest says about them."""


def template(name: str) -> Template:
    """Return a template of `export/`, such as `triton/config.pbtxt`."""
    directory = _INSTALLED if _INSTALLED.is_dir() else _IN_REPOSITORY
    return Template((directory / name).read_text(encoding="utf-8"))


def write_text(path: Path, text: str) -> None:
    """Write a text file and the directories above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes_atomically(path, text.encode("utf-8"))


def size_bytes(tensor: TensorSpec) -> int:
    """Return what a tensor takes in memory."""
    return prod(tensor.shape) * np.dtype(tensor.dtype).itemsize


def markdown_rows(io_spec: IoSpec) -> str:
    """Return a table row for each tensor: name, shape, type."""
    tensors = (*io_spec.inputs, *io_spec.outputs)
    return "\n".join(f"| `{tensor.name}` | {list(tensor.shape)} | {tensor.dtype} |" for tensor in tensors)
