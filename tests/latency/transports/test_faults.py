"""What goes wrong on the way to a board and on it, for real, and what becomes of the measurement."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import onnx
import psutil
import pytest
from onnx import TensorProto

from hwnas.errors import MeasurementError, TargetLostError, TargetUnreachableError
from hwnas.io_spec import IoSpec
from hwnas.latency.measure import retrying
from hwnas.latency.measure.meter import AgentMeter, open_meter
from hwnas.latency.measurement import LatencyMeasurement
from hwnas.latency.target import Target
from hwnas.latency.transports.ssh import SshTransport
from hwnas.testing.onnx_models import write_conv_model
from tests.latency.measure.test_meter import QUICK
from tests.latency.transports import board_backends
from tests.latency.transports.board import Board
from tests.process_trees import have_ended

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
PROTOCOL = replace(QUICK, processes=1, relative_interval=1e-4, max_s=3.0, lock_wait_s=60.0)


@pytest.fixture
def model(tmp_path: Path) -> tuple[Path, IoSpec]:
    path = tmp_path / "model.onnx"
    return path, write_conv_model(path)


@pytest.fixture
def opened(board: Board, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., AgentMeter]]:
    """Return a function that opens a meter on the board with one of the backends from outside."""
    meters: list[AgentMeter] = []

    def open_with(backend: str = "Healthy", protocol=PROTOCOL) -> AgentMeter:
        found = getattr(board_backends, backend)
        monkeypatch.setattr("hwnas.latency.measure.meter.backend_class", lambda _name: found)
        monkeypatch.setattr("hwnas.latency.transports.opening.backend_class", lambda _name: found)
        meter = open_meter(f"ssh://board?backend=outside&python={board.python}", protocol)
        meters.append(meter)
        return meter

    yield open_with
    for meter in meters:
        meter.close()


@contextmanager
def while_measuring(board: Board, act: Callable[[], object], times: int = 1) -> Iterator[list[int]]:
    """Act as soon as an agent has worked for a second, `times` times; yields the agents it was done to."""
    done: list[int] = []
    is_over = threading.Event()

    def watch() -> None:
        while len(done) < times and not is_over.wait(0.1):
            fresh = [agent.pid for agent in board.agents() if agent.pid not in done]
            if fresh and not is_over.wait(1.0):
                done.extend(fresh[:1])
                act()

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield done
    finally:
        is_over.set()
        thread.join()


def is_complete(found: LatencyMeasurement) -> bool:
    return found.latency_ms >= 10 and len(found.samples_ms) == 1 and len(found.samples_ms[0]) >= 10


def kill_agents(board: Board) -> None:
    for agent in board.agents():
        with suppress(psutil.NoSuchProcess):
            agent.kill()


def test_a_cut_connection_costs_a_retry(board: Board, opened, model, caplog) -> None:
    meter = opened()
    meter.fingerprint()
    with while_measuring(board, board.cut) as agents:
        found = meter.measure(*model)
    assert is_complete(found)
    assert len(agents) == 1
    assert have_ended(agents), "an agent without its driver would keep the lock"
    assert "was lost during" in caplog.text


def test_a_killed_agent_costs_a_retry(board: Board, opened, model, caplog) -> None:
    meter = opened()
    with while_measuring(board, lambda: kill_agents(board)) as agents:
        assert is_complete(meter.measure(*model))
    assert len(agents) == 1
    assert "ended by signal SIGKILL" in caplog.text


def test_an_agent_that_is_killed_every_time_is_an_error(
    board: Board, opened, model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retrying, "_WAITS_S", (0.1,))
    meter = opened()
    with (
        while_measuring(board, lambda: kill_agents(board), times=9) as agents,
        pytest.raises(TargetLostError, match=r"signal SIGKILL.*last of 3 attempts"),
    ):
        meter.measure(*model)
    assert len(agents) == 3
    assert is_complete(meter.measure(*model)), "nothing of it stays behind"


def test_a_board_that_reboots_is_waited_for(board: Board, opened, model, caplog) -> None:
    meter = opened()
    before = meter.fingerprint()

    def reboot() -> None:
        board.stop()
        time.sleep(4)
        board.start()

    with while_measuring(board, reboot):
        found = meter.measure(*model)
    assert is_complete(found)
    assert found.fingerprint == before
    assert "Connection refused" in caplog.text


def test_a_board_that_comes_back_different_is_refused(board: Board, opened, model) -> None:
    meter = opened()
    meter.fingerprint()

    def reboot() -> None:
        board.stop()
        board.environment["BOARD_VERSION"] = "2"
        board.start()

    try:
        with (
            while_measuring(board, reboot),
            pytest.raises(MeasurementError, match=r"'healthy': '1'.*'healthy': '2'"),
        ):
            meter.measure(*model)
    finally:
        board.environment.clear()
        board.stop()
        board.start()


def test_a_board_that_stays_away_is_given_up(board: Board, opened, model) -> None:
    meter = opened()
    meter.fingerprint()
    measure = retrying.again_when_lost(AgentMeter.measure.__wrapped__, max_unreachable_s=3)
    start = time.monotonic()
    try:
        with while_measuring(board, board.stop), pytest.raises(TargetUnreachableError, match="Check that"):
            measure(meter, *model)
    finally:
        board.stop()
        board.start()
    assert time.monotonic() - start < 120
    assert is_complete(meter.measure(*model))


def test_a_link_that_goes_silent_costs_a_retry(board: Board, opened, model, caplog) -> None:
    """No end of file and no reset: the server's process is stopped, as if the cable was pulled."""
    stopped: list[psutil.Process] = []
    meter = opened(protocol=replace(PROTOCOL, max_s=8.0))
    try:
        with while_measuring(board, lambda: stopped.extend(board.fall_silent())) as agents:
            assert is_complete(meter.measure(*model))
        assert have_ended(agents)
    finally:
        for process in stopped:
            if process.is_running():
                process.kill()
    assert "was lost during" in caplog.text


