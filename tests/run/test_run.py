"""What a Python user sees of a run."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
import torch

import hwnas
from hwnas.bundle.directory import held_outputs
from hwnas.bundle.purpose import ExportOptions
from hwnas.config import parse_config
from hwnas.search.run_directory import RunDirectory
from tests.bundle import small_lidar
from tests.report import made_up_run
from tests.search.conftest import run_settings

PUBLIC_CLASSES = {"Bundle", "Run", "Runner", "Target"}


def test_importing_is_quick_and_loads_nothing_heavy() -> None:
    code = (
        "import sys, hwnas; "
        "print(sorted({'torch', 'optuna', 'onnx', 'numpy', 'plotly', 'pydantic'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_every_public_name_is_there_and_documented() -> None:
    for name in hwnas.__all__:
        value = getattr(hwnas, name)
        if name != "__version__":
            assert value.__doc__, name
    assert set(hwnas.__all__) <= set(dir(hwnas))
    assert {name for name in hwnas.__all__ if isinstance(getattr(hwnas, name), type)} >= PUBLIC_CLASSES
    with pytest.raises(AttributeError, match="no attribute 'Runs'"):
        _ = hwnas.Runs


@pytest.mark.slow
@pytest.mark.usefixtures("tiny_plugin")
def test_a_run_from_a_mapping_to_its_report(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    before = process_state()
    run = hwnas.Run.create(run_settings(), tmp_path / "run")
    assert not run.path.exists(), "nothing is written before the search"
    with pytest.raises(hwnas.StudyError, match=r"front\.json does not exist"):
        _ = run.front
    seen = []
    result = run.search(progress=seen.append)
    assert seen[-1].trained == 3
    assert len(run.front) == len(result.front.members) > 0
    assert run.front.members == result.front.members
    assert [member.error for member in run.front] == sorted(member.error for member in run.front)
    assert run.front.knee in run.front.members
    assert "Candidates: 3 trained" in result._repr_html_()
    assert len(repr(result)) < 1_000 + 1_500 * len(run.front), "shown without samples and fingerprints"
    frame = run.front.to_dataframe()
    assert list(frame["id"]) == [member.id for member in run.front]
    assert frame["latency_ms"].gt(0).all()
    assert any(column.startswith("gene.") for column in frame)

    study = run.study
    assert isinstance(study, optuna.Study)
    assert len([trial for trial in study.trials if trial.state.name == "COMPLETE"]) >= 3
    study.add_trial(study.trials[0])
    assert len(run.study.trials) == len(study.trials) - 1, "a copy"

    again = hwnas.Run.open(run.path)
    assert again.config == run.config
    trained = again.train("knee", progress=False)
    assert [member.id for member in trained.networks] == [member.id for member in again.trained]
    assert trained.front == again.trained
    assert trained._repr_html_() == again.trained._repr_html_()
    assert all(member.weights.is_file() for member in again.trained)
    page = again.report()
    assert page == run.path / "report.html"
    assert page.is_file()
    assert "Pareto front after full training" in again._repr_html_()
    assert process_state() == before
    assert not [record for record in caplog.records if record.name.startswith("optuna")]

    with pytest.raises(hwnas.StudyError, match=r"Run\.open"):
        hwnas.Run.create(run_settings(), run.path)
    more = again.search(progress=False)
    assert more.ending
    assert len(again.study.trials) == len(run.study.trials)


@pytest.mark.slow
@pytest.mark.usefixtures("tiny_plugin", "forked_workers")
def test_a_run_in_a_thread_needs_no_signals(tmp_path: Path) -> None:
    results = []

    def search() -> None:
        run = hwnas.Run.create(run_settings(search__trials=1), tmp_path / "run")
        results.append(run.search(progress=False))

    thread = threading.Thread(target=search)
    thread.start()
    thread.join()
    assert len(results[0].front) == 1


def process_state() -> dict[str, object]:
    """What a library must not change for its caller."""
    import gc

    return {
        "signals": {
            number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        },
        "environment": dict(os.environ),
        "threads": torch.get_num_threads(),
        "gc": (gc.isenabled(), gc.get_threshold(), gc.get_freeze_count()),
        "optuna": optuna.logging.get_verbosity(),
        "root level": logging.getLogger().level,
        "last resort": logging.lastResort.formatter if logging.lastResort else None,
        "directory": Path.cwd(),
        "umask": umask(),
        "torch random": torch.random.get_rng_state().sum().item(),
    }


def umask() -> int:
    value = os.umask(0)
    os.umask(value)
    return value


def test_figures_of_a_run_are_plotly_figures(tmp_path: Path) -> None:
    made_up_run.write_run(tmp_path / "run", tmp_path / "data")
    run = hwnas.Run.open(tmp_path / "run")
    front = run.plot_front()
    names = [trace.name for trace in front.data]
    assert "trained candidate" in names
    assert any(str(name).startswith("front of the search") for name in names)
    assert len(run.plot_hypervolume().data[0].x) == len(run.directory.read_front()["hypervolume_history"])
    assert run.plot_losses().to_dict()["layout"]
    assert json.loads(run.plot_predictions().to_json())["layout"]


def test_a_front_in_a_notebook_is_escaped(tmp_path: Path) -> None:
    made_up_run.write_run(tmp_path / "run <b>", tmp_path / "data")
    html = hwnas.Run.open(tmp_path / "run <b>")._repr_html_()
    assert "<b>" not in html
    assert "run &lt;b&gt;" in html


@pytest.fixture
def small_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> hwnas.Run:
    small_lidar.register(monkeypatch)
    return hwnas.Run.open(small_lidar.write_run(tmp_path / "run"))


def test_an_export_beside_another_is_refused_before_it_works(
    small_run: hwnas.Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hwnas.run.export.check_network", lambda *_: pytest.fail("must not begin to work"))
    names = [path.stem for path in small_run.directory.checkpoints_dir.iterdir()]
    with (
        held_outputs([small_run.path / "bundles" / names[0]]),
        pytest.raises(hwnas.ExportError, match="Another export writes"),
    ):
        small_run.export(progress=False)


@pytest.mark.slow
def test_bundles_are_exported_verified_and_run(small_run: hwnas.Run) -> None:
    reported = []
    bundles = small_run.export(precision=["fp32", "int8"], progress=reported.append)
    assert [status.number for status in reported] == [1, 2]
    assert [bundle.path for bundle in bundles] == [
        small_run.path / "bundles" / b.architecture_id for b in bundles
    ]
    assert {bundle.path for bundle in small_run.bundles} == {bundle.path for bundle in bundles}
    first = bundles[0]
    assert 0 < first.quality.value < 1
    assert first.latency.latency_ms > 0
    precisions = {candidate.precision for candidate in first.candidates}
    assert set(first.precisions) >= {"fp32", "int8"}
    int8 = first.precisions["int8"]
    assert 0 < int8.quality.value < 1
    assert int8.file.is_file()
    drop = 100 * (first.precisions["fp32"].quality.value - int8.quality.value)
    assert int8.drop_points == pytest.approx(drop)
    assert int8.latency is not None
    assert int8.ratio is not None
    assert precisions - {"mixed"} == {"fp32", "int8"}, "mixed is there where int8 loses too much"
    found = first.verify(settings=hwnas_settings())
    assert (first.path / "verification.json").is_file()
    assert {check.name for check in found.checks} >= {"files", "identity"}
    points, intensity, _ = small_lidar.make_scan(0)
    assert len(first.runner().label(points, intensity)) == len(points)
    with pytest.raises(hwnas.ExportError, match="exists"):
        small_run.export(progress=False)
    with pytest.raises(hwnas.ConfigError, match="selects none"):
        small_run.export("latency<=0.0001", progress=False)


def hwnas_settings() -> object:
    from hwnas.bundle.verification.result import VerificationSettings

    return VerificationSettings(parity_inputs=1, latency_tolerance=10.0, latency_attempts=1)


def test_a_run_without_bundles_cannot_be_verified(small_run: hwnas.Run) -> None:
    assert small_run.bundles == ()
    with pytest.raises(hwnas.StudyError, match="no bundle"):
        small_run.verify()


def test_paths_in_a_mapping_count_from_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    task = {"name": "lidar-segmentation", "data": "scans", "label_map": "merged-8"}
    with pytest.raises(hwnas.ConfigError, match="scans"):
        hwnas.Run.create({"task": task})
    write_data(tmp_path / "scans")
    run = hwnas.Run.create({"task": task})
    assert run.config.task.settings["data"] == str(tmp_path / "scans")
    assert run.path == tmp_path / "run"
    assert not RunDirectory(run.path).exists


def test_paths_of_a_configuration_count_from_the_working_directory_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_data(tmp_path / "scans")
    config = parse_config({"task": {"name": "lidar-segmentation", "data": "scans", "label_map": "merged-8"}})
    run = hwnas.Run.create(config, "elsewhere/run")
    # Kept as it is, it would mean `elsewhere/run/scans` once the run file is read back.
    assert run.config.task.settings["data"] == str(tmp_path / "scans")
    with pytest.raises(hwnas.ConfigError, match="no_scans"):
        hwnas.Run.create(parse_config({"task": {"name": "lidar-segmentation", "data": "no_scans"}}))


@pytest.mark.parametrize("form", ["mapping", "file", "RunConfig"])
@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"target": "local?backend=tensorflow"}, hwnas.PluginError, "tensorflow"),
        ({"target": "usb?threads=1"}, hwnas.ConfigError, "A target is written"),
        ({"task": {"label_map": "merged-9"}}, hwnas.DataError, "Did you mean 'merged-8'"),
        ({"space": {"name": "range-net"}}, hwnas.PluginError, "Did you mean 'range-unet'"),
        ({"space": {"choices": {"stem": ["x"]}}}, hwnas.ConfigError, "'stem'"),
        ({"search": {"strategy": "surogate"}}, hwnas.PluginError, "Did you mean 'surrogate'"),
        ({"search": {"strategy": {"name": "tpe", "sede": 1}}}, hwnas.ConfigError, "sede"),
        ({"search": {"estimator": "synflow"}}, hwnas.ConfigError, "orders networks"),
        ({"search": {"executor": "slurm"}}, hwnas.PluginError, "slurm"),
        ({"search": {"executor": {"name": "local", "gpus": 1}}}, hwnas.ConfigError, "gpus"),
        ({"training": {"trainer": "maml"}}, hwnas.PluginError, "maml"),
        ({"measuring": {"final": {"options": {"level": 3}}}}, hwnas.ConfigError, "level"),
    ],
)
def test_everything_that_a_run_names_is_tried_when_it_is_created(
    tmp_path: Path,
    small_scans: Path,
    form: str,
    changes: dict[str, Any],
    error: type[Exception],
    message: str,
) -> None:
    task = {"name": "lidar-segmentation", "data": str(small_scans), "label_map": "merged-8"}
    settings = {**changes, "task": {**task, **changes.get("task", {})}}
    source: Any = settings
    if form == "RunConfig":
        source = parse_config(settings)
    elif form == "file":
        source = tmp_path / "run.yaml"
        source.write_text(json.dumps(settings))
    before = torch.random.get_rng_state()
    with pytest.raises(error, match=message):
        hwnas.Run.create(source, tmp_path / "new")
    assert not (tmp_path / "new").exists()
    with pytest.raises(error, match=message):
        run_of(settings, tmp_path / "new").search(progress=False)
    assert not (tmp_path / "new").exists(), "no directory is left behind by a search either"
    assert torch.equal(torch.random.get_rng_state(), before)


def run_of(settings: dict[str, Any], path: Path) -> hwnas.Run:
    """A run that nothing was tried of, as the command line makes it."""
    return hwnas.Run(path, parse_config(settings))


def write_data(directory: Path) -> None:
    """Write one labelled scan for each split, as SemanticKITTI lays them out."""
    for sequence in ("00", "08"):
        for folder in ("velodyne", "labels"):
            (directory / "sequences" / sequence / folder).mkdir(parents=True, exist_ok=True)
        points = np.full((8, 4), 2.0, np.float32)
        points.tofile(directory / "sequences" / sequence / "velodyne" / "000000.bin")
        np.full(8, 40, np.uint32).tofile(directory / "sequences" / sequence / "labels" / "000000.label")


@pytest.fixture(scope="session")
def small_scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("data") / "scans"
    write_data(directory)
    return directory


@pytest.mark.parametrize("form", [str, lambda text: text.split(",")], ids=["text", "list"])
def test_names_may_be_a_text_as_on_the_command_line(
    small_run: hwnas.Run, monkeypatch: pytest.MonkeyPatch, form: Callable[[str], Any]
) -> None:
    asked: list[ExportOptions] = []
    monkeypatch.setattr("hwnas.run.export.export_run", lambda _, options, **__: asked.append(options) or ())
    small_run.export(precision=form("int8,fp32"), integrations=form("isaac-ros"), progress=False)
    assert asked[0].precision is not None
    assert asked[0].precision.wanted == ("fp32", "int8")
    assert set(asked[0].integrations) == {"triton", "isaac-ros"}, "as `--for isaac-ros` brings it"


def test_wrong_keys_are_named(tmp_path: Path) -> None:
    with pytest.raises(hwnas.ConfigError, match="serach"):
        hwnas.Run.create({"serach": {}}, tmp_path / "run")


def test_opening_nothing_says_how_to_begin(tmp_path: Path) -> None:
    with pytest.raises(hwnas.StudyError, match=r"run\.yaml"):
        hwnas.Run.open(tmp_path)
