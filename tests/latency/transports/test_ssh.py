from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from hwnas.errors import ConfigError, MeasurementError, TargetLostError
from hwnas.files import sha256_of_file
from hwnas.latency.measure.meter import open_meter
from hwnas.latency.measurement import LatencyMeter
from hwnas.latency.target import Target
from hwnas.latency.transports.ssh import SshTransport
from hwnas.model_files.external_data import sha256_of_model
from hwnas.testing.latency_meter_suite import LatencyMeterSuite
from hwnas.testing.onnx_models import LAYOUTS, write_conv_model, write_external_model
from tests.latency.measure.test_meter import QUICK
from tests.latency.transports.board import Board


class TestSshMeter(LatencyMeterSuite):
    @pytest.fixture
    def meter(self, board: Board) -> Iterator[LatencyMeter]:
        meter = open_meter(board.url, QUICK)
        yield meter
        meter.close()


@pytest.fixture
def transport(board: Board) -> Iterator[SshTransport]:
    transport = SshTransport(Target.parse(board.url), "hwnas.latency.backends.onnxruntime")
    yield transport
    transport.close()


@pytest.fixture
def model_file(tmp_path: Path) -> Path:
    return tmp_path / "model.onnx"


def test_a_model_is_sent_once_and_whole(board: Board, transport: SshTransport, tmp_path: Path) -> None:
    model = tmp_path / "a model; $(touch owned) 'of' \"mine\".onnx"
    write_conv_model(model)
    first = Path(transport.place_model(model))
    arrived = first.stat()
    assert first == board.home / ".cache" / "hwnas" / "models" / f"{sha256_of_file(model)}.onnx"
    assert first.read_bytes() == model.read_bytes()
    assert arrived.st_uid == board.home.stat().st_uid
    assert Path(transport.place_model(model)).stat().st_ino == arrived.st_ino


def test_a_damaged_file_on_the_board_is_replaced(transport: SshTransport, tmp_path: Path) -> None:
    model = tmp_path / "model.onnx"
    write_conv_model(model)
    there = Path(transport.place_model(model))
    there.write_bytes(b"damaged")
    assert Path(transport.place_model(model)).read_bytes() == model.read_bytes()


def test_the_board_needs_no_hwnas(board: Board, transport: SshTransport) -> None:
    found = subprocess.run([board.python, "-c", "import hwnas"], cwd="/", capture_output=True, check=False)
    assert b"No module named 'hwnas'" in found.stderr
    agent = transport.start_agent()
    try:
        assert agent.request("lock", timeout_s=60, wait_s=0) == {}
    finally:
        agent.close()


def test_unknown_host_key_is_refused(board: Board) -> None:
    known = board.known_hosts.read_text()
    board.known_hosts.write_text("")
    try:
        with pytest.raises(MeasurementError, match=r"Host key verification failed.*by hand"):
            open_meter(board.url, QUICK).fingerprint()
        assert board.known_hosts.read_text() == ""
    finally:
        board.known_hosts.write_text(known)


def test_refused_key_is_said(board: Board) -> None:
    keys = board.root / "authorized_keys"
    allowed = keys.read_text()
    keys.write_text("")
    try:
        with pytest.raises(MeasurementError, match=r"(?s)Permission denied.*ssh-agent"):
            open_meter(board.url, QUICK).fingerprint()
    finally:
        keys.write_text(allowed)


def test_a_board_that_is_not_there_is_said_at_once(board: Board, model_file: Path) -> None:
    meter = open_meter("ssh://board:1", QUICK)
    with pytest.raises(MeasurementError, match=r"no way to 'board:1'.*Connection refused") as caught:
        meter.measure(model_file, write_conv_model(model_file))
    assert not isinstance(caught.value, TargetLostError)


def test_absent_python_is_said(board: Board) -> None:
    with pytest.raises(MeasurementError, match=r"(?s)/no/such/python.*not found.*'python='?"):
        open_meter("ssh://board?python=/no/such/python", QUICK).fingerprint()


