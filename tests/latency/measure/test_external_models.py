"""Models whose weights lie in files beside them, everywhere that models are measured or carried to."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from hwnas.errors import MeasurementError, ModelFileError
from hwnas.latency.backends.engine_cache import DIRECTORY_VARIABLE
from hwnas.latency.backends.errors import AgentError
from hwnas.latency.backends.onnxruntime import OnnxRuntimeCpu
from hwnas.latency.backends.tensorrt_rtx import compile_for
from hwnas.latency.backends.torch_reference import TorchReference
from hwnas.latency.backends.trtexec import Trtexec
from hwnas.latency.measure.jobs.job import emit_job
from hwnas.latency.measure.jobs.results import ingest_job
from hwnas.latency.measure.meter import open_meter
from hwnas.latency.measure.model_files import model_and_io
from hwnas.latency.measure.protocol import MeasuringProtocol
from hwnas.latency.measure.resources import measure_resources
from hwnas.model_files.external_data import sha256_of_model
from hwnas.testing.onnx_models import LAYOUTS, write_conv_model, write_external_model
from tests.latency.backends.rtx import needs_rtx
from tests.latency.measure.jobs.test_job import QUICK as QUICK_JOB
from tests.latency.measure.jobs.test_job import run_on_board
from tests.latency.measure.test_meter import QUICK

LOCAL = "local?backend=onnxruntime-cpu&threads=1"


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("make", [OnnxRuntimeCpu, TorchReference])
def test_backends_compute_with_external_weights(tmp_path: Path, layout: str, make: type) -> None:
    (tmp_path / "inside").mkdir()
    write_conv_model(tmp_path / "inside.onnx")
    write_external_model(tmp_path / "inside" / "m.onnx", layout)
    image = np.random.default_rng(0).standard_normal((1, 5, 16, 64)).astype(np.float32)
    found = []
    for path in (tmp_path / "inside.onnx", tmp_path / "inside" / "m.onnx"):
        backend = make(1)
        backend.load(str(path))
        backend.bind({"image": image})
        backend.run()
        found += backend.outputs().values()
    np.testing.assert_allclose(found[0], found[1], rtol=1e-5, atol=1e-4)


def test_local_measurements_are_of_all_files(tmp_path: Path) -> None:
    io_spec = write_external_model(tmp_path / "m.onnx", "below")
    with open_meter(LOCAL, QUICK) as meter:
        measured = meter.measure(tmp_path / "m.onnx", io_spec)
    assert measured.model_sha256 == sha256_of_model(tmp_path / "m.onnx")
    meter = open_meter(LOCAL, MeasuringProtocol(processes=1))
    use = measure_resources(meter, tmp_path / "m.onnx", io_spec, idle_s=0.01, busy_s=0.01)
    size_bytes = sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())
    assert use.model_size_mb == pytest.approx(size_bytes / 2**20)
    with meter.alone(tmp_path / "m.onnx") as (ask, path):
        kernels = ask("kernels", model=path, io_spec=io_spec.to_json(), seed=0, runs=2)["kernels"]
    assert [kernel["operator"] for kernel in kernels if "Conv" in kernel["operator"]] == ["Conv", "Conv"]


def test_what_is_amiss_is_said_before_anything_is_measured(tmp_path: Path) -> None:
    io_spec = write_external_model(tmp_path / "m.onnx")
    (tmp_path / "weights.bin").unlink()
    with open_meter(LOCAL, QUICK) as meter, pytest.raises(ModelFileError, match=r"weights\.bin.*Copy all"):
        meter.measure(tmp_path / "m.onnx", io_spec)
    with pytest.raises(MeasurementError, match=r"weights\.bin.*Copy all"):
        model_and_io(tmp_path / "m.onnx")
    with pytest.raises(MeasurementError, match=r"weights\.bin.*Copy all"):
        emit_job([tmp_path / "m.onnx"], tmp_path / "job")
    assert not (tmp_path / "job").exists()
    with pytest.raises(AgentError, match=r"weights\.bin.*Copy all"):
        OnnxRuntimeCpu(1).load(str(tmp_path / "m.onnx"))


def test_jobs_carry_all_files(tmp_path: Path) -> None:
    models = []
    for index, layout in enumerate(LAYOUTS):
        (tmp_path / str(index)).mkdir()
        models.append(tmp_path / str(index) / f"net{index}.onnx")
        write_external_model(models[-1], layout, seed=index)
    write_conv_model(tmp_path / "plain.onnx")
    emit_job([*models, tmp_path / "plain.onnx"], tmp_path / "job", settings=QUICK_JOB)
    for model in models:
        model.unlink()  # the job needs nothing of what it was made from
    done = run_on_board(tmp_path / "job", tmp_path)
    assert done.returncode == 0, done.stderr
    shutil.rmtree(tmp_path / "job" / "engines")
    built = [json.loads(line) for line in (tmp_path / "calls.jsonl").read_text().splitlines()]
    graphs = [call[0] for call in built if call[0].startswith("--onnx=")]
    assert graphs[1:] == [
        *(f"--onnx=models/net{index}.files/net{index}.onnx" for index in range(3)),
        "--onnx=models/plain.onnx",
    ]
    job = json.loads((tmp_path / "job" / "job.json").read_text())
    assert len(job["models"]["net2"]["files"]) == 3


def test_changed_external_data_of_a_job_is_found(tmp_path: Path) -> None:
    write_external_model(tmp_path / "net.onnx", "below")
    emit_job([tmp_path / "net.onnx"], tmp_path / "job", settings=QUICK_JOB)
    weights = tmp_path / "job" / "models" / "net.files" / "deep" / "er" / "weight0.bin"
    content = weights.read_bytes()
    weights.write_bytes(content[:-1] + b"x")
    done = run_on_board(tmp_path / "job", tmp_path)
    assert done.returncode != 0
    assert "a model is not what was sent" in done.stderr
    with pytest.raises(MeasurementError, match="'net' of the job was changed"):
        ingest_job(tmp_path / "job")


def test_an_engine_of_other_weights_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "trtexec"
    fake = Path(__file__).parents[1] / "backends" / "fake_trtexec.py"
    import sys

    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{fake}" "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("FAKE_TRTEXEC_LOG", str(tmp_path / "calls.jsonl"))
    monkeypatch.setenv(DIRECTORY_VARIABLE, str(tmp_path / "engines"))

    def builds() -> int:
        Trtexec(1, program=str(program)).load(str(tmp_path / "m.onnx"))
        return (tmp_path / "calls.jsonl").read_text().count("--onnx=")

    write_external_model(tmp_path / "m.onnx")
    assert [builds(), builds()] == [1, 1]
    graph = (tmp_path / "m.onnx").read_bytes()
    write_external_model(tmp_path / "m.onnx", seed=1)
    assert (tmp_path / "m.onnx").read_bytes() == graph
    assert builds() == 2


@needs_rtx
@pytest.mark.parametrize("layout", LAYOUTS)
def test_engines_are_built_of_external_weights(tmp_path: Path, layout: str) -> None:
    write_conv_model(tmp_path / "inside.onnx")
    (tmp_path / "m").mkdir()
    write_external_model(tmp_path / "m" / "m.onnx", layout)
    engines = [
        compile_for(str(path), ["SM86"], str(tmp_path / "engine"))["engine_bytes"]
        for path in (tmp_path / "inside.onnx", tmp_path / "m" / "m.onnx")
    ]
    assert engines[0] == engines[1]
    next((tmp_path / "m").rglob("*.bin")).unlink()
    with pytest.raises(AgentError, match="Copy all files of the model together"):
        compile_for(str(tmp_path / "m" / "m.onnx"), ["SM86"], str(tmp_path / "engine"))
