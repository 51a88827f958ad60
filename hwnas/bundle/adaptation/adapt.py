"""Adapts a network to other data: compares methods on parts of few samples, and writes one."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence, Sized
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import default_collate

from hwnas.architecture import Architecture
from hwnas.bundle.adaptation.pace import Pace
from hwnas.bundle.adaptation.result import (
    AUTO,
    FINE_TUNE,
    HEAD,
    META_METHODS,
    METHODS,
    NONE,
    Adaptation,
    AdaptationStart,
    AdaptationStatus,
    MethodResult,
    silent,
    stated,
)
from hwnas.bundle.adaptation.source import AdaptationSource
from hwnas.bundle.adaptation.weights import transferred
from hwnas.bundle.adaptation.workspace import held_workspace, read_kept
from hwnas.bundle.directory import refuse_existing
from hwnas.bundle.export import export_bundle
from hwnas.bundle.manifest import MANIFEST_NAME
from hwnas.bundle.purpose import ExportOptions
from hwnas.bundle.trained_member import TrainedMember
from hwnas.errors import ConfigError, did_you_mean
from hwnas.files import sha256_of_file, write_checked_json
from hwnas.latency.measure.meter import open_meter
from hwnas.progress import Listener
from hwnas.search_spaces.base import SearchSpace
from hwnas.tasks.base import Arrays, Predict
from hwnas.tasks.few_shot import EvaluatedQuality, FewShotTask
from hwnas.tasks.trees import Tree, mapped
from hwnas.training.batch_norms import re_estimate_batch_norms
from hwnas.training.checkpoint import load_weights, read_tensors, save_weights
from hwnas.training.heads import head_parameters
from hwnas.training.meta.adaptation import DivergedError, adapt_by_gradient_steps
from hwnas.training.meta.gradients import ANIL, InnerLoop
from hwnas.training.meta.initialisation import Initialisation
from hwnas.training.predict import torch_predict
from hwnas.training.recipe import Recipe
from hwnas.training.trainer import train

_TRAINING = (HEAD, FINE_TUNE)
_RESULT, _WEIGHTS = "result.json", "adapted.safetensors"


@dataclass(frozen=True)
class AdaptationSettings:
    """How a network is adapted.

    Attributes:
        samples: labelled samples of the training split to adapt to, at least 1.
        method: one of `METHODS`, or with a start one of `META_METHODS`, or `auto`: what cross-validation
            inside the samples finds best.
        steps: training steps of `head` and `fine-tune`, at least 1.
        learning_rate: their peak, above 0.
        folds: parts of the samples that cross-validation holds out in turn, at least 2.
        seed: of the choice of samples and of everything else that is random.
        start: directory of meta-learned weights that `META_METHODS` begin with; None for none.
        inner_steps: steps of gradient descent of these; None for as many as in the meta-training.
    """

    samples: int
    method: str = AUTO
    steps: int = 150
    learning_rate: float = 1e-3
    folds: int = 2
    seed: int = 0
    start: Path | None = None
    inner_steps: int | None = None

    def __post_init__(self) -> None:
        """Check every setting.

        Raises:
            ConfigError: naming the setting, what it may be and what it is.
        """
        known = (AUTO, *METHODS, *META_METHODS)
        if self.method not in known:
            raise ConfigError(
                f"`method` is one of {list(known)}, but got {self.method!r}."
                f"{did_you_mean(str(self.method), known)}"
            )
        for name, least in (("samples", 1), ("steps", 1), ("folds", 2), ("inner_steps", 1)):
            value = getattr(self, name)
            if name == "inner_steps" and value is None:
                continue
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise ConfigError(f"`{name}` must be a whole number of at least {least}, but got {value!r}.")
        if not (isinstance(self.learning_rate, int | float) and 0 < self.learning_rate < float("inf")):
            raise ConfigError(f"`learning_rate` must be above 0, but got {self.learning_rate!r}.")
        if self.start is None and (self.method in META_METHODS or self.inner_steps is not None):
            what = "inner_steps" if self.method not in META_METHODS else f"method={self.method}"
            raise ConfigError(
                f"`{what}` is for meta-learned weights, but `start` names none. `hwnas meta-train RUN "
                "--family FAMILY.yaml -o INIT` makes some."
            )
        if self.start is not None and self.method not in (AUTO, *META_METHODS):
            raise ConfigError(
                f"`start` is for the methods {AUTO!r} and {list(META_METHODS)}, but `method` is "
                f"{self.method!r}, which begins with the weights of the bundle. Leave one of them out."
            )

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {**asdict(self), "start": None if self.start is None else str(self.start)}


@torch.random.fork_rng(devices=[])  # what is drawn here must not change what the caller draws afterwards
def adapt(
    source: AdaptationSource,
    data: str,
    out: Path,
    settings: AdaptationSettings,
    *,
    label_map: str | None = None,
    target: str | None = None,
    options: ExportOptions | None = None,
    progress: Listener[AdaptationStatus] | None = None,
) -> Adaptation:
    """Adapt a network to the training split of other data and write it as a bundle.

    Methods are compared inside the samples alone; the validation split gives the figures that are stated, and
    chooses nothing. What was finished is kept beside `out` until the bundle is there: after an interruption,
    the same call goes on.

    Args:
        source: the network.
        data: data set of the new sensor or place, with a `train` and a `val` split.
        out: directory of the new bundle.
        settings: how.
        label_map: name or path; None means the data set's own. Classes that the network does not know get a
            new row in its head, which only `head` and `fine-tune` train.
        target: URL of the machine that latency is measured on; None means the one it was measured on before.
        options: what the bundle holds.
        progress: is told how far it is.

    Raises:
        ConfigError: if settings contradict, or the network cannot be adapted to such data.
        DataError: if the data cannot be used, or have too few labelled samples.
        ExportError: if `out` exists and may not be replaced.
        TrainingError: if training fails.
        MeasurementError: if the target cannot be used.
    """
    options = options or ExportOptions()
    refuse_existing(out, force=options.force, marker=MANIFEST_NAME)
    adapter = _Adapter(source, data, label_map, settings, out, progress or silent)
    with adapter.workspace():
        found, member, task = adapter.run()
        adapter.tell("exporting and measuring")
        with open_meter(target or source.target, source.protocol) as meter:
            space = source.space_for(task)
            export_bundle(task, space, member, out, meter=meter, options=options)
            latency_ms = float(read_kept(out / MANIFEST_NAME)["latency"]["latency_ms"])
        return replace(found, latency_ms=latency_ms)


@dataclass(frozen=True)
class _Adapted:
    """What a method made of the network: its weights, for which task, and how long that took."""

    task: FewShotTask
    space: SearchSpace
    architecture: Architecture
    weights: Path
    seconds: float

    def evaluate(self, split: str = "val") -> EvaluatedQuality:
        module = self.space.build(self.architecture)
        load_weights(self.weights, module)
        predict = torch_predict(module, self.task.io_spec(self.architecture))
        return self.task.evaluate_with_interval(predict, self.architecture, split=split)


class _Adapter:
    """One adaptation, in a directory that is beside its result until that is there."""

    def __init__(
        self,
        source: AdaptationSource,
        data: str,
        label_map: str | None,
        settings: AdaptationSettings,
        out: Path,
        listener: Listener[AdaptationStatus],
    ) -> None:
        self._source, self._data, self._label_map = source, data, label_map
        self._settings, self._out, self._listener = settings, out, listener
        self._directory = out.absolute().parent / f".{out.name}.adaptation"
        self._start = None if settings.start is None else _checked_start(settings.start, source)
        self._methods = METHODS if self._start is None else (*METHODS, *META_METHODS)
        self._pace = Pace(1, settings.method in _TRAINING, settings.steps)
        self._recipe = Recipe.from_json(
            {
                **source.recipe,
                "steps": settings.steps,
                "learning_rate": settings.learning_rate,
                "pretraining_steps": 0,
                "pretraining_share": 0.0,
                "average": min(float(source.recipe.get("average", 0.9)), 0.95),
                "checkpoint_every": 50,
            }
        )

    def tell(self, message: str, step: int = 0, steps: int = 0) -> None:
        """Say how far it is."""
        run, runs = (self._pace.run, self._pace.runs) if self._pace.run else (0, 0)
        self._listener(AdaptationStatus(message, step, steps, run, runs, self._pace.left_s))

    def _train_step(self, message: str, step: int, steps: int) -> None:
        self._pace.stepped(step, time.monotonic())
        self.tell(message, step, steps)

    @contextmanager
    def workspace(self) -> Iterator[None]:
        """Keep what is finished of exactly this adaptation, until the block ends without an error."""
        request = {
            "weights": sha256_of_file(self._source.weights),
            "settings": self._settings.to_json(),
            "start": None if self._start is None else self._start.weights_sha256,
            "data": self._task(self._few).fingerprint(),
        }
        with held_workspace(self._directory, request):
            yield

    def run(self) -> tuple[Adaptation, TrainedMember, FewShotTask]:
        """Return what was found, the network as exports take it, and the task that it is for."""
        unknown = self._unknown(self._task(self._few))
        if unknown and self._settings.method not in (AUTO, *_TRAINING):
            raise ConfigError(
                f"The method {self._settings.method!r} trains no new classes, but the network does not know "
                f"{', '.join(unknown)}. Use {HEAD!r}, {FINE_TUNE!r} or {AUTO!r}, or a label map "
                "whose classes have the names that the network knows."
            )
        self.tell("evaluating the network as it is")
        before = self._before()
        tried = self._tried() if self._settings.method == AUTO else ()
        method = self._best(tried) if tried else self._settings.method
        self._pace.begin(trains=method in _TRAINING)
        adapted = self._adapted(method, self._few, f"{method}-all")
        self.tell(f"evaluating {method}")
        after = adapted.evaluate()
        found = Adaptation(
            self._out,
            method,
            tried,
            self._settings.samples,
            before,
            after,
            adapted.seconds,
            float("nan"),
            unknown,
            tuple(name for name in self._source.class_names if name not in adapted.task.class_names),
            self._stated_start(),
        )
        member = TrainedMember(
            architecture=adapted.architecture,
            weights=adapted.weights,
            quality=after.quality,
            latency=None,
            recipe=self._recipe.to_json() if method in _TRAINING else dict(self._source.recipe),
            seed=self._settings.seed,
            task_fingerprint=adapted.task.fingerprint(),
            adapted_from=stated(self._source.stated, found.to_json()),
        )
        return found, member, adapted.task

    def _stated_start(self) -> AdaptationStart | None:
        start = self._start
        if start is None:
            return None
        return AdaptationStart(
            method=start.settings.method,
            family=start.family.name,
            weights_sha256=start.weights_sha256,
            inner_steps=self._inner_steps(start),
            inner_learning_rate=start.settings.inner_learning_rate,
        )

    def _inner_steps(self, start: Initialisation) -> int:
        return self._settings.inner_steps or start.settings.inner_steps

    @cached_property
    def _few(self) -> Mapping[str, Any]:
        settings = self._settings
        return self._task({}).few_shot_settings(settings.samples, seed=settings.seed)

    def _task(self, more: Mapping[str, Any], *, as_trained: bool = False) -> FewShotTask:
        return self._source.task_on(self._data, self._label_map, more, as_trained=as_trained)

    def _network(self, task: FewShotTask) -> tuple[SearchSpace, Architecture]:
        """Return the space and the architecture with the input height and the outputs that a task has."""
        contract, source = task.contract, self._source
        shape = (contract.in_channels, contract.height, source.architecture.input_shape[2])
        architecture = replace(source.architecture, input_shape=shape, outputs=contract.outputs)
        return source.space_for(task), architecture

    def _unknown(self, task: FewShotTask) -> tuple[str, ...]:
        return tuple(name for name in task.class_names if name not in self._source.class_names)

    def _transferred(
        self, task: FewShotTask, weights: Path | None = None
    ) -> tuple[SearchSpace, Architecture, nn.Module, frozenset[str]]:
        space, architecture = self._network(task)
        torch.manual_seed(self._settings.seed)
        module = space.build(architecture)
        head = head_parameters(space, task, architecture)
        transferred(
            read_tensors(weights or self._source.weights),
            module,
            head,
            trained=self._source.class_names,
            wanted=task.class_names,
        )
        return space, architecture, module.eval(), head

    def _before(self) -> EvaluatedQuality:
        kept = self._directory / "before.json"
        if kept.is_file():
            return EvaluatedQuality.from_json(read_kept(kept))
        task = self._task(self._few, as_trained=True)
        _, architecture, module, _ = self._transferred(task)
        predict = torch_predict(module, task.io_spec(architecture))
        known = _without_classes(predict, [task.class_names.index(name) for name in self._unknown(task)])
        found = task.evaluate_with_interval(known, architecture)
        write_checked_json(kept, found.to_json())
        return found

    def _tried(self) -> tuple[MethodResult, ...]:
        """Cross-validate every method inside the samples."""
        task = self._task(self._few)
        unknown = self._unknown(task)
        folds = task.fold_settings(self._settings.folds)
        methods = [method for method in self._methods if not unknown or method in _TRAINING]
        trainings = sum(method in _TRAINING for method in methods) * len(folds)
        # The last run adapts to all samples, by a method that is not known yet and that most likely trains.
        self._pace = Pace(len(methods) * len(folds) + 1, trainings + 1, self._settings.steps)
        results = []
        for method in self._methods:
            if unknown and method not in _TRAINING:
                results.append(
                    MethodResult(method, (), 0.0, f"the network does not know {', '.join(unknown)}")
                )
                continue
            results.append(self._cross_validated(method, folds))
        return tuple(results)

    def _cross_validated(self, method: str, folds: Sequence[Mapping[str, Any]]) -> MethodResult:
        values, seconds = [], 0.0
        for number, fold in enumerate(folds, start=1):
            try:
                value, took_s = self._held_out(method, fold, number, len(folds))
            except DivergedError as error:
                return MethodResult(method, (), seconds, str(error))
            values.append(value)
            seconds += took_s
        return MethodResult(method, tuple(values), seconds)

    def _held_out(self, method: str, fold: Mapping[str, Any], number: int, count: int) -> tuple[float, float]:
        self._pace.begin(trains=method in _TRAINING)
        directory = self._directory / f"{method}-{number}"
        kept = directory / "held-out.json"
        if kept.is_file():
            result = read_kept(kept)
            return float(result["value"]), float(result["seconds"])
        adapted = self._adapted(method, fold, directory.name, f" (part {number} of {count} held out)")
        value = adapted.evaluate().quality.value
        write_checked_json(kept, {"value": value, "seconds": adapted.seconds})
        return value, adapted.seconds

    @staticmethod
    def _best(tried: Sequence[MethodResult]) -> str:
        return max(
            (result for result in tried if result.held_out), key=lambda result: result.value or 0.0
        ).method

    def _adapted(self, method: str, more: Mapping[str, Any], name: str, where: str = "") -> _Adapted:
        """Let a method work on the training split of a task."""
        directory = self._directory / name
        directory.mkdir(exist_ok=True)
        task = self._task(more, as_trained=method == NONE)
        learned = self._start if method in META_METHODS else None
        first = None if learned is None else learned.weights
        space, architecture, module, head = self._transferred(task, first)
        kept, weights = directory / _RESULT, directory / _WEIGHTS
        if kept.is_file():
            self._pace.end()
            return _Adapted(task, space, architecture, weights, float(read_kept(kept)["seconds"]))
        self.tell(f"{method}{where}")
        started = time.monotonic()
        if learned is not None:
            adapt_by_gradient_steps(
                module,
                task.loss(architecture, self._recipe.loss),
                default_collate(_samples(task, architecture, self._settings.seed)),
                InnerLoop(
                    self._inner_steps(learned),
                    learned.settings.inner_learning_rate,
                    only=head if method == ANIL else None,
                ),
            )
        elif method != NONE:
            re_estimate_batch_norms(module, _inputs(task, architecture, self._settings.seed))
        save_weights(weights, module)
        if method in _TRAINING:
            start = directory / "start.safetensors"
            weights.replace(start)
            module = train(
                task,
                space,
                architecture,
                self._recipe,
                seed=self._settings.seed,
                directory=directory,
                progress=lambda step, steps, _loss: self._train_step(f"{method}{where}", step, steps),
                start=start,
                trainable=head if method == HEAD else None,
            )
            save_weights(weights, module)
        seconds = time.monotonic() - started
        self._pace.end()
        write_checked_json(kept, {"seconds": seconds})
        return _Adapted(task, space, architecture, weights, seconds)


def _checked_start(directory: Path, source: AdaptationSource) -> Initialisation:
    """Return meta-learned weights of the network that is adapted.

    Raises:
        ConfigError: if they are of another one.
        TrainingError: if there are none, or they are damaged.
    """
    start = Initialisation.load(directory)
    for what, found, expected in (
        ("task", start.task, source.task),
        ("architecture", start.architecture.id, source.architecture.id),
        ("classes", list(start.class_names), list(source.class_names)),
    ):
        if found != expected:
            raise ConfigError(
                f"The initial weights in {directory} are for the {what} {found}, but the bundle has "
                f"{expected}. Meta-train the network that the bundle holds, with its label map."
            )
    return start


def _samples(task: FewShotTask, architecture: Architecture, seed: int) -> list[tuple[Tree, Tree]]:
    """Return all training samples as they are."""
    samples = task.train_dataset(architecture, augmentation=0.0, seed=seed)
    return [samples[place] for place in range(len(cast("Sized", samples)))]


def _inputs(task: FewShotTask, architecture: Architecture, seed: int) -> list[Tree]:
    """Return the inputs of all training samples, each as a batch of 1."""
    return [mapped(inputs, _as_batch) for inputs, _ in _samples(task, architecture, seed)]


def _as_batch(tensor: Tensor) -> Tensor:
    return tensor[None]


def _without_classes(predict: Predict, unknown: Sequence[int]) -> Predict:
    """Return a network that never decides for some channels of its outputs."""
    if not unknown:
        return predict

    def known(inputs: Arrays) -> Arrays:
        outputs = {name: np.array(array) for name, array in predict(inputs).items()}
        for array in outputs.values():
            array[:, list(unknown)] = array.min() - 1.0
        return outputs

    return known
