"""Labels that belong to other points or other scans are found; right ones are not suspected."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from hwnas.data.datasets.dataset import open_dataset
from hwnas.data.inspection.findings.finding import ERROR, WARNING
from hwnas.data.inspection.inspection import inspect_source
from hwnas.data.inspection.label_agreement import LabelAgreement
from tests.data.scenes import write_scenes

SHARED = Path(__file__).parents[3] / "shared" / "data"
Order = Callable[[np.ndarray, int], np.ndarray]


def transposed(raw: np.ndarray, rows: int) -> np.ndarray:
    return np.resize(raw, (-(-len(raw) // rows), rows)).T.ravel()[: len(raw)]


ORDERS: dict[str, tuple[Order, Sequence[str]]] = {
    "right": (lambda raw, rows: raw, ()),
    "permuted": (lambda raw, rows: np.random.default_rng(0).permutation(raw), (ERROR,)),
    "reversed": (lambda raw, rows: raw[::-1], (ERROR, WARNING)),
    "transposed": (transposed, (ERROR,)),
    "shifted by 1": (lambda raw, rows: np.roll(raw, 1), (WARNING,)),
    "shifted by 20": (lambda raw, rows: np.roll(raw, 20), (ERROR, WARNING)),
    "shifted by 500": (lambda raw, rows: np.roll(raw, 500), (ERROR, WARNING)),
}


def severity_of(path: Path) -> str | None:
    findings = inspect_source(open_dataset(path)).findings
    return next((one.severity for one in findings if one.kind == "label-order"), None)


@pytest.mark.parametrize("sensor", ["vlp-16", "hdl-64e"])
@pytest.mark.parametrize("name", ORDERS)
def test_labels_in_another_order_are_found(name: str, sensor: str, tmp_path: Path) -> None:
    order, severities = ORDERS[name]
    rows = 16 if sensor == "vlp-16" else 64
    path = write_scenes(tmp_path, sensor, steps=600, sequences=2, labels=lambda raw: order(raw, rows))
    assert severity_of(path) in (severities or (None,))


def test_labels_of_other_scans_are_found(tmp_path: Path) -> None:
    path = write_scenes(tmp_path, "hdl-64e", sequences=2, scans=2, steps=600)
    files = sorted(path.glob("sequences/*/labels/*.label"))
    labels = [np.fromfile(file, "<u4") for file in files]
    for number, file in enumerate(files):
        own, other = labels[number], labels[number - 2]
        file.write_bytes(np.resize(other, len(own)).tobytes())
    assert severity_of(path) in (WARNING, ERROR)


def write_real(root: Path, source: Path, config: str, order: Order, rows: int) -> Path:
    shutil.copytree(source, root, dirs_exist_ok=True)
    (root / "dataset.yaml").write_text(config)
    for file in root.glob("sequences/*/labels/*.label"):
        file.write_bytes(order(np.fromfile(file, "<u4"), rows).astype("<u4").tobytes())
    return root


REAL = {
    "hdl32e": (
        32,
        "{sensor: hdl-32e, label_map: label_map.yaml, labels: 'sequences/{sequence}/labels/{scan}.label', "
        "intensity_range: [0, 255], format_options: {columns: [x, y, z, intensity, ring]}}",
    ),
    "pandaset": (
        64,
        "{sensor: pandar64, label_map: label_map.yaml, labels: 'sequences/{sequence}/labels/{scan}.label', "
        "intensity_range: [0, 255]}",
    ),
}


@pytest.mark.parametrize("kind", REAL)
@pytest.mark.parametrize("name", ["right", "permuted", "transposed", "shifted by 1", "shifted by 500"])
def test_labels_of_real_scans(name: str, kind: str, tmp_path: Path) -> None:
    if not (SHARED / kind).is_dir():
        pytest.skip(f"no scans of {kind} beside the checkout")
    order, severities = ORDERS[name]
    rows, config = REAL[kind]
    found = severity_of(write_real(tmp_path, SHARED / kind, config, order, rows))
    assert (found is None) == (not severities)


def test_too_few_pairs_or_a_single_class_tell_nothing() -> None:
    agreement = LabelAgreement(3)
    assert (agreement.kappa, agreement.boundary_ratio) == (None, None)
    agreement.along[0, 0] = agreement.along_near[0, 0] = agreement.across_near[0, 0] = 10_000
    assert (agreement.kappa, agreement.boundary_ratio) == (None, None)
