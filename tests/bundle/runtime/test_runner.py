import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from hwnas.bundle.export import export_bundle
from hwnas.bundle.runtime.onnx_predictor import OnnxPredictor
from hwnas.bundle.runtime.processor import SupportsResultWarnings
from hwnas.bundle.runtime.runner import Runner
from hwnas.bundle.trained_member import TrainedMember
from hwnas.errors import BundleError, DataError
from hwnas.files import sha256_of_file
from hwnas.metrics.confusion import confusion_matrix, mean_iou
from hwnas.range_view.knn import labels_of_points
from hwnas.range_view.projection import network_input, project
from hwnas.scan import DataWarning
from tests.bundle import small_lidar
from tests.bundle.made_up_bundle import manifest_of, rewrite_manifest
from tests.bundle.small_lidar import FixedMeter, SmallSpace, SmallTask, make_scan, write_run

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = write_run(tmp_path_factory.mktemp("runner") / "run", widths=(8,))
    member = TrainedMember.from_json(json.loads((run / "trained.json").read_text())["members"][0], run)
    task = SmallTask({})
    return export_bundle(task, SmallSpace(task.contract, {}), member, run / "b", meter=FixedMeter())


@pytest.fixture(scope="module")
def runner(bundle: Path) -> Runner:
    return Runner(bundle)


def test_labels_are_those_that_the_network_was_evaluated_by(runner: Runner) -> None:
    matrix = np.zeros((3, 3), np.int64)
    for seed in range(3):
        points, intensity, truth = make_scan(seed)
        matrix += confusion_matrix(truth, runner.label(points, intensity), 3)
    assert mean_iou(matrix) == pytest.approx(runner.manifest.content["quality"]["value"], abs=1e-6)


def test_points_without_a_direction_get_no_label_and_disturb_no_other(runner: Runner) -> None:
    points, intensity, _ = make_scan(0)
    expected = runner.label(points, intensity)
    where = [0, 1000, len(points)]
    more = np.insert(points, where, [[np.nan, 0, 0], [0, 0, 0], [1, np.inf, 0]], axis=0)
    result = runner.segment(more, np.insert(intensity, where, 0.0))
    extra = [where[0], where[1] + 1, where[2] + 2]
    assert not result.has_direction[extra].any()
    assert (result.labels[extra] == 255).all()
    np.testing.assert_array_equal(np.delete(result.labels, extra), expected)
    assert result.image.method == "ring"


def test_intensity_is_scaled_from_the_sensors_range(runner: Runner) -> None:
    points, intensity, _ = make_scan(0)
    image = project(points, intensity / np.float32(255), small_lidar.SPEC)
    predict = OnnxPredictor(runner.manifest.model_path)
    pixels = predict({"range_image": network_input(image, small_lidar.NORMALISATION)[None]})["logits"]
    pixels = pixels[0].argmax(axis=0).astype(np.uint8)
    expected = labels_of_points(pixels, image, small_lidar.KNN, 3)
    np.testing.assert_array_equal(runner.label(points, intensity), expected)
    with pytest.raises(DataError, match=r"0 to 255.*'test-16'"):
        runner.label(points, intensity * 2)


def test_scan_files_are_read(runner: Runner, tmp_path: Path) -> None:
    points, intensity, _ = make_scan(1)
    path = tmp_path / "scan.bin"
    path.write_bytes(np.column_stack([points, intensity]).astype("<f4").tobytes())
    np.testing.assert_array_equal(runner.label_scan(path), runner.label(points, intensity))
    for named in (path, str(path), runner.read(path)):
        np.testing.assert_array_equal(runner.run(named).labels, runner.label(points, intensity))
    scan = runner.as_trained(path)
    np.testing.assert_allclose(scan.remission, intensity / np.float32(255), rtol=1e-6)
    np.testing.assert_array_equal(scan.points, points)
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(DataError, match="multiple"):
        runner.label_scan(path)
    with pytest.raises(DataError, match=r"\.bin"):
        runner.label_scan(tmp_path / "scan.xyz")