@pytest.mark.parametrize(
    "url",
    [
        "ssh://-oProxyCommand=touch@board",
        "ssh://-Fother",
        "ssh://user:secret@board",
        "ssh://board;reboot",
        "ssh://board:0",
        "ssh://board:70000",
        "ssh://board/path",
        "ssh://",
        "ssh://board?python=python3;reboot",
        "ssh://board?python=-c",
        "local?python=/usr/bin/python3",
    ],
)
def test_hosts_that_are_no_hosts(url: str) -> None:
    with pytest.raises(ConfigError):
        Target.parse(url)


@pytest.mark.parametrize("url", ["ssh://u@h:22?python=/opt/my-env/bin/python3.8", "ssh://[::1]:2222"])
def test_ssh_target_survives_its_url(url: str) -> None:
    target = Target.parse(url)
    assert Target.parse(target.url) == target
    assert replace(target, host="other") != target


@pytest.mark.parametrize("layout", LAYOUTS)
def test_external_data_is_sent_with_the_graph(
    board: Board, transport: SshTransport, tmp_path: Path, layout: str
) -> None:
    model = tmp_path / "a model; 'of' mine.onnx"
    write_external_model(model, layout)
    there = Path(transport.place_model(model))
    identity = sha256_of_model(model)
    assert there == board.home / ".cache" / "hwnas" / "models" / identity / f"{identity}.onnx"
    assert sha256_of_model(there) == identity
    arrived = {path: path.stat().st_ino for path in there.parent.rglob("*") if path.is_file()}
    assert len(arrived) == len(list(tmp_path.rglob("*.bin"))) + 1
    assert transport.place_model(model) == str(there)
    assert {path: path.stat().st_ino for path in arrived} == arrived
    damaged = next(there.parent.rglob("*.bin"))
    damaged.write_bytes(b"damaged")
    transport.place_model(model)
    assert sha256_of_model(there) == identity


def test_a_model_with_external_data_is_measured_on_the_board(board: Board, tmp_path: Path) -> None:
    io_spec = write_external_model(tmp_path / "model.onnx", "below", seed=1)
    with open_meter(board.url, QUICK) as meter:
        found = meter.measure(tmp_path / "model.onnx", io_spec)
    assert found.latency_ms > 0
    assert found.model_sha256 == sha256_of_model(tmp_path / "model.onnx")


def test_nothing_is_sent_of_a_model_that_is_not_whole(
    board: Board, transport: SshTransport, tmp_path: Path
) -> None:
    write_external_model(tmp_path / "model.onnx", "a file each", seed=2)
    models = board.home / ".cache" / "hwnas" / "models"
    before = set(models.iterdir()) if models.is_dir() else set()
    (tmp_path / "weight1.bin").write_bytes(b"short")
    with pytest.raises(MeasurementError, match=r"weight1\.bin' has 5 bytes"):
        transport.place_model(tmp_path / "model.onnx")
    (tmp_path / "weight1.bin").unlink()
    (tmp_path / "weight1.bin").symlink_to("/etc/passwd")
    with pytest.raises(MeasurementError, match="leads out of the model's directory"):
        transport.place_model(tmp_path / "model.onnx")
    assert (set(models.iterdir()) if models.is_dir() else set()) == before


HOLDER = """
import sys, time
from hwnas.latency.target import Target
from hwnas.latency.transports.ssh import SshTransport
transport = SshTransport(Target.parse(sys.argv[1]), "hwnas.latency.backends.onnxruntime")
agent = transport.start_agent()
print("started", flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_no_client_outlives_a_killed_driver(board: Board, number: signal.Signals) -> None:
    mark = f"{os.getpid()}-{number}"
    driver = subprocess.Popen(
        [sys.executable, "-c", HOLDER, board.url],
        env={**os.environ, "HWNAS_TEST_MARK": mark},
        stdout=subprocess.PIPE,
    )
    assert driver.stdout is not None
    assert driver.stdout.readline() == b"started\n"

    def clients() -> list[int]:
        found = [process for process in psutil.process_iter() if process.pid != driver.pid]
        return [process.pid for process in found if _variable(process, "HWNAS_TEST_MARK") == mark]

    assert len(clients()) >= 2  # the connection, and the agent's client
    driver.send_signal(number)
    driver.wait()
    driver.stdout.close()
    deadline = time.monotonic() + 5
    while clients() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert clients() == []


def _variable(process: psutil.Process, name: str) -> str | None:
    try:
        return process.environ().get(name)
    except psutil.Error:
        return None
