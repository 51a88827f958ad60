"""What verification reads of a manifest is checked before it is used."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwnas.bundle.manifest import Manifest
from hwnas.bundle.verification.manifest_schema import check_manifest
from hwnas.data.expectations import expectations_of
from hwnas.errors import BundleError
from hwnas.io_spec import IoSpec
from hwnas.scan import Scan
from tests.bundle.small_lidar import make_scan

QUALITY = {
    "metric": "mIoU", "value": 0.5, "per_class": {"road": 0.5, "car": None}, "num_samples": 3, "num_items": 10,
    "items_per_class": {"road": 10, "car": 0},
}  # fmt: skip


def content() -> dict[str, Any]:
    evaluation = {"quality": dict(QUALITY), "bands": {"0-20 m": None}, "same_decision_share": 1}
    return {
        "task": {"name": "t", "settings": {}, "contract": {}},
        "space": {"name": "s", "restrictions": {"width": [4, 8], "block": ["conv"]}},
        "training": {"recipe": {}, "seed": 0, "trainer": {"name": "supervised", "settings": {}}},
        "quality": dict(QUALITY),
        "latency": {
            "latency_ms": 5, "interval_ms": [4.9, 5.1], "target": "local?x", "fingerprint": {"device": "desk"},
            "reference": {"sha256": "0", "latency_ms": 2.0, "interval_ms": [1, 2]}, "ratio": 2.5, "protocol": {},
        },
        "precisions": {
            "fp32": {"file": "model.onnx"},
            "int8": {"file": "i", "evaluation": evaluation, "speed": {"ratio": 0.5, "ratio_interval": [0.4, 0.6]}},
        },
    }  # fmt: skip


def check(value: dict[str, Any]) -> None:
    check_manifest(Manifest(Path("b"), value, IoSpec((), ())))


def test_what_export_writes_is_taken() -> None:
    check(content())
    older = content()
    del older["precisions"], older["latency"]["reference"], older["latency"]["ratio"]
    check(older)


@pytest.mark.parametrize(
    ("update", "where"),
    [
        (lambda value: value["task"].pop("name"), "task.name"),
        (lambda value: value["task"].update(settings=[]), "task.settings"),
        (lambda value: value["training"].pop("trainer"), "training.trainer"),
        (lambda value: value["space"].update(restrictions={"width": 4}), "space.restrictions.width"),
        (
            lambda value: value["space"].update(restrictions={"width": [float("nan")]}),
            "space.restrictions.width",
        ),
        (lambda value: value["quality"].update(value="0.5"), "quality.value"),
        (lambda value: value["quality"].update(value=float("nan")), "quality.value"),
        (lambda value: value["quality"].update(extra=1), "quality.extra"),
        (lambda value: value["latency"].update(latency_ms=0), "latency.latency_ms"),
        (lambda value: value["latency"].update(interval_ms=[1]), "latency.interval_ms"),
        (lambda value: value["latency"].update(target=None), "latency.target"),
        (lambda value: value["latency"].update(reference={"sha256": "0"}), "latency.reference.latency_ms"),
        (lambda value: value["precisions"]["int8"].update(evaluation={}), "precisions.int8.evaluation"),
        (lambda value: value["precisions"]["int8"]["speed"].update(ratio=-1), "precisions.int8.speed.ratio"),
    ],
)
def test_what_is_wrong_is_named(update: Callable[[dict[str, Any]], None], where: str) -> None:
    value = content()
    update(value)
    with pytest.raises(BundleError, match=where.replace(".", r"\.")):
        check(value)


def test_what_a_network_expects_of_scans_is_read_as_a_runner_reads_it() -> None:
    points, intensity, _ = make_scan(0)
    scan = Scan(points, intensity / np.float32(255), None, None, "")
    expects = expectations_of([scan], sensor="test-16", frame="x-forward", intensity_range=(0.0, 255.0))
    value = {**content(), "deployment": {"projection": {}}, "expects": expects.to_json()}
    check(value)
    for lacking in ("geometry", "intensities"):
        check({**value, "expects": {key: v for key, v in value["expects"].items() if key != lacking}})
    check({**content(), "expects": {"image": "of a camera"}})  # another task
    for part, wrong in (("geometry", {"lower_edge_deg": [2, 1]}), ("intensities", {"least_spread": "much"})):
        expected = {**value["expects"], part: {**value["expects"][part], **wrong}}
        with pytest.raises(BundleError, match="`expects`"):
            check({**value, "expects": expected})
