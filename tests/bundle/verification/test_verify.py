import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hwnas.bundle.export import export_bundle
from hwnas.bundle.trained_member import TrainedMember
from hwnas.bundle.verification.json_values import is_same
from hwnas.bundle.verification.parity import compare
from hwnas.bundle.verification.verify import verify_bundle
from hwnas.errors import BundleError, ConfigError
from hwnas.files import read_checked_json, sha256_of_file
from hwnas.training.checkpoint import read_tensors, write_tensors
from tests.bundle import small_lidar
from tests.bundle.made_up_bundle import manifest_of, rewrite_manifest
from tests.bundle.small_lidar import FixedMeter, SmallSpace, SmallTask, write_run

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    small_lidar.register(monkeypatch)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = write_run(tmp_path_factory.mktemp("verify") / "run", widths=(8,))
    member = TrainedMember.from_json(json.loads((run / "trained.json").read_text())["members"][0], run)
    task = SmallTask({})
    return export_bundle(
        task, SmallSpace(task.contract, {}), member, run / "bundles" / "b", meter=FixedMeter(5.0)
    )


@pytest.fixture
def bundle(exported: Path, tmp_path: Path) -> Path:
    return shutil.copytree(exported, tmp_path / "bundle")


def change_manifest(bundle: Path, change: Any) -> None:
    """Change the manifest, and bring its hashes up to date as a forger would."""
    content = manifest_of(bundle)
    change(content)
    for name, entry in content["files"].items():
        entry.update(sha256=sha256_of_file(bundle / name), bytes=(bundle / name).stat().st_size)
    rewrite_manifest(bundle, content)


def failed(verification: Any) -> set[str]:
    return {check.name for check in verification.failed_checks}


def test_honest_bundle_passes(bundle: Path) -> None:
    verification = verify_bundle(bundle, FixedMeter(5.0))
    assert verification.passed, verification.failed_checks
    assert all(check.passed for check in verification.checks)
    written = read_checked_json(bundle / "verification.json")
    assert written == json.loads(json.dumps(verification.to_json()))
    assert written["passed"] is True
    assert [check["name"] for check in written["checks"]] == [
        "files",
        "identity",
        "same decisions as PyTorch",
        "outputs as PyTorch",
        "mIoU as PyTorch",
        "mIoU as stated",
        "latency as stated",
    ]
    assert written["facts"]["parity"]["same_decision_share"] >= 0.999
    # The verification lies beside the hashed files and is none of them.
    reported: list[str] = []
    assert verify_bundle(bundle, FixedMeter(5.0), progress=reported.append).passed
    assert [what.split()[0] for what in reported] == ["signature", "outputs", "latency,", "latency"]


def test_changed_file_fails_and_removes_the_old_verification(bundle: Path) -> None:
    verify_bundle(bundle, FixedMeter(5.0))
    content = bytearray((bundle / "model.onnx").read_bytes())
    content[-100] ^= 1
    (bundle / "model.onnx").write_bytes(content)
    verification = verify_bundle(bundle, FixedMeter(5.0))
    assert failed(verification) == {"files"}
    assert read_checked_json(bundle / "verification.json")["passed"] is False


def test_broken_manifest_leaves_no_old_verification(bundle: Path) -> None:
    verify_bundle(bundle, FixedMeter(5.0))
    (bundle / "manifest.json").write_text("{")
    with pytest.raises(BundleError, match="has no checksum"):
        verify_bundle(bundle, FixedMeter(5.0))
    assert not (bundle / "verification.json").exists()


def test_weights_of_another_network_fail(bundle: Path) -> None:
    tensors = read_tensors(bundle / "weights.safetensors")
    generator = torch.Generator().manual_seed(1)
    tensors["head.weight"] = torch.randn(tensors["head.weight"].shape, generator=generator)
    write_tensors(bundle / "weights.safetensors", tensors)
    change_manifest(bundle, lambda content: None)
    assert {"same decisions as PyTorch", "outputs as PyTorch"} <= failed(
        verify_bundle(bundle, FixedMeter(5.0))
    )


