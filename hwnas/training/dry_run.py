"""A task, its processor and its trainer on two samples, before anything is measured or trained.

What a plug-in does wrong is found here in seconds, with the method at fault, instead of after the first hour:
a loss that is not finite, a percentage where a share is due, outputs of another shape, a processor that makes
other inputs than the task.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sized
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import nn
from torch.utils.data import default_collate

from hwnas.architecture import Architecture
from hwnas.bundle.runtime.processor import GROUP as PROCESSORS
from hwnas.bundle.runtime.processor import Processor, ProcessorContext, make_processor, result_warnings
from hwnas.errors import PluginError, TrainingError
from hwnas.io_spec import IoSpec, NetworkContract, TensorSpec
from hwnas.plugins import Blame, Plugin, plugin_or_name, wrong
from hwnas.scratch import ScratchDirectory
from hwnas.search_spaces.base import SearchSpace
from hwnas.tasks.base import GROUP as TASKS
from hwnas.tasks.base import Arrays, LossSettings, MetricWords, Picture, Task
from hwnas.tasks.evaluation import checked_quality
from hwnas.tasks.optional_parts import expectations
from hwnas.tasks.trees import Tree, leaves, named, run
from hwnas.training.predict import torch_predict
from hwnas.training.recipe import Recipe
from hwnas.training.trainers import GROUP as TRAINERS
from hwnas.training.trainers import SUPERVISED, TrainerSpec, evaluate_network

SAMPLES = 2
_SPACES = "hwnas.search_spaces"
_PNG = b"\x89PNG\r\n"
_CLOSE = 1e-3
"""Relative difference of the inputs that task and processor may make of one sample: rounding, no more."""


def dry_run(task: Task, space: SearchSpace, trainer: TrainerSpec) -> None:
    """Do with two samples and one network what a run does, and check every answer.

    Args:
        task: to be checked, with its processor.
        space: gives the network: that of the first value of every gene.
        trainer: to be checked.

    Raises:
        PluginError: naming distribution and method at fault, what was expected and what was found.
        HwnasError: what the plug-ins raise on purpose, such as for data that cannot be used.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        architecture = space.decode({gene: values[0] for gene, values in space.choices.items()})
        checks = _Checks(task, space, architecture)
        checks.descriptions()
        module = checks.network()
        checks.training(module)
        outputs = checks.evaluation(module)
        checks.drawings(module)
        checks.processing(outputs)
        _check_trainer(task, space, architecture, module, trainer)