def test_running_a_bundle_imports_neither_torch_nor_optuna(bundle: Path, tmp_path: Path) -> None:
    points, intensity, _ = make_scan(2)
    np.savez(tmp_path / "scan.npz", points=points, intensity=intensity)
    script = f"""
import sys
import numpy as np
from hwnas.bundle.runtime.processor import SupportsResultWarnings
from hwnas.bundle.runtime.runner import Runner
scan = np.load({str(tmp_path / "scan.npz")!r})
labels = Runner({str(bundle)!r}).label(scan["points"], scan["intensity"])
labels.tofile({str(tmp_path / "labels")!r})
print(sorted({{"torch", "optuna", "pydantic", "onnx", "yaml"}} & set(sys.modules)))
"""
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout.strip(), result.stderr) == (0, "[]", "")
    np.testing.assert_array_equal(
        np.fromfile(tmp_path / "labels", np.uint8), Runner(bundle).label(points, intensity)
    )


def forge(bundle: Path, directory: Path) -> Path:
    """Copy a bundle, to change it."""
    return shutil.copytree(bundle, directory / "forged")


def rewrite(bundle: Path, content: dict) -> None:
    for name, entry in content["files"].items():
        entry.update(sha256=sha256_of_file(bundle / name), bytes=(bundle / name).stat().st_size)
    rewrite_manifest(bundle, content)


@pytest.mark.parametrize("key", ["projection", "normalisation", "knn", "label_map", "intensity_range"])
def test_bundle_of_another_kind_of_task_is_refused(bundle: Path, tmp_path: Path, key: str) -> None:
    forged = forge(bundle, tmp_path)
    content = manifest_of(forged)
    del content["deployment"][key]
    rewrite(forged, content)
    with pytest.raises(BundleError, match=f"{key}.*small-lidar"):
        Runner(forged)


def test_projection_must_fit_the_network(bundle: Path, tmp_path: Path) -> None:
    forged = forge(bundle, tmp_path)
    content = manifest_of(forged)
    content["deployment"]["projection"]["width"] = 512
    rewrite(forged, content)
    with pytest.raises(BundleError, match="512"):
        Runner(forged)