def test_weights_of_another_shape_are_refused(bundle: Path) -> None:
    tensors = read_tensors(bundle / "weights.safetensors")
    del tensors["head.bias"]
    write_tensors(bundle / "weights.safetensors", tensors)
    change_manifest(bundle, lambda content: None)
    with pytest.raises(BundleError, match=r"head\.bias"):
        verify_bundle(bundle, FixedMeter(5.0))


@pytest.mark.parametrize(("shift", "holds"), [(0.0009, True), (0.002, False), (-0.002, False)])
def test_stated_quality_must_be_met_within_a_tenth_of_a_point(
    bundle: Path, shift: float, *, holds: bool
) -> None:
    def state(content: dict[str, Any]) -> None:
        content["quality"]["value"] += shift

    change_manifest(bundle, state)
    assert failed(verify_bundle(bundle, FixedMeter(5.0))) == (set() if holds else {"mIoU as stated"})


@pytest.mark.parametrize(
    ("latency_ms", "holds"), [(5.05, True), (5.49, True), (5.6, False), (4.51, True), (4.4, False)]
)
def test_stated_latency_must_be_met(bundle: Path, latency_ms: float, *, holds: bool) -> None:
    meter = FixedMeter(latency_ms)
    verification = verify_bundle(bundle, meter)
    assert failed(verification) == (set() if holds else {"latency as stated"})
    assert meter.measured == (1 if holds else 3)
    assert len(verification.facts.latencies) == meter.measured


@pytest.mark.parametrize(
    ("latency_ms", "reference_ms", "holds"), [(10.0, 4.0, True), (10.8, 4.0, True), (12.0, 4.0, False)]
)
def test_on_a_busy_machine_the_ratio_to_the_reference_counts(
    bundle: Path, latency_ms: float, reference_ms: float, *, holds: bool
) -> None:
    verification = verify_bundle(bundle, FixedMeter(latency_ms, reference_ms=reference_ms))
    assert failed(verification) == (set() if holds else {"latency as stated"})
    assert ("2.00 times" in verification.checks[-1].note) is holds


def test_a_machine_that_was_busy_when_the_latency_was_stated_is_said_to_have_been(bundle: Path) -> None:
    verification = verify_bundle(bundle, FixedMeter(2.5, reference_ms=1.0))
    assert failed(verification) == set()
    note = verification.checks[-1].note
    assert "0.500 times" in note
    assert "it was busy" in note


def test_another_reference_network_excuses_nothing(bundle: Path) -> None:
    meter = FixedMeter(10.0, reference_ms=4.0, reference="1" * 64)
    assert failed(verify_bundle(bundle, meter)) == {"latency as stated"}


def test_latency_of_another_device_is_no_evidence(bundle: Path) -> None:
    assert failed(verify_bundle(bundle, FixedMeter(5.0, device="board"))) == {"latency as stated"}
    verification = verify_bundle(bundle, FixedMeter(50.0, device="board"), other_target=True)
    assert verification.passed
    assert verification.checks[-1].passed is None
    assert "desk" in verification.checks[-1].note


class LoneMeter(FixedMeter):
    """Cannot clock two models by turns."""

    compare = None


def test_what_is_not_verified_is_told(bundle: Path) -> None:
    speed = {"ratio": 0.5, "ratio_interval": [0.4, 0.6], "is_stable": True}
    engine = bundle / "model.engine"
    engine.write_bytes(b"engine")

    def add(content: dict[str, Any]) -> None:
        content["precisions"]["fp32"]["speed"] = speed
        content["files"]["model.engine"] = {}
        content["engines"] = [{"precision": "fp32", "file": "model.engine"}]

    change_manifest(bundle, add)
    verification = verify_bundle(bundle, LoneMeter(5.0))
    assert verification.passed
    told = {check.name: check for check in verification.checks if check.passed is None}
    assert set(told) == {"fp32: latency against fp32 as stated", "engines"}
    assert "cannot clock two models" in told["fp32: latency against fp32 as stated"].note
    assert told["engines"].expected == ["model.engine"]
    assert all(check.note.startswith("not verified: ") for check in told.values())
    engine.write_bytes(b"other!")
    assert failed(verify_bundle(bundle, FixedMeter(5.0))) == {"files"}