def test_a_full_disk_is_said_and_harmless(board: Board, opened, model, tmp_path: Path) -> None:
    if not board.made_user or shutil.which("mount") is None:
        pytest.skip("a small file system can be mounted by root only")
    meter = opened()
    assert is_complete(meter.measure(*model))
    models = board.home / ".cache" / "hwnas" / "models"
    owner = models.stat()
    options = f"size=1m,uid={owner.st_uid},gid={owner.st_gid},mode=0700"
    if subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", models], check=False).returncode != 0:
        pytest.skip("mounting is not allowed here")
    try:
        with pytest.raises(
            MeasurementError, match=r"disk of the target is full.*needs 1\.\d MB.*has .* free"
        ):
            meter.measure(*model)
        assert list(models.iterdir()) == []
    finally:
        subprocess.run(["umount", models], check=True)
    assert is_complete(meter.measure(*model))


def test_an_upload_that_is_cut_leaves_nothing(board: Board, tmp_path: Path) -> None:
    model = tmp_path / "large.onnx"
    weight = onnx.helper.make_tensor("w", TensorProto.UINT8, [200 << 20], os.urandom(1 << 20) * 200, raw=True)
    onnx.save(onnx.helper.make_model(onnx.helper.make_graph([], "large", [], [], [weight])), model)
    transport = SshTransport(Target.parse(board.url), "hwnas.latency.backends.onnxruntime")
    models = board.home / ".cache" / "hwnas" / "models"
    before = set(models.glob("*.onnx")) if models.is_dir() else set()

    def cut_in_the_middle() -> None:
        deadline = time.monotonic() + 60
        while not list(models.glob(".*.part")) and time.monotonic() < deadline:
            time.sleep(0.002)
        board.cut()

    transport.start_agent().close()
    thread = threading.Thread(target=cut_in_the_middle)
    thread.start()
    try:
        with pytest.raises(TargetLostError, match="was lost during 'upload to models'"):
            transport.place_model(model)
    finally:
        thread.join()
    assert set(models.glob("*.onnx")) == before
    there = Path(transport.place_model(model))
    assert there.stat().st_size == model.stat().st_size
    there.unlink()
    deadline = time.monotonic() + 10
    while list(models.glob(".*.part")) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert list(models.glob(".*.part")) == []
    transport.close()


@pytest.mark.parametrize(
    ("backend", "reason"),
    [("HungBuild", r"did not end within 3 s and was killed"), ("KilledBuild", r"was killed \(SIGKILL\)")],
)
def test_a_build_that_hangs_or_dies_fails_alone(
    board: Board, opened, model, backend: str, reason: str
) -> None:
    board.environment["HWNAS_BUILD_LIMIT_S"] = "3"
    board.stop()
    board.start()
    try:
        with pytest.raises(MeasurementError, match=reason) as caught:
            opened(backend).measure(*model)
        assert not isinstance(caught.value, TargetLostError), "building again would end the same way"
        assert is_complete(opened("Healthy").measure(*model))
    finally:
        board.environment.clear()
        board.stop()
        board.start()


def test_the_second_driver_waits_says_so_and_gives_up(board: Board, opened, model, caplog) -> None:
    transport = SshTransport(Target.parse(board.url), "hwnas.latency.backends.onnxruntime")
    first = transport.start_agent()
    first.request("lock", timeout_s=60, wait_s=0)
    with pytest.raises(MeasurementError, match=r"longer than 3 s: process \d+ of "):
        opened(protocol=replace(PROTOCOL, lock_wait_s=3.0)).measure(*model)
    assert "Another measurement holds the target" in caplog.text
    assert board.user in caplog.text

    threading.Timer(2, first.close).start()
    assert is_complete(opened().measure(*model))
    transport.close()


DRIVER = textwrap.dedent("""
    import sys
    from pathlib import Path
    from hwnas.latency.measure.meter import open_meter
    from hwnas.latency.measure.protocol import MeasuringProtocol
    from hwnas.testing.onnx_models import write_conv_model

    path = Path(sys.argv[1])
    protocol = MeasuringProtocol(processes=2, relative_interval=1e-4, max_s=600, max_samples=1_000_000)
    open_meter(sys.argv[2], protocol).measure(path, write_conv_model(path))
""")


def test_a_killed_driver_frees_the_board(
    board: Board, opened, model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    driver = subprocess.Popen([sys.executable, "-c", DRIVER, str(tmp_path / "other.onnx"), board.url])
    try:
        deadline = time.monotonic() + 120
        while len(board.agents()) < 2 and time.monotonic() < deadline:
            time.sleep(0.1)
        agents = [agent.pid for agent in board.agents()]
        assert len(agents) == 2
    finally:
        driver.send_signal(signal.SIGKILL)
        driver.wait()
    assert have_ended(agents)
    assert is_complete(opened(protocol=replace(PROTOCOL, lock_wait_s=5.0)).measure(*model))
