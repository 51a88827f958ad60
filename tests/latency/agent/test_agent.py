from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from hwnas.errors import MeasurementError
from hwnas.io_spec import IoSpec, TensorSpec
from hwnas.latency.agent.clock import clock, warm_up
from hwnas.latency.agent.inputs import bind_random_inputs, random_inputs
from hwnas.latency.agent.lock import MeasuringLock
from hwnas.latency.agent.server import Agent, serve
from hwnas.latency.backends.errors import AgentError
from hwnas.latency.backends.tensorrt_build import MODULES
from hwnas.latency.transports.local import LocalTransport


def loaded_by(statement: str) -> set[str]:
    code = f"import json, sys; {statement}; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    return set(json.loads(done.stdout))


def test_agent_needs_neither_torch_nor_optuna() -> None:
    modules = loaded_by(
        "import hwnas.latency.agent.server; from hwnas.latency.backends.onnxruntime import OnnxRuntimeCpu; "
        "OnnxRuntimeCpu(1)"
    )
    assert "onnxruntime" in modules
    assert not {"torch", "optuna", "pydantic", "onnx", "hwnas.latency.measure.meter"} & modules


def test_agent_starts_with_the_standard_library_only() -> None:
    modules = loaded_by("import hwnas.latency.agent.server")
    assert not {"numpy", "onnxruntime"} & modules


def test_server_answers_line_by_line() -> None:
    replies = io.StringIO()
    serve(io.StringIO('{"operation": "dance"}\n{"operation": "clock", "count": 1}\n'), replies)
    first, second = (json.loads(line)["error"] for line in replies.getvalue().splitlines())
    assert "'dance'" in first
    assert "set_up" in second


def test_an_agent_holds_several_models_by_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("hwnas.latency.agent.server.pin", lambda cores, threads: [0])
    agent, io_spec = Agent(), IoSpec((TensorSpec("image", (1, 5, 16, 64)),), ()).to_json()

    def ask(operation: str, **arguments: object) -> dict:
        return agent.answer({"operation": operation, **arguments})

    assert "set_up" in ask("load", model="a", io_spec=io_spec, seed=0)["error"]
    found = ask("set_up", backend="tests.latency.faulty_backends:Healthy", threads=1, cores=[])
    assert found["fingerprint"]["backend_settings"] == {}
    path = tmp_path / "model.onnx"
    path.write_bytes(b"")
    for name in ("a", "b"):
        assert ask("load", model=str(path), io_spec=io_spec, seed=0, name=name) == {}
    assert len(ask("clock", count=3, name="a")["samples_ms"]) == 3
    assert (agent.loaded("a").runs, agent.loaded("b").runs) == (4, 0)
    ask("load", model=str(path), io_spec=io_spec, seed=0, name="a")
    assert agent.loaded("a").runs == 0
    assert ask("unload", name="a") == {}
    assert "'a', only ['b']" in ask("clock", count=3, name="a")["error"]
    assert "'model', only" in ask("warm_up", min_s=0, max_s=1, tolerance=1)["error"]


def test_nonsense_from_an_agent_is_said() -> None:
    agent = LocalTransport(1, command=(sys.executable, "-c", "input(); print('hello')")).start_agent()
    try:
        with pytest.raises(MeasurementError, match="must answer 'lock' in JSON"):
            agent.request("lock", timeout_s=30)
    finally:
        agent.close()


def test_agent_that_cannot_start_is_said() -> None:
    with pytest.raises(MeasurementError, match="cannot be started"):
        LocalTransport(1, command=("/no/such/program",)).start_agent()


def test_agent_ends_when_its_input_closes() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "hwnas.latency.agent"], stdin=subprocess.DEVNULL, timeout=60, check=False
    )
    assert done.returncode == 0


def test_random_inputs_are_repeatable() -> None:
    specs = (TensorSpec("a", (2, 300)), TensorSpec("b", (4,), "int64"), TensorSpec("c", (3,), "bool"))
    first, second = random_inputs(specs, 7), random_inputs(specs, 7)
    for spec in specs:
        assert first[spec.name].dtype == np.dtype(spec.dtype)
        assert first[spec.name].shape == spec.shape
        np.testing.assert_array_equal(first[spec.name], second[spec.name])
    assert abs(first["a"].mean()) < 0.2
    assert 0.8 < first["a"].std() < 1.2


def test_unknown_input_type_is_said() -> None:
    with pytest.raises(AgentError, match="bfloat17"):
        random_inputs((TensorSpec("a", (1,), "bfloat17"),), 0)


@pytest.mark.parametrize("side", [1 << 20, 1 << 14])
def test_inputs_beyond_the_memory_are_named_with_their_bytes(side: int) -> None:
    specs = (TensorSpec("small", (2,)), TensorSpec("huge", (side, side, side)))
    with pytest.raises(AgentError, match=rf"'huge' is too large for the memory.* takes {side**3 * 4} bytes"):
        random_inputs(specs, 0)


def test_more_axes_than_numpy_takes_are_said() -> None:
    with pytest.raises(AgentError, match=r"'deep'.*cannot be made: .*dimension"):
        random_inputs((TensorSpec("deep", (1,) * 80),), 0)


