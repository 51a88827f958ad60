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
from hwnas.bundle.runtime.processor import Processor, ProcessorContext, make_processor
from hwnas.errors import PluginError, TrainingError
from hwnas.io_spec import IoSpec, NetworkContract, TensorSpec
from hwnas.plugins import Blaming, fault_of
from hwnas.scratch import ScratchDirectory
from hwnas.search_spaces.base import SearchSpace
from hwnas.tasks.base import Arrays, LossSettings, MetricWords, Picture, Task
from hwnas.tasks.evaluation import GROUP as TASKS
from hwnas.tasks.evaluation import checked_quality
from hwnas.tasks.expectations import expectations
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
            raise self._fault("words", f"must be MetricWords, each a text, but is {words!r}.")
        contract = self._value_of("contract")
        if not isinstance(contract, NetworkContract) or not contract.outputs:
            raise self._fault("contract", f"must be a NetworkContract with outputs, but is {contract!r}.")
        for name in ("settings", "class_names", "processor"):
            self._value_of(name)
        spec = self._called("io_spec", self.architecture)
        if not isinstance(spec, IoSpec):
            raise self._fault("io_spec", f"must return an IoSpec, but returned {type(spec).__name__}.")
        _, height, width = self.architecture.input_shape
        shapes = {output.name: (1, *output.shape(height, width)) for output in contract.outputs}
        found = {tensor.name: tensor.shape for tensor in spec.outputs}
        if found != shapes or list(found) != list(shapes):
            raise self._fault(
                "io_spec", f"must state the outputs of the contract, {shapes}, but states {found}."
            )
        for name in ("deployment", "fingerprint"):
            arguments = (self.architecture,) if name == "deployment" else ()
            self._plain(name, self._called(name, *arguments))
        if task.fingerprint() != task.fingerprint():
            raise self._fault("fingerprint", "must be the same every time, but is not.")

    def network(self) -> nn.Module:
        """Build the network, and check that it takes and returns what the contract says."""
        module = self.space.build(self.architecture).eval()
        spec = self.task.io_spec(self.architecture)
        blaming = Blaming(_SPACES, self.space.name, "build")
        with blaming, torch.no_grad():
            found = module(*(torch.zeros(tensor.shape) for tensor in spec.inputs))
            outputs = named(found, [tensor.name for tensor in spec.outputs])
        shapes = {name: tuple(tensor.shape) for name, tensor in outputs.items()}
        expected = {tensor.name: tensor.shape for tensor in spec.outputs}
        if shapes != expected:
            raise fault_of(
                _SPACES,
                self.space.name,
                "build",
                f"must give a network with the outputs {expected}, but it returns {shapes}.",
            )
        return module

    def training(self, module: nn.Module) -> None:
        """Check samples and loss."""
        dataset = self._called("train_dataset", self.architecture, augmentation=0.0, seed=0)
        with Blaming(TASKS, self.task.name, "train_dataset"):
            size = len(cast("Sized", dataset))
            samples = [dataset[index % size] for index in range(SAMPLES)] if size else []
        if not samples:
            raise self._fault("train_dataset", "must hold samples, but has none.")
        for sample in samples:
            self._check_sample(sample)
        with Blaming(TASKS, self.task.name, "train_dataset"):
            inputs, targets = default_collate(samples)
        loss_function = self._called("loss", self.architecture, LossSettings())
        with Blaming(TASKS, self.task.name, "loss"):
            loss = loss_function(run(module.train(), inputs), targets)
        module.eval()
        is_scalar = isinstance(loss, torch.Tensor) and loss.ndim == 0
        if not is_scalar or not bool(torch.isfinite(loss)) or not loss.requires_grad:
            found = f"{tuple(loss.shape)} {loss}" if isinstance(loss, torch.Tensor) else repr(loss)
            raise self._fault("loss", f"must give a finite scalar with a gradient, but gives {found}.")

    def evaluation(self, module: nn.Module) -> list[tuple[Arrays, Arrays]]:
        """Check inputs, decisions and quality; return inputs and outputs of some samples."""
        predict = torch_predict(module, self.task.io_spec(self.architecture))
        spec = {tensor.name: tensor for tensor in self.task.io_spec(self.architecture).inputs}
        pairs = []
        with Blaming(TASKS, self.task.name, "inputs"):
            given = list(islice(self.task.inputs(self.architecture, limit=SAMPLES), SAMPLES))
        if not given:
            raise self._fault("inputs", "must yield samples of the split 'val', but yields none.")
        for arrays in given:
            self._check_arrays("inputs", arrays, spec)
            outputs = predict(arrays)
            first, second = (np.asarray(self._called("decisions", outputs)) for _ in range(2))
            if first.size == 0 or first.shape != second.shape or not np.array_equal(first, second):
                raise self._fault("decisions", f"must decide something, always the same, but gave {first!r}.")
            pairs.append((arrays, outputs))
        with Blaming(TASKS, self.task.name, "evaluate"):
            quality = self.task.evaluate(predict, self.architecture, limit=SAMPLES)
        try:
            checked_quality(quality, self.task.name)
        except TrainingError:
            return pairs  # none of these few samples has a label
        if quality.metric != self.task.words.metric:
            raise self._fault(
                "evaluate",
                f"must call its metric {self.task.words.metric!r}, as `words` does, but calls it "
                f"{quality.metric!r}.",
            )
        self._plain("evaluate", quality.to_json())
        return pairs

    def drawings(self, module: nn.Module) -> None:
        """Check pictures."""
        predict = torch_predict(module, self.task.io_spec(self.architecture))
        pictures = self._called("pictures", predict, self.architecture, limit=1)
        for picture in pictures:
            if not isinstance(picture, Picture) or not picture.png.startswith(_PNG):
                raise self._fault(
                    "pictures", f"must return Pictures with PNG, but returned {picture!r:.100}."
                )

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
        with Blaming(TASKS, task.name, "raw_inputs"):
            raws = list(islice(task.raw_inputs(self.architecture, limit=SAMPLES), SAMPLES))
        if len(raws) != len(pairs):
            raise self._fault(
                "raw_inputs", f"must yield as many samples as `inputs`, {len(pairs)}, but yields {len(raws)}."
            )
        for raw, (arrays, outputs) in zip(raws, pairs, strict=True):
            _check_round(processor, name, raw, arrays, outputs)

    def _check_sample(self, sample: Tree) -> None:
        with Blaming(TASKS, self.task.name, "train_dataset"):
            inputs, targets = sample
            tensors, _ = leaves(inputs), leaves(targets)
        expected = [tensor.shape[1:] for tensor in self.task.io_spec(self.architecture).inputs]
        found = [(tuple(tensor.shape), str(tensor.dtype)) for tensor in tensors]
        if found != [(shape, "torch.float32") for shape in expected]:
            raise self._fault(
                "train_dataset",
                f"must give inputs of the shapes {expected} in float32, but gave {found}.",
            )

    def _check_arrays(self, method: str, arrays: Arrays, spec: Mapping[str, TensorSpec]) -> None:
        problem = problem_of(arrays, spec)
        if problem:
            raise self._fault(method, problem)

    def _value_of(self, name: str) -> Any:
        with Blaming(TASKS, self.task.name, name):
            return getattr(self.task, name)

    def _called(self, name: str, *arguments: Any, **named_arguments: Any) -> Any:
        with Blaming(TASKS, self.task.name, name):
            return getattr(self.task, name)(*arguments, **named_arguments)

    def _plain(self, name: str, value: Any) -> None:
        try:
            json.dumps(dict(value) if isinstance(value, Mapping) else value, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise self._fault(name, f"must return plain JSON values, but: {error}.") from error

    def _fault(self, method: str, problem: str) -> PluginError:
        return fault_of(TASKS, self.task.name, method, problem)


def problem_of(arrays: Any, spec: Mapping[str, TensorSpec]) -> str:
    """Return what is wrong with the inputs of a network, the end of a sentence; empty if nothing is."""
    expected = {name: tensor.shape for name, tensor in spec.items()}
    if not isinstance(arrays, Mapping):
        return f"must give arrays by name, {expected}, but gave {type(arrays).__name__}."
    found = {name: np.shape(array) for name, array in arrays.items()}
    if found != expected:
        return f"must give arrays {expected} (name, shape), but gave {found}."
    for name, array in arrays.items():
        if np.asarray(array).dtype != np.float32 or not np.isfinite(array).all():
            return f"must give finite float32, but {name!r} is {np.asarray(array).dtype} or not finite."
    return ""


def _check_round(processor: Processor, name: str, raw: Any, arrays: Arrays, outputs: Arrays) -> None:
    """Take one raw input to a written result and a picture; its inputs must be those of the task."""

    def fault(method: str, problem: str) -> PluginError:
        return fault_of(PROCESSORS, name, method, problem)

    with Blaming(PROCESSORS, name, "check"):
        processor.check(raw)
    with Blaming(PROCESSORS, name, "before"):
        found, context = processor.before(raw)
    shapes = {key: TensorSpec(key, np.shape(array)) for key, array in arrays.items()}
    problem = problem_of(found, shapes)
    if problem:
        raise fault("before", problem)
    for key, array in arrays.items():
        apart = float(np.abs(found[key] - array).max()) / max(float(np.abs(array).max()), 1e-9)
        if not apart <= _CLOSE:
            raise fault(
                "before",
                f"must make the inputs of the task's `inputs`, but {key!r} differs by {apart:.2g} of its "
                "largest value.",
            )
    with Blaming(PROCESSORS, name, "after"):
        result = processor.after(outputs, context)
    with ScratchDirectory("dry-run") as scratch:
        path = Path(scratch) / f"result{processor.result_suffix}"
        with Blaming(PROCESSORS, name, "write"):
            facts = processor.write(result, path)
        if not path.is_file():
            raise fault("write", f"must write the file it is given, but {path.name} is not there.")
    try:
        json.dumps(dict(facts), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise fault("write", f"must return plain JSON values, but: {error}.") from error
    with Blaming(PROCESSORS, name, "picture"):
        png = processor.picture(raw, result, "dry run")
    if not isinstance(png, bytes) or not png.startswith(_PNG):
        raise fault("picture", "must return a PNG, but does not.")


def _check_trainer(
    task: Task, space: SearchSpace, architecture: Architecture, module: nn.Module, spec: TrainerSpec
) -> None:
    """Train for one step and evaluate; the supervised trainer does nothing that was not checked before."""
    trainer = spec.make(task, space)
    if spec.name == SUPERVISED:
        return
    with ScratchDirectory("dry-run") as scratch:
        recipe = Recipe(steps=1, batch_size=SAMPLES)
        with Blaming(TRAINERS, spec.name, "train"):
            module = trainer.train(architecture, recipe, seed=0, directory=Path(scratch))
    if not isinstance(module, nn.Module):
        raise fault_of(TRAINERS, spec.name, "train", f"must return a module, but gave {type(module)}.")
    evaluate_network(trainer, module, architecture, limit=SAMPLES)