@pytest.mark.parametrize("content", [b"", b"not a model", None])
def test_what_the_runtime_refuses_is_an_error_of_the_bundle(
    bundle: Path, tmp_path: Path, content: bytes | None
) -> None:
    model = (bundle / "model.onnx").read_bytes()
    path = tmp_path / "model.onnx"
    path.write_bytes(model[: len(model) // 2] if content is None else content)
    with pytest.raises(BundleError, match="cannot load"):
        OnnxPredictor(path)


def test_missing_model_is_an_error_of_the_bundle(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="cannot load"):
        OnnxPredictor(tmp_path / "missing.onnx")


def test_missing_runtime_says_what_to_install(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(BundleError, match=r"hwnas\[cpu\]"):
        Runner(bundle)


def test_models_with_another_interface_are_refused(bundle: Path, tmp_path: Path) -> None:
    model = onnx.load(bundle / "model.onnx")
    model.graph.input[0].type.tensor_type.shape.dim[3].dim_param = "width"
    model.graph.output[0].type.tensor_type.shape.dim[3].dim_param = "width"
    del model.graph.value_info[:]
    onnx.save(model, tmp_path / "dynamic.onnx")
    with pytest.raises(BundleError, match="fixed sizes"):
        OnnxPredictor(tmp_path / "dynamic.onnx")
    with pytest.raises(BundleError, match=r"\(1, 5, 16, 256\)"):
        OnnxPredictor(bundle / "model.onnx")({"range_image": np.zeros((1, 5, 16, 128), np.float32)})


def test_scans_are_read_as_the_files_of_the_training_were_laid_out(bundle: Path, tmp_path: Path) -> None:
    forged = forge(bundle, tmp_path)
    content = manifest_of(forged)
    layout = {"columns": ["x", "y", "z", "intensity", "_"]}
    content["deployment"].update(scan_format={"name": "bin", "options": layout}, frame="y-forward")
    rewrite(forged, content)
    points, intensity, _ = make_scan(1)
    right_forward_up = np.column_stack([-points[:, 1], points[:, 0], points[:, 2], intensity, 0 * intensity])
    path = tmp_path / "scan.bin"
    path.write_bytes(right_forward_up.astype("<f4").tobytes())
    np.testing.assert_array_equal(Runner(forged).label_scan(path), Runner(bundle).label(points, intensity))
    # Millimetres, and the sensor elsewhere than at 0 0 0: points of a file are converted, those of a caller not.
    content["deployment"].update(unit_m=0.001, origin_m=[0.5, 1.0, 1.7])
    rewrite(forged, content)
    runner = Runner(forged)
    stored = np.column_stack([(right_forward_up[:, :3] + [0.5, 1.0, 1.7]) * 1000, right_forward_up[:, 3:]])
    path.write_bytes(stored.astype("<f4").tobytes())
    np.testing.assert_allclose(runner.read_scan(path).points, points, atol=1e-4)
    np.testing.assert_allclose(runner.as_trained(path).points, points, atol=1e-4)
    assert (runner.label_scan(path) == runner.label(points, intensity)).mean() > 0.999
    in_sensor_frame = runner.coordinates.to_sensor_frame(stored[:, :3].astype(np.float32))
    np.testing.assert_array_equal(runner.label_scan(path), runner.label(in_sensor_frame, intensity))
    content["deployment"]["frame"] = "sideways"
    rewrite(forged, content)
    with pytest.raises(BundleError, match="sideways"):
        Runner(forged)


def test_scans_in_deployment_need_no_field_of_labels(bundle: Path, tmp_path: Path) -> None:
    forged = forge(bundle, tmp_path)
    content = manifest_of(forged)
    content["deployment"].update(
        scan_format={"name": "npy", "options": {"intensity": "power", "label": "class"}}
    )
    rewrite(forged, content)
    points, intensity, _ = make_scan(1)
    values = np.zeros(len(points), [("x", "f4"), ("y", "f4"), ("z", "f4"), ("power", "f4")])
    values["x"], values["y"], values["z"], values["power"] = *points.T, intensity
    np.save(tmp_path / "scan.npy", values)
    runner = Runner(forged)
    expected = runner.label(points, intensity)
    np.testing.assert_array_equal(runner.label_scan(tmp_path / "scan.npy"), expected)


class CandidProcessor:
    """Of another task: it says what is unusual about an input once there is a result."""

    input_suffixes, result_suffix = (".npy",), ".npy"

    def read(self, path):
        return np.load(path)

    def check(self, raw):
        return ("said before",)

    def before(self, raw):
        return {"range_image": raw}, None

    def after(self, outputs, context):
        return next(iter(outputs.values())).argmax(axis=1)

    def write(self, result, path):
        return {}

    def picture(self, raw, result, title):
        return b""

    def warnings_of(self, result):
        return (f"said of {result.shape}",)


def test_what_a_processor_finds_on_the_way_is_a_warning_of_any_task(bundle: Path) -> None:
    with Runner(bundle) as runner:
        shape = runner.manifest.io_spec.inputs[0].shape
        runner.processor = CandidProcessor()
        assert isinstance(runner.processor, SupportsResultWarnings)
        with pytest.warns(DataWarning) as found:
            runner.run(np.zeros(shape, np.float32))
    assert [str(one.message) for one in found] == ["said before", f"said of (1, {shape[2]}, {shape[3]})"]
    assert {one.filename for one in found} == {__file__}, "where the runner was called"
