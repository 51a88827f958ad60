from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from hwnas.errors import ConfigError, MeasurementError
from hwnas.files import sha256_of_file
from hwnas.latency.measure.jobs.job import JobSettings, emit_job
from hwnas.latency.measure.jobs.results import ingest_job
from hwnas.latency.measure.reference import REFERENCE_SHA256
from hwnas.latency.measurement import LatencyMeasurement
from hwnas.testing.onnx_models import write_conv_model, write_conv_relu, write_unknown_operator

FAKE = Path(__file__).parents[2] / "backends" / "fake_trtexec.py"
QUICK = JobSettings(processes=2, iterations=10, duration_s=0, warmup_ms=1)


@pytest.fixture
def job(tmp_path: Path) -> Path:
    write_conv_model(tmp_path / "small.onnx")
    write_unknown_operator(tmp_path / "odd.onnx")
    models = [tmp_path / "small.onnx", tmp_path / "odd.onnx"]
    emit_job(models, tmp_path / "job", settings=QUICK)
    return tmp_path / "job"


def run_on_board(
    job: Path, tmp_path: Path, *, shell: str = "sh", **environment: str
) -> subprocess.CompletedProcess:
    """Run the script as a board would, with a stand-in for trtexec."""
    program = tmp_path / "trtexec"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{FAKE}" "$@"\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    settings = {
        "PATH": os.environ["PATH"],
        "TRTEXEC": str(program),
        "FAKE_TRTEXEC_LOG": str(tmp_path / "calls.jsonl"),
        "HWNAS_MEASURING_LOCK": str(tmp_path / "lock"),
        **environment,
    }
    return subprocess.run(
        [shell, str(job / "run.sh")],
        env=settings,
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


@pytest.mark.parametrize("shell", ["sh", "dash", "bash"])
def test_script_is_valid(job: Path, shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell}")
    subprocess.run([shell, "-n", str(job / "run.sh")], check=True)
    assert "@" not in (job / "run.sh").read_text().replace('"$@"', ""), "a mark was not replaced"


def test_script_satisfies_shellcheck(job: Path) -> None:
    if shutil.which("shellcheck") is None:
        pytest.skip("no shellcheck")
    done = subprocess.run(
        ["shellcheck", "-s", "sh", str(job / "run.sh")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("banner", ["[TensorRT v101602] [b10]", "[TensorRT v11.1.0.106] [b48]"])
def test_there_and_back(job: Path, tmp_path: Path, banner: str) -> None:
    done = run_on_board(job, tmp_path, FAKE_TRTEXEC_BANNER=banner)
    assert done.returncode == 0, done.stderr
    found = ingest_job(job)
    assert set(found.measurements) == {"small"}
    assert "Levitate" in found.failures["odd"]
    small = found.measurements["small"]
    assert small.model_sha256 == sha256_of_file(tmp_path / "small.onnx")
    assert len(small.samples_ms) == 2
    assert all(len(run) >= 10 for run in small.samples_ms)
    assert small.ratio_interval[0] <= small.ratio <= small.ratio_interval[1]
    assert small.reference.sha256 == REFERENCE_SHA256
    expected = "10.16.2.10" if "1016" in banner else "11.1.0.106"
    assert small.fingerprint["backend_versions"] == {"trtexec": expected}
    assert small.fingerprint["build"]["typing"] == "strong"
    assert small.fingerprint["kernel"]
    written = json.loads((job / "measurements.json").read_text())
    assert LatencyMeasurement.from_json(written["measurements"]["small"]).latency_ms == small.latency_ms


def test_reference_is_clocked_beside_every_run(job: Path, tmp_path: Path) -> None:
    assert run_on_board(job, tmp_path).returncode == 0
    calls = [json.loads(line) for line in (tmp_path / "calls.jsonl").read_text().splitlines()]
    runs = [call[0].rpartition("/")[2] for call in calls if call[0].startswith("--loadEngine")]
    assert runs == ["reference.engine", "small.engine"] * 2


def test_second_start_measures_only_what_is_missing(job: Path, tmp_path: Path) -> None:
    assert run_on_board(job, tmp_path).returncode == 0
    before = len((tmp_path / "calls.jsonl").read_text().splitlines())
    (job / "results" / "small.2.json").unlink()
    assert run_on_board(job, tmp_path).returncode == 0
    calls = [json.loads(line)[0] for line in (tmp_path / "calls.jsonl").read_text().splitlines()[before:]]
    assert [call for call in calls if "loadEngine" in call] == [
        "--loadEngine=engines/reference.engine",
        "--loadEngine=engines/small.engine",
    ]
    assert not [call for call in calls if call.endswith(("small.onnx", "reference.onnx"))]
    assert ingest_job(job).measurements


def test_old_version_falls_back_to_weak_typing(job: Path, tmp_path: Path) -> None:
    settings = {"FAKE_TRTEXEC_BANNER": "[TensorRT v100300] [b26]", "FAKE_TRTEXEC_FAULT": "no strong typing"}
    assert run_on_board(job, tmp_path, **settings).returncode == 0
    assert ingest_job(job).measurements["small"].fingerprint["build"]["typing"] == "weak"


@pytest.mark.parametrize(
    ("environment", "reason"),
    [
        ({"TRTEXEC": "/no/such/trtexec"}, "trtexec not found"),
        ({"FAKE_TRTEXEC_BANNER": "[TensorRT v120000] [b1]"}, "TensorRT 12 is not supported"),
        ({"FAKE_TRTEXEC_BANNER": "nonsense"}, "does not say its version"),
    ],
)
def test_board_that_cannot_measure(
    job: Path, tmp_path: Path, environment: dict[str, str], reason: str
) -> None:
    done = run_on_board(job, tmp_path, **environment)
    assert done.returncode == 1
    assert reason in done.stderr
    with pytest.raises(MeasurementError, match="was not run to its end"):
        ingest_job(job)


def test_model_damaged_on_the_way_is_not_measured(job: Path, tmp_path: Path) -> None:
    with (job / "models" / "small.onnx").open("ab") as stream:
        stream.write(b"x")
    done = run_on_board(job, tmp_path)
    assert done.returncode == 1
    assert "not what was sent" in done.stderr


def test_another_version_does_not_mix(job: Path, tmp_path: Path) -> None:
    assert run_on_board(job, tmp_path).returncode == 0
    done = run_on_board(job, tmp_path, FAKE_TRTEXEC_BANNER="[TensorRT v110100] [b1]")
    assert done.returncode == 1
    assert "remove results" in done.stderr


@pytest.fixture
def came_back(job: Path, tmp_path: Path) -> Path:
    assert run_on_board(job, tmp_path).returncode == 0
    return job


def test_changed_report_is_refused(came_back: Path) -> None:
    report = came_back / "results" / "small.1.json"
    report.write_text(report.read_text().replace('"latencyMs": ', '"latencyMs": 0.'))
    with pytest.raises(MeasurementError, match=r"small\.1\.json' is not what the board wrote"):
        ingest_job(came_back)


@pytest.mark.parametrize(
    "name", ["small.built", "odd.failed", "trtexec.txt", "state-start/uname.txt", "state-end/uname.txt"]
)
def test_all_that_is_read_is_hashed(came_back: Path, name: str) -> None:
    with (came_back / "results" / name).open("a") as stream:
        stream.write("more\n")
    with pytest.raises(MeasurementError, match=f"{name}' is not what the board wrote"):
        ingest_job(came_back)
    (came_back / "results" / name).unlink()
    with pytest.raises(MeasurementError, match=f"{name}' is not what the board wrote"):
        ingest_job(came_back)


@pytest.mark.parametrize(
    "name", ["odd.1.json", "small.failed", "state-end/sys/class/hwmon/hwmon9/oc1_event_cnt"]
)
def test_what_the_board_did_not_list_is_refused(came_back: Path, name: str) -> None:
    path = came_back / "results" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("7\n")
    with pytest.raises(MeasurementError, match=f"'results/{name}' is not among the files"):
        ingest_job(came_back)


def test_linked_directory_is_refused(came_back: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (came_back / "results" / "state-end" / "sys2").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(MeasurementError, match=r"state-end/sys2' is not among"):
        ingest_job(came_back)


def test_list_that_lists_nothing_is_refused(came_back: Path) -> None:
    (came_back / "results" / "SHA256SUMS").write_text("")
    with pytest.raises(MeasurementError, match=r"must list all.*trtexec\.txt"):
        ingest_job(came_back)


def list_anew(job: Path) -> None:
    """Write the hashes as the board would have, had it found this."""
    results = job / "results"
    (results / "SHA256SUMS").unlink()
    names = sorted(path.relative_to(results) for path in results.rglob("*") if path.is_file())
    lines = [f"{sha256_of_file(results / name)}  ./{name}\n" for name in names]
    (results / "SHA256SUMS").write_text("".join(lines))


def test_changed_model_is_refused(came_back: Path) -> None:
    (came_back / "models" / "small.onnx").write_bytes(b"other")
    with pytest.raises(MeasurementError, match="'small' of the job was changed"):
        ingest_job(came_back)


def test_too_few_samples_are_refused(came_back: Path) -> None:
    content = json.loads((came_back / "job.json").read_text())
    content["settings"]["iterations"] = 10_000
    (came_back / "job.json").write_text(json.dumps(content))
    assert "asks for 10000" in ingest_job(came_back).failures["small"]


def test_throttling_discards_the_figures(came_back: Path) -> None:
    for name, count in (("state-start", 3), ("state-end", 5)):
        chip = came_back / "results" / name / "sys/class/hwmon/hwmon9"
        chip.mkdir(parents=True)
        (chip / "oc1_event_cnt").write_text(f"{count}\n")
    list_anew(came_back)
    with pytest.raises(MeasurementError, match="oc1_event_cnt rose by 2"):
        ingest_job(came_back)


def test_changed_power_mode_is_refused(came_back: Path) -> None:
    for name, mode in (("state-start", 0), ("state-end", 1)):
        path = came_back / "results" / name / "var/lib/nvpmodel/status"
        path.parent.mkdir(parents=True)
        path.write_text(f"pmode:{mode:04d}\n")
    list_anew(came_back)
    with pytest.raises(MeasurementError, match="'power_mode'"):
        ingest_job(came_back)


@pytest.mark.parametrize("name", ["a b", "a'b", "$(touch x)", "-rf", "reference", "reference.a", "ä"])
def test_names_that_a_shell_could_misread_are_refused(tmp_path: Path, name: str) -> None:
    write_conv_relu(tmp_path / f"{name}.onnx")
    with pytest.raises(ConfigError, match="cannot be used in a job"):
        emit_job([tmp_path / f"{name}.onnx"], tmp_path / "job")
    assert not (tmp_path / "job").exists()


def test_jobs_that_cannot_be_written(tmp_path: Path) -> None:
    model = tmp_path / "base.onnx"
    write_conv_relu(model)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(ConfigError, match="new or empty directory"):
        emit_job([model], tmp_path / "full")
    with pytest.raises(ConfigError, match="at least one model"):
        emit_job([], tmp_path / "job")
    with pytest.raises(ConfigError, match="Two models"):
        emit_job([model, model], tmp_path / "job")
    (tmp_path / "text.onnx").write_text("no network")
    with pytest.raises(MeasurementError, match="no whole ONNX file"):
        emit_job([tmp_path / "text.onnx"], tmp_path / "job")
    with pytest.raises(ConfigError, match=r"'processes' must lie in 1\.\.100"):
        JobSettings(processes=0)


def test_directory_without_a_job(tmp_path: Path) -> None:
    with pytest.raises(MeasurementError, match=r"job\.json"):
        ingest_job(tmp_path)