def test_other_data_is_evaluated_without_comparing_the_stated_figures(bundle: Path) -> None:
    verification = verify_bundle(bundle, FixedMeter(5.0), data="7")
    assert verification.passed
    assert {check.name: check.passed for check in verification.checks}["mIoU as stated"] is None
    # Without being asked to, evaluating on other data than the manifest is about is a failure.
    change_manifest(bundle, lambda content: content["task"]["settings"].update(data="7"))
    assert failed(verify_bundle(bundle, FixedMeter(5.0))) == {"mIoU as stated"}


def test_data_for_a_task_without_data_is_refused(bundle: Path) -> None:
    change_manifest(bundle, lambda content: content["task"]["settings"].clear())
    with pytest.raises(ConfigError, match="no setting `data`"):
        verify_bundle(bundle, FixedMeter(5.0), data="7")


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content.update(architecture_id="0" * 16),
        lambda content: content["class_names"].reverse(),
        lambda content: content["deployment"]["projection"].update(width=512),
        lambda content: content["deployment"].update(intensity_range=[0, 1]),
    ],
)
def test_manifest_must_describe_its_own_network(bundle: Path, change: Any) -> None:
    change_manifest(bundle, change)
    assert "identity" in failed(verify_bundle(bundle, FixedMeter(5.0)))


def same(inputs: Any) -> Any:
    return {"y": inputs["x"]}


def decide(outputs: Any) -> Any:
    return outputs["y"].argmax(axis=1)


def test_differences_are_those_of_their_definition() -> None:
    rng = np.random.default_rng(0)
    images = [rng.normal(size=(1, 3, 4, 5)).astype(np.float32) for _ in range(3)]
    pairs = [{"x": image} for image in images]
    result = compare(lambda x: {"y": x["x"] + np.float32(0.5)}, same, pairs, decide)
    stacked = np.concatenate(images)
    assert result.num_decisions == 60
    assert result.max_abs_difference == pytest.approx(0.5, rel=1e-6)
    assert result.relative_l2 == pytest.approx(
        0.5 * np.sqrt(stacked.size) / np.linalg.norm(stacked), rel=1e-5
    )
    assert result.same_decision_share == 1.0
    assert compare(lambda x: {"y": -x["x"]}, same, pairs, decide).same_decision_share < 0.5
    assert compare(lambda x: {"y": x["x"] * np.nan}, same, pairs, decide).relative_l2 == np.inf


def test_other_data_is_treated_as_the_network_was_trained_to(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A task that derives a setting from its data must get the trained one, whatever the data."""
    seen = []

    def init(self: SmallTask, settings: dict[str, Any]) -> None:
        seen.append(dict(settings))
        self.settings = {"data": str(settings["data"])}

    change_manifest(bundle, lambda content: content["task"].update(pinned_settings={"mean": 3.5}))
    monkeypatch.setattr(SmallTask, "__init__", init)
    verify_bundle(bundle, FixedMeter(5.0), data="7")
    assert seen == [{"data": "7"}, {"data": "7", "mean": 3.5}]
    # The same data at another place is not other data: what is stated is compared.
    assert {c.name: c.passed for c in verify_bundle(bundle, FixedMeter(5.0), data="0").checks}[
        "mIoU as stated"
    ]
    assert seen[2:] == [{"data": "0"}]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({"a": [1.0, 2]}, {"a": [1.0 + 1e-9, 2.0]}, True),
        ({"a": 1.0}, {"a": 1.00001}, False),
        ({"a": 1}, {"a": 1, "b": 1}, False),
        ([1, 2], [1, 2, 3], False),
        (True, 1, False),
        ("a", "a", True),
        (None, 0, False),
    ],
)
def test_json_values_are_compared_up_to_rounding(one: Any, other: Any, *, same: bool) -> None:
    assert is_same(one, other) is same
