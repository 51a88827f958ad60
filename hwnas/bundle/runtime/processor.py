"""The contract of processors: raw input to network inputs, and outputs to results.

A bundle names its processor, so that `Runner` and `hwnas infer` need not know what a task is about. A
processor is numpy only and keeps to Python 3.8 syntax, since it runs on vehicles: it imports neither torch
nor optuna.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Callable, Mapping, Protocol, Tuple, Union, runtime_checkable

from hwnas.arrays import FloatArray
from hwnas.io_spec import IoSpec
from hwnas.json_values import JsonObject
from hwnas.plugins import made_by

Arrays = Mapping[str, FloatArray]
"""Arrays by the names of a network's inputs or outputs, each with a batch of 1 as its first axis."""

PathLike = Union[str, "os.PathLike[str]"]
GROUP = "hwnas.processors"
LIDAR_RANGE_VIEW = "lidar-range-view"

# Found without the metadata of an installed distribution, which boards may lack.
_OWN = {
    "arrays": ("hwnas.bundle.runtime.arrays", "make_arrays"),
    LIDAR_RANGE_VIEW: ("hwnas.bundle.runtime.lidar", "make_lidar_range_view"),
}


class Processor(Protocol):
    """Pre- and post-processing of one bundle. Several threads may use it at once."""

    @property
    def input_suffixes(self) -> Tuple[str, ...]:
        """Endings of the files that `read` takes, with their dot, in small letters."""
        ...

    @property
    def result_suffix(self) -> str:
        """Ending of the files that `write` makes, with its dot."""
        ...

    def read(self, path: PathLike) -> Any:
        """Return the raw input in a file.

        Raises:
            DataError: if the file is missing, of another format or malformed.
        """
        ...

    def check(self, raw: Any) -> Tuple[str, ...]:
        """Return what is unusual about a raw input; sentences.

        Raises:
            DataError: if the network would say something about it, but wrongly: another sensor, size, unit.
        """
        ...

    def before(self, raw: Any) -> Tuple[Arrays, Any]:
        """Return the inputs of the network, and what `after` needs to know of the raw input.

        Raises:
            DataError: if it cannot be made into inputs.
        """
        ...

    def after(self, outputs: Arrays, context: Any) -> Any:
        """Return the result that the outputs of the network mean."""
        ...

    def write(self, result: Any, path: PathLike) -> JsonObject:
        """Write a result, atomically, and return what is to be said of it, as plain JSON values."""
        ...

    def picture(self, raw: Any, result: Any, title: str) -> bytes:
        """Draw input and result for people, as PNG."""
        ...


@runtime_checkable
class SupportsResultWarnings(Protocol):
    """A processor that finds what is unusual about an input only on its way to the network, after `check`."""

    def warnings_of(self, result: Any) -> Tuple[str, ...]:
        """Return what is unusual about the input of a result and was no warning yet; sentences."""
        ...


@dataclass(frozen=True)
class ProcessorContext:
    """What processors are made of.

    Attributes:
        deployment: what the task says about pre- and post-processing, see `Task.deployment`.
        io_spec: inputs and outputs of the network.
        task: its name, for messages.
        where: what holds all this, for messages, such as the directory of a bundle.
        expects: what the task says about raw inputs, see `SupportsInputExpectations`; may be empty.
        is_checked: whether raw inputs that contradict `expects` are refused.
    """

    deployment: Mapping[str, Any]
    io_spec: IoSpec
    task: str
    where: str
    expects: Any = field(default_factory=dict)
    is_checked: bool = True


ProcessorFactory = Callable[[ProcessorContext], Processor]
"""What plug-ins register in `hwnas.processors`."""


def make_processor(name: str, context: ProcessorContext) -> Processor:
    """Return the registered processor `name`.

    Raises:
        PluginError: if the name is unknown, or what is registered makes no processor.
        BundleError: if the deployment does not say what the processor must know.
    """
    if name in _OWN:
        module, function = _OWN[name]
        factory: ProcessorFactory = getattr(import_module(module), function)
        return factory(context)
    made: Processor = made_by(
        GROUP, name, context, expected="make a processor of a context", interface=Processor
    )
    return made


def result_warnings(processor: Processor, result: Any) -> Tuple[str, ...]:
    """Return what a processor has found unusual on the way from a raw input to its result; sentences."""
    return processor.warnings_of(result) if isinstance(processor, SupportsResultWarnings) else ()
