"""What every executor must do; a test class inherits, names one and gives its settings.

```python
class TestMine(ExecutorSuite):
    executor = "mine"
```

Workers on other machines need `tiny-stripes`, too: override the fixture `tiny_plugin`, see `write_tiny_site`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import onnx
import psutil
import pytest

from hwnas.architecture import Architecture, Choice
from hwnas.errors import ConfigError, TrainingInterruptedError
from hwnas.io_spec import dense_logits
from hwnas.search.executors.base import (
    Executor,
    ExecutorContext,
    Reply,
    Worker,
    WorkerSetup,
    error_from_reply,
    make_executor,
)
from hwnas.testing.tiny_site import write_tiny_site
from hwnas.training.checkpoint import STATE_FILE
from hwnas.training.recipe import Recipe

GENES: Mapping[str, Choice] = {
    "channels": 2,
    "depth": 1,
    "kernel": 1,
    "activation": "relu",
    "behaviour": "good",
}
BEHAVIOURS = ["good", "nan", "crash", "unexportable"]


def setup_with(**settings: Any) -> WorkerSetup:
    return WorkerSetup(
        task={"name": "tiny-stripes", "settings": settings},
        space={"name": "tiny-space", "choices": {"behaviour": BEHAVIOURS}},
        recipe={**Recipe.proxy().to_json(), "steps": 4, "checkpoint_every": 2},
        threads=1,
        estimators=[
            {"name": "training", "settings": {}},
            {"name": "training", "settings": {"steps": 3, "checkpoint_every": 2}},
        ],
    )


def job(kind: str, behaviour: str = "good", **fields: Any) -> dict[str, Any]:
    genes: dict[str, Choice] = {**GENES, "behaviour": behaviour}
    architecture = Architecture("tiny-space", genes, (2, 8, 16), dense_logits(3))
    fields = {name: str(value) if isinstance(value, Path) else value for name, value in fields.items()}
    return {"job": kind, "architecture": architecture.to_json(), "seed": 0, **fields}


def wait_until_idle(executor: Executor, count: int, timeout_s: float = 240) -> None:
    deadline = time.monotonic() + timeout_s
    while len(executor.idle) < count:
        assert time.monotonic() < deadline
        assert executor.wait(0.1) == []


def answers(executor: Executor, count: int = 1, timeout_s: float = 240) -> list[Reply]:
    """What comes of `count` jobs, progress left out."""
    deadline = time.monotonic() + timeout_s
    replies: list[Reply] = []
    while len(replies) < count:
        assert time.monotonic() < deadline, replies
        replies += [reply for reply in executor.wait(0.2) if reply.kind != "progress"]
    return replies


def answer(executor: Executor, worker: Worker, job: dict[str, Any]) -> Reply:
    executor.submit(worker, job)
    (reply,) = answers(executor)
    assert reply.worker is worker
    return reply


def job_processes() -> list[psutil.Process]:
    """Worker processes on this machine that this process started, over however many others."""
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            if "hwnas.search.worker" in process.cmdline():
                found.append(process)
        except (psutil.NoSuchProcess, psutil.ZombieProcess):
            continue
    return found


class ExecutorSuite:
    executor: str
    options: ClassVar[dict[str, Any]] = {}

    def make(self, logs: Path, setup: WorkerSetup | None = None, workers: int = 2) -> Executor:
        context = ExecutorContext(setup or setup_with(), workers, logs, self.options)
        return make_executor(self.executor, context)

    @pytest.fixture(autouse=True)
    def tiny_plugin(self, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
        """Make the tiny task and space known in this process and in those it starts."""
        site = tmp_path_factory.mktemp("tiny-site")
        write_tiny_site(site)
        monkeypatch.syspath_prepend(str(site))
        before = os.environ.get("PYTHONPATH")
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(site), before])))

    @pytest.fixture
    def running(self, tmp_path: Path) -> Iterator[Executor]:
        with self.make(tmp_path) as executor:
            wait_until_idle(executor, 2)
            yield executor

    def test_jobs_leave_their_files_and_their_figures(self, running: Executor, tmp_path: Path) -> None:
        first, second = running.idle
        model, full = tmp_path / "model.onnx", tmp_path / "full"
        running.submit(first, job("export", path=model))
        recipe = {**Recipe.proxy().to_json(), "steps": 4}
        running.submit(second, job("train", directory=full, recipe=recipe))
        assert running.idle == []
        found = {reply.worker: reply for reply in answers(running, 2)}
        assert [found[first].kind, found[second].kind] == ["result", "result"]
        assert found[first].value["parameters"] > 0
        onnx.checker.check_model(onnx.load(model))
        assert found[second].value["quality"]["metric"] == "accuracy"
        assert {"weights.safetensors", "model.onnx"} <= {path.name for path in full.iterdir()}
        assert set(running.idle) == {first, second}
        for estimator, steps in enumerate((4, 3)):
            reply = answer(
                running, first, job("estimate", estimator=estimator, directory=tmp_path / f"{estimator}")
            )
            assert reply.kind == "result"
            assert 0 < reply.value["quality"]["value"] <= 1
            assert reply.value["estimator"] == f"training-{steps}-steps"

    def test_errors_and_deaths_are_reported_and_work_goes_on(self, running: Executor, tmp_path: Path) -> None:
        worker = running.idle[0]
        reply = answer(running, worker, job("export", "unexportable", path=tmp_path / "model.onnx"))
        assert reply.kind == "error"
        assert type(error_from_reply(reply.value)).__name__ == "ExportError"
        reply = answer(running, worker, job("estimate", "crash", estimator=0, directory=tmp_path / "crash"))
        assert reply.kind == "died"
        assert "killed by signal 9" in reply.value
        wait_until_idle(running, 2)
        reply = answer(running, running.idle[0], job("estimate", estimator=0, directory=tmp_path / "good"))
        assert reply.kind == "result"

    def test_a_job_can_be_killed(self, running: Executor, tmp_path: Path) -> None:
        worker = running.idle[0]
        recipe = {**Recipe.proxy().to_json(), "steps": 1_000_000}
        running.submit(worker, job("train", directory=tmp_path / "endless", recipe=recipe))
        while not any(reply.kind == "progress" for reply in running.wait(0.2)):
            continue
        started = time.monotonic()
        running.kill(worker)
        (reply,) = answers(running)
        assert (reply.kind, reply.worker) == ("died", worker)
        assert time.monotonic() - started < 30
        wait_until_idle(running, 2)

    def test_a_training_can_be_stopped_and_leaves_its_checkpoint(
        self, running: Executor, tmp_path: Path
    ) -> None:
        worker = running.idle[0]
        recipe = {**Recipe.proxy().to_json(), "steps": 1_000_000, "checkpoint_every": 1_000_000}
        directory = tmp_path / "stopped"
        directory.mkdir()
        running.submit(worker, job("train", directory=directory, recipe=recipe))
        while not any(reply.kind == "progress" for reply in running.wait(0.2)):
            continue
        started = time.monotonic()
        running.stop(worker)
        (reply,) = answers(running)
        assert (reply.kind, reply.worker) == ("error", worker)
        assert isinstance(error_from_reply(reply.value), TrainingInterruptedError)
        assert time.monotonic() - started < 30
        assert (directory / STATE_FILE).is_file()
        assert running.idle[0] is worker

    def test_workers_on_this_machine_pause(self, running: Executor) -> None:
        processes = job_processes()
        assert len(processes) == 2
        with running.paused():
            assert {process.status() for process in processes} == {psutil.STATUS_STOPPED}
        assert psutil.STATUS_STOPPED not in {process.status() for process in processes}

    def test_nothing_outlives_it(self, tmp_path: Path) -> None:
        with self.make(tmp_path) as executor:
            wait_until_idle(executor, 2)
            assert executor.size == 2
            processes = job_processes()
        _, alive = psutil.wait_procs(processes, timeout=10)
        assert len(processes) == 2
        assert alive == []

    def test_a_task_that_cannot_be_loaded_is_its_own_error(self, tmp_path: Path) -> None:
        executor = self.make(tmp_path, setup_with(colour="red"), workers=1)
        with pytest.raises(ConfigError, match="colour"), executor:
            wait_until_idle(executor, 1)

    def test_an_unknown_setting_is_refused(self, tmp_path: Path) -> None:
        context = ExecutorContext(setup_with(), 1, tmp_path, {"colour": "red"})
        with pytest.raises(ConfigError, match="colour"):
            make_executor(self.executor, context)