@dataclass
class _Checks:
    """The checks of one task with one network."""

    task: Task
    space: SearchSpace
    architecture: Architecture

    def descriptions(self) -> None:
        """Check what the task says of itself."""
        task = self.task
        words = self._value_of("words")
        if not isinstance(words, MetricWords) or not all(
            isinstance(word, str) and word for word in words.to_json().values()
        ):
            raise self._fault("words", "be MetricWords, each a text", f"is {words!r}")
        contract = self._value_of("contract")
        if not isinstance(contract, NetworkContract) or not contract.outputs:
            raise self._fault("contract", "be a NetworkContract with outputs", f"is {contract!r}")
        for name in ("settings", "class_names", "processor"):
            self._value_of(name)
        spec = self._called("io_spec", self.architecture)
        if not isinstance(spec, IoSpec):
            raise self._fault("io_spec", "return an IoSpec", f"returned {type(spec).__name__}")
        _, height, width = self.architecture.input_shape
        shapes = {output.name: (1, *output.shape(height, width)) for output in contract.outputs}
        found = {tensor.name: tensor.shape for tensor in spec.outputs}
        if found != shapes or list(found) != list(shapes):
            raise self._fault("io_spec", f"state the outputs of the contract, {shapes}", f"states {found}")
        for name in ("deployment", "fingerprint"):
            arguments = (self.architecture,) if name == "deployment" else ()
            self._plain(name, self._called(name, *arguments))
        if task.fingerprint() != task.fingerprint():
            raise self._fault("fingerprint", "be the same every time", "is not")

    def network(self) -> nn.Module:
        """Build the network, and check that it takes and returns what the contract says."""
        module = self.space.build(self.architecture).eval()
        spec = self.task.io_spec(self.architecture)
        plugin = plugin_or_name(_SPACES, self.space.name)
        with Blame(plugin, "build", own_errors=True), torch.no_grad():
            found = module(*(torch.zeros(tensor.shape) for tensor in spec.inputs))
            outputs = named(found, [tensor.name for tensor in spec.outputs])
        shapes = {name: tuple(tensor.shape) for name, tensor in outputs.items()}
        expected = {tensor.name: tensor.shape for tensor in spec.outputs}
        if shapes != expected:
            raise wrong(
                plugin, "build", f"give a network with the outputs {expected}", f"it returns {shapes}"
            )
        return module

    def training(self, module: nn.Module) -> None:
        """Check samples and loss."""
        dataset = self._called("train_dataset", self.architecture, augmentation=0.0, seed=0)
        with self._blame("train_dataset"):
            size = len(cast("Sized", dataset))
            samples = [dataset[index % size] for index in range(SAMPLES)] if size else []
        if not samples:
            raise self._fault("train_dataset", "hold samples", "has none")
        for sample in samples:
            self._check_sample(sample)
        with self._blame("train_dataset"):
            inputs, targets = default_collate(samples)
        loss_function = self._called("loss", self.architecture, LossSettings())
        with self._blame("loss"):
            loss = loss_function(run(module.train(), inputs), targets)
        module.eval()
        is_scalar = isinstance(loss, torch.Tensor) and loss.ndim == 0
        if not is_scalar or not bool(torch.isfinite(loss)) or not loss.requires_grad:
            found = f"{tuple(loss.shape)} {loss}" if isinstance(loss, torch.Tensor) else repr(loss)
            raise self._fault("loss", "give a finite scalar with a gradient", f"gives {found}")

    def evaluation(self, module: nn.Module) -> list[tuple[Arrays, Arrays]]:
        """Check inputs, decisions and quality; return inputs and outputs of some samples."""
        predict = torch_predict(module, self.task.io_spec(self.architecture))
        spec = {tensor.name: tensor for tensor in self.task.io_spec(self.architecture).inputs}
        pairs = []
        with self._blame("inputs"):
            given = list(islice(self.task.inputs(self.architecture, limit=SAMPLES), SAMPLES))
        if not given:
            raise self._fault("inputs", "yield samples of the split 'val'", "yields none")
        for arrays in given:
            self._check_arrays("inputs", arrays, spec)
            outputs = predict(arrays)
            first, second = (np.asarray(self._called("decisions", outputs)) for _ in range(2))
            if first.size == 0 or first.shape != second.shape or not np.array_equal(first, second):
                raise self._fault("decisions", "decide something, always the same", f"gave {first!r}")
            pairs.append((arrays, outputs))
        with self._blame("evaluate"):
            quality = self.task.evaluate(predict, self.architecture, limit=SAMPLES)
        try:
            checked_quality(quality, self.task.name)
        except TrainingError:
            return pairs  # none of these few samples has a label
        if quality.metric != self.task.words.metric:
            raise self._fault(
                "evaluate",
                f"call its metric {self.task.words.metric!r}, as `words` does",
                f"calls it {quality.metric!r}",
            )
        self._plain("evaluate", quality.to_json())
        return pairs

    def drawings(self, module: nn.Module) -> None:
        """Check pictures."""
        predict = torch_predict(module, self.task.io_spec(self.architecture))
        pictures = self._called("pictures", predict, self.architecture, limit=1)
        for picture in pictures:
            if not isinstance(picture, Picture) or not picture.png.startswith(_PNG):
                raise self._fault("pictures", "return Pictures with PNG", f"returned {picture!r:.100}")

    def processing(self, pairs: list[tuple[Arrays, Arrays]]) -> None:
        """Check the processor against the task, from raw input to a written result."""
        task, name = self.task, str(self.task.processor)
        context = ProcessorContext(
            task.deployment(self.architecture),
            task.io_spec(self.architecture),
            task.name,
            f"the task {task.name!r}",
            expectations(task, self.architecture),
        )
        processor = make_processor(name, context)
        with self._blame("raw_inputs"):
            raws = list(islice(task.raw_inputs(self.architecture, limit=SAMPLES), SAMPLES))
        if len(raws) != len(pairs):
            raise self._fault(
                "raw_inputs", f"yield as many samples as `inputs`, {len(pairs)}", f"yields {len(raws)}"
            )
        for raw, (arrays, outputs) in zip(raws, pairs, strict=True):
            _check_round(processor, name, raw, arrays, outputs)

    def _check_sample(self, sample: Tree) -> None:
        with self._blame("train_dataset"):
            inputs, targets = sample
            tensors, _ = leaves(inputs), leaves(targets)
        expected = [tensor.shape[1:] for tensor in self.task.io_spec(self.architecture).inputs]
        found = [(tuple(tensor.shape), str(tensor.dtype)) for tensor in tensors]
        if found != [(shape, "torch.float32") for shape in expected]:
            raise self._fault(
                "train_dataset", f"give inputs of the shapes {expected} in float32", f"gave {found}"
            )

    def _check_arrays(self, method: str, arrays: Arrays, spec: Mapping[str, TensorSpec]) -> None:
        problem = problem_of(arrays, spec)
        if problem:
            raise self._fault(method, *problem)

    def _value_of(self, name: str) -> Any:
        with self._blame(name):
            return getattr(self.task, name)

    def _called(self, name: str, *arguments: Any, **named_arguments: Any) -> Any:
        with self._blame(name):
            return getattr(self.task, name)(*arguments, **named_arguments)

    def _plain(self, name: str, value: Any) -> None:
        try:
            json.dumps(dict(value) if isinstance(value, Mapping) else value, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise self._fault(name, "return plain JSON values", f"{error}") from error

    @property
    def _plugin(self) -> Plugin | str:
        return plugin_or_name(TASKS, self.task.name)

    def _blame(self, method: str) -> Blame:
        return Blame(self._plugin, method, own_errors=True)

    def _fault(self, method: str, expected: str, found: str) -> PluginError:
        return wrong(self._plugin, method, expected, found)


def problem_of(arrays: Any, spec: Mapping[str, TensorSpec]) -> tuple[str, str] | None:
    """Return what inputs of a network must be and what they are; None if they are right."""
    expected = {name: tensor.shape for name, tensor in spec.items()}
    if not isinstance(arrays, Mapping):
        return f"give arrays by name, {expected}", f"gave {type(arrays).__name__}"
    found = {name: np.shape(array) for name, array in arrays.items()}
    if found != expected:
        return f"give arrays {expected} (name, shape)", f"gave {found}"
    for name, array in arrays.items():
        if np.asarray(array).dtype != np.float32 or not np.isfinite(array).all():
            return "give finite float32", f"{name!r} is {np.asarray(array).dtype} or not finite"
    return None


def _check_round(processor: Processor, name: str, raw: Any, arrays: Arrays, outputs: Arrays) -> None:
    """Take one raw input to a written result and a picture; its inputs must be those of the task."""
    plugin = plugin_or_name(PROCESSORS, name)

    def blame(method: str) -> Blame:
        return Blame(plugin, method, own_errors=True)

    def fault(method: str, expected: str, found: str) -> PluginError:
        return wrong(plugin, method, expected, found)

    with blame("input_suffixes"):
        _refuse_no_texts(plugin, "input_suffixes", processor.input_suffixes)
    with blame("check"):
        _refuse_no_texts(plugin, "check", processor.check(raw))
    with blame("before"):
        found, context = processor.before(raw)
    shapes = {key: TensorSpec(key, np.shape(array)) for key, array in arrays.items()}
    problem = problem_of(found, shapes)
    if problem:
        raise fault("before", *problem)
    for key, array in arrays.items():
        apart = float(np.abs(found[key] - array).max()) / max(float(np.abs(array).max()), 1e-9)
        if not apart <= _CLOSE:
            raise fault(
                "before",
                "make the inputs of the task's `inputs`",
                f"{key!r} differs by {apart:.2g} of its largest value",
            )
    with blame("after"):
        result = processor.after(outputs, context)
    with blame("warnings_of"):
        _refuse_no_texts(plugin, "warnings_of", result_warnings(processor, result))
    with ScratchDirectory("dry-run") as scratch:
        path = Path(scratch) / f"result{processor.result_suffix}"
        with blame("write"):
            facts = processor.write(result, path)
        if not path.is_file():
            raise fault("write", "write the file it is given", f"{path.name} is not there")
    try:
        json.dumps(dict(facts), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise fault("write", "return plain JSON values", f"{error}") from error
    with blame("picture"):
        png = processor.picture(raw, result, "dry run")
    if not isinstance(png, bytes) or not png.startswith(_PNG):
        raise fault("picture", "return a PNG", "does not")


def _refuse_no_texts(plugin: Plugin | str, method: str, found: object) -> None:
    """Refuse anything but a sequence of texts; a text alone would be read letter by letter.

    Raises:
        PluginError: naming the method.
    """
    if not isinstance(found, tuple | list) or not all(isinstance(text, str) for text in found):
        raise wrong(plugin, method, "be or return a tuple of texts", f"gave {found!r:.100}")


def _check_trainer(
    task: Task, space: SearchSpace, architecture: Architecture, module: nn.Module, spec: TrainerSpec
) -> None:
    """Train for one step and evaluate; the supervised trainer does nothing that was not checked before."""
    trainer = spec.make(task, space)
    if spec.name == SUPERVISED:
        return
    with ScratchDirectory("dry-run") as scratch:
        recipe = Recipe(steps=1, batch_size=SAMPLES)
        plugin = plugin_or_name(TRAINERS, spec.name)
        with Blame(plugin, "train", own_errors=True):
            module = trainer.train(architecture, recipe, seed=0, directory=Path(scratch))
    if not isinstance(module, nn.Module):
        raise wrong(plugin, "train", "return a module", f"returned {type(module).__name__}")
    evaluate_network(trainer, module, architecture, limit=SAMPLES)
