"""Ray clusters for real, on this machine: workers and nodes are lost and candidates are not."""

from __future__ import annotations

import importlib.util
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from hwnas.config import load_config
from hwnas.errors import ConfigError, StudyError
from hwnas.search.driver import search
from hwnas.search.executors.base import Executor, ExecutorContext, make_executor
from hwnas.testing.executor_suite import (
    ExecutorSuite,
    answers,
    job,
    job_processes,
    setup_with,
    wait_until_idle,
)
from hwnas.training.recipe import Recipe
from tests.process_trees import command, descendants

HAS_RAY = importlib.util.find_spec("ray") is not None
pytestmark = [pytest.mark.skipif(not HAS_RAY, reason="ray is not installed"), pytest.mark.slow]

LONG = {**Recipe.proxy().to_json(), "steps": 24, "checkpoint_every": 4}
# A node that is gone is known to be so after 1.5 s; one that is only slow has 15 s.
HEARTBEATS = {
    "health_check_initial_delay_ms": 0,
    "health_check_period_ms": 500,
    "health_check_timeout_ms": 5000,
    "health_check_failure_threshold": 3,
}


@pytest.fixture(scope="module")
def site_in_path(tiny_site: Path) -> Iterator[None]:
    """Nodes know the tiny plug-in, as if it were installed there."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(tiny_site), before]))
    yield
    if before is None:
        del os.environ["PYTHONPATH"]
    else:
        os.environ["PYTHONPATH"] = before


@pytest.fixture(scope="module")
def cluster(site_in_path: None) -> Iterator[Any]:
    """A head that takes no worker, and one node."""
    from ray.cluster_utils import Cluster

    head = {"num_cpus": 0, "include_dashboard": False, "_system_config": HEARTBEATS}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    cluster.first = cluster.add_node(num_cpus=3)
    yield cluster
    cluster.shutdown()


@pytest.fixture
def address(cluster: Any) -> str:
    return cluster.address


def ray_executor(address: str, logs: Path, workers: int | None = 1, **options: Any) -> Executor:
    setup = setup_with(delay_s=0.05)
    return make_executor("ray", ExecutorContext(setup, workers, logs, {"address": address, **options}))


@pytest.mark.usefixtures("tiny_plugin")
class TestRay(ExecutorSuite):
    executor = "ray"

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def in_cluster(cls, cluster: Any) -> None:
        cls.options = {"address": cluster.address}

    @pytest.fixture(scope="class")
    @classmethod
    def started(cls, in_cluster: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Executor]:
        with cls().make(tmp_path_factory.mktemp("logs")) as executor:
            yield executor

    @pytest.fixture
    def running(self, started: Executor) -> Executor:
        """One pool for all: whatever a test does to it, it must be whole again."""
        wait_until_idle(started, 2)
        return started

    def test_nothing_outlives_it(self, cluster: Any, started: Executor, tmp_path: Path) -> None:
        started.__exit__()
        super().test_nothing_outlives_it(tmp_path)


def begin_long_job(executor: Executor, directory: Path) -> None:
    """Wait until a job is in the middle, and some of its checkpoints are back."""
    wait_until_idle(executor, 1)
    executor.submit(executor.idle[0], job("train", directory=directory, recipe=LONG))
    deadline = time.monotonic() + 240
    while not any(reply.kind == "progress" for reply in executor.wait(0.2)):
        assert time.monotonic() < deadline


def node_processes(node: Any) -> list[psutil.Process]:
    """Ray's workers on a node that run `NodeWorker`."""
    below = descendants(node.all_processes["raylet"][0].process.pid)
    return [each for each in below if "NodeWorker" in " ".join(command(each))]


def test_a_job_whose_worker_is_killed_is_repeated(cluster: Any, address: str, tmp_path: Path) -> None:
    with ray_executor(address, tmp_path, retries=1) as executor:
        begin_long_job(executor, tmp_path / "job")
        (worker,) = executor._workers
        (victim,) = node_processes(cluster.first)
        victim.kill()
        (reply,) = answers(executor)
        assert (reply.kind, reply.worker, worker.attempt) == ("result", worker, 2)
        assert (tmp_path / "job" / "weights.safetensors").is_file()
        assert executor.idle == [worker]


@pytest.mark.long
def test_a_job_that_loses_its_workers_too_often_dies(cluster: Any, address: str, tmp_path: Path) -> None:
    with ray_executor(address, tmp_path, retries=1) as executor:
        begin_long_job(executor, tmp_path / "job")
        handle = executor._workers[0]
        for attempt in (1, 2):
            deadline = time.monotonic() + 240
            while not (handle.is_ready and handle.attempt == attempt):
                assert executor.wait(0.1) == []
                assert time.monotonic() < deadline
            (victim,) = node_processes(cluster.first)
            victim.kill()
            if attempt == 1:
                while handle.attempt == 1:
                    executor.wait(0.1)
        (reply,) = answers(executor)
        assert (reply.kind, reply.worker) == ("died", handle)
        assert "attempt 2 of 2" in reply.value
        wait_until_idle(executor, 1)


def test_a_preempted_node_costs_no_job(cluster: Any, address: str, tmp_path: Path) -> None:
    doomed = cluster.add_node(num_cpus=2)
    cluster.wait_for_nodes()
    # Two fit on the first node, one on the other: when that is gone, there is room for no other worker.
    with ray_executor(address, tmp_path, workers=3, retries=2, cpus_per_trial=1.5) as executor:
        wait_until_idle(executor, 3)
        for number, worker in enumerate(executor.idle):
            executor.submit(worker, job("train", directory=tmp_path / str(number), recipe=LONG))
        assert len(node_processes(doomed)) == 1
        cluster.remove_node(doomed, allow_graceful=False)
        found = answers(executor, 3)
        assert [reply.kind for reply in found] == ["result"] * 3
        assert sorted(worker.attempt for worker in executor._workers) == [1, 1, 2]
        for number in range(3):
            assert (tmp_path / str(number) / "weights.safetensors").is_file()


def test_several_workers_share_a_gpu(cluster: Any, address: str, tmp_path: Path) -> None:
    node = cluster.add_node(num_cpus=2, num_gpus=1)
    cluster.wait_for_nodes()
    try:
        with ray_executor(address, tmp_path, workers=None, gpus_per_trial=0.5) as executor:
            assert executor.size == 2
            wait_until_idle(executor, 2)
            devices = [each.environ()["CUDA_VISIBLE_DEVICES"] for each in job_processes()]
            assert devices == ["0", "0"]
            import ray

            assert ray.available_resources().get("GPU", 0) == 0
    finally:
        cluster.remove_node(node)


def test_a_search_on_a_cluster_of_its_own(site_in_path: None, write_run, tmp_path: Path, tiny_plugin) -> None:
    path = write_run(search__executor={"name": "ray", "address": "local"}, search__trials=1)
    result = search(load_config(path), tmp_path / "out").to_json()
    assert (result["trained"], result["failed"]) == (1, 0)


def test_wrong_settings_and_a_missing_cluster_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="gpus_per_trial above 1 must be whole"):
        ray_executor("local", tmp_path, gpus_per_trial=1.5)
    with pytest.raises(ConfigError, match="retries must be a finite number from 0"):
        ray_executor("local", tmp_path, retries="often")
    with pytest.raises(ConfigError, match="gpus_per_trial must be a finite number from 0, but is nan"):
        ray_executor("local", tmp_path, gpus_per_trial=float("nan"))
    with pytest.raises(StudyError, match=r"There must be a Ray cluster at '127\.0\.0\.1:9'"):
        ray_executor("127.0.0.1:9", tmp_path).__enter__()