def test_a_backend_that_cannot_copy_its_inputs_names_the_largest() -> None:
    specs = (TensorSpec("small", (2,)), TensorSpec("large", (4, 5)))

    class Full:
        def inputs(self) -> tuple[TensorSpec, ...]:
            return specs

        def bind(self, arrays: dict[str, object]) -> None:
            raise MemoryError

    with pytest.raises(AgentError, match=r"'large' is too large .* takes 80 bytes"):
        bind_random_inputs(Full(), IoSpec(specs, ()).to_json(), 0)  # type: ignore[arg-type]


def test_warm_up_goes_on_until_its_windows_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    durations = iter([0.08] * 3 + [0.05] * 3 + [0.04] * 300)

    def run() -> None:
        nonlocal now
        now += next(durations)

    monkeypatch.setattr("hwnas.latency.agent.clock.time.perf_counter", lambda: now)
    monkeypatch.setattr("hwnas.latency.agent.clock.time.perf_counter_ns", lambda: round(now * 1e9))
    found = warm_up(run, min_s=0.1, max_s=10, tolerance=0.02)
    assert found["is_settled"]
    assert found["median_ms"] == pytest.approx(40)
    assert found["seconds"] == pytest.approx(3 * 0.08 + 3 * 0.05 + 6 * 0.04)


def test_warm_up_that_never_settles_ends_at_its_limit() -> None:
    numbers = iter(range(10_000))
    found = warm_up(lambda: _wait_ms(2 ** (next(numbers) // 40)), min_s=0.0, max_s=0.3, tolerance=1e-9)
    assert not found["is_settled"]
    assert found["seconds"] >= 0.3


def _wait_ms(duration_ms: float) -> None:
    import time

    time.sleep(min(duration_ms, 50.0) / 1000)


def test_first_inference_of_a_block_is_not_clocked() -> None:
    runs: list[int] = []
    assert len(clock(lambda: runs.append(0), 5)) == 5
    assert len(runs) == 6


def test_lock_is_exclusive_and_comes_back(tmp_path: Path) -> None:
    path = str(tmp_path / "lock")
    first, second = MeasuringLock(path), MeasuringLock(path)
    first.acquire(0)
    with pytest.raises(AgentError, match=f"process {os.getpid()} of"):
        second.acquire(0.1)
    first.release()
    second.acquire(0)
    second.release()


def test_lock_whose_file_was_put_anew_while_it_was_waited_for_is_not_taken(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    first, second, third = (MeasuringLock(str(path)) for _ in range(3))
    first.acquire(0)
    waiting = threading.Thread(target=second.acquire, args=(30,))
    waiting.start()
    time.sleep(0.2)  # it has opened the file
    path.unlink()
    third.acquire(0)
    first.release()
    time.sleep(0.2)
    assert waiting.is_alive(), "two would hold the lock"
    third.release()
    waiting.join(30)
    with pytest.raises(AgentError, match="Another measurement holds"):
        third.acquire(0.1)
    second.release()


def test_holder_is_told_that_its_lock_was_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HWNAS_MEASURING_LOCK", str(tmp_path / "lock"))
    agent = Agent()
    assert agent.answer({"operation": "unload"}) == {}, "nothing is held yet"
    assert agent.answer({"operation": "lock", "wait_s": 0}) == {}
    assert agent.answer({"operation": "unload"}) == {}
    (tmp_path / "lock").unlink()
    assert "was removed while it was held" in agent.answer({"operation": "unload"})["error"]


@pytest.mark.parametrize(
    ("backend", "options", "reason"),
    [
        ("tensorrt:TensorRt", {}, "The backend 'tensorrt' needs its Python module"),
        ("tensorrt_rtx:TensorRtRtx", {}, "The backend 'tensorrt-rtx' needs its Python module"),
        ("onnxruntime:OnnxRuntime", {}, "needs the package onnxruntime"),
        ("torch_reference:TorchReference", {}, "needs torch and onnx"),
        ("trtexec:Trtexec", {"program": "no-such-trtexec"}, "trtexec is not here; looked for"),
        ("onnxruntime:OnnxRuntime", {"dla": "1"}, "has no option 'dla'"),
        ("nowhere:Nothing", {}, "cannot be imported on the target"),
    ],
)
def test_a_missing_backend_is_said_without_waiting_for_the_lock(
    backend: str, options: dict[str, str], reason: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = str(tmp_path / "lock")
    monkeypatch.setenv("HWNAS_MEASURING_LOCK", path)
    for module in ("onnxruntime", "tensorrt"):
        monkeypatch.setattr(f"hwnas.latency.backends.{module}.find_spec", lambda name: None)
    monkeypatch.setattr("hwnas.latency.backends.torch_reference.find_spec", lambda name: None)
    monkeypatch.setitem(MODULES, "tensorrt", ("no_such_tensorrt",))
    monkeypatch.setitem(MODULES, "tensorrt-rtx", ("no_such_tensorrt",))
    other = MeasuringLock(path)
    other.acquire(0)
    named = {"backend": f"hwnas.latency.backends.{backend}", "options": options}
    found = Agent().answer({"operation": "lock", "wait_s": 60, **named})
    other.release()
    assert reason in found["error"]


def test_lock_does_not_follow_links(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / "lock").symlink_to(victim)
    with pytest.raises(AgentError, match="cannot be used"):
        MeasuringLock(str(tmp_path / "lock")).acquire(0)
    assert victim.read_text() == "precious"
