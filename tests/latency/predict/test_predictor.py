"""Tables and predictors, on networks whose times follow a known rule."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwnas.architecture import Architecture
from hwnas.errors import LatencyTableError
from hwnas.files import read_checked_json
from hwnas.io_spec import dense_logits
from hwnas.kernel_graph.kernels import HEIGHT, OUT, WIDTH, Rows
from hwnas.latency.measure.survey import SurveyedNetwork
from hwnas.latency.predict import fitting
from hwnas.latency.predict.correction import Correction, fit_correction
from hwnas.latency.predict.decomposition import kernels_of_space
from hwnas.latency.predict.experiment_design import designed_experiment
from hwnas.latency.predict.fitting import errors_of, fit_table
from hwnas.latency.predict.gaussian_process import fit
from hwnas.latency.predict.kernel_features import operations
from hwnas.latency.predict.profiling import ProfiledNetwork
from hwnas.latency.predict.table import LatencyTable, load_table
from hwnas.search_spaces.base import BlockSignature, make_search_space, sample_choices
from hwnas.search_spaces.range_unet_kernels import kernels_of_range_unet
from hwnas.testing.tiny import TinySpace
from tests.latency.predict.small_space import CONTRACT, small_space, some

HEADER = {
    "target": "local?backend=made-up&threads=1",
    "fingerprint": {"cpu_model": "made up", "threads": 1, "backend_versions": {"made-up": "1"}},
    "choices": {},
}


def true_ms(rows: Rows) -> np.ndarray:
    elements = rows[:, OUT].astype(float) * rows[:, HEIGHT] * rows[:, WIDTH]
    return 2e-3 + 4e-8 * operations(rows) + 2e-6 * elements


def profiled(
    architectures: Sequence[Architecture], *, with_kernels: bool, seed: int = 0
) -> list[ProfiledNetwork]:
    rng = np.random.default_rng(seed)
    networks = []
    for architecture in architectures:
        rows, _ = kernels_of_range_unet([architecture], 16)
        ms = true_ms(rows)
        kernels = [
            {"row": row, "ms": float(time * rng.lognormal(0, 0.03))}
            for row, time in zip(rows.tolist(), ms, strict=True)
        ]
        total = 1.08 * ms.sum() * rng.lognormal(0, 0.01)
        measured = SurveyedNetwork(
            ratio=total / 5,
            samples_ms=((total, total), (total, total)),
            reference_ms=(5.0, 5.0, 5.0),
            kernels=tuple(kernels) if with_kernels else None,
            kernel_reference_ms=5.0,
            model_sha256="0" * 64,
        )
        networks.append(ProfiledNetwork(architecture, measured, 1.0))
    return networks


@pytest.fixture(scope="module")
def table() -> LatencyTable:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fitting, "row_of_kernel", lambda kernel: kernel["row"])
        networks = profiled(some(24), with_kernels=True)
        return fit_table(networks, HEADER, small_space(), CONTRACT, {"made": "2026-01-01"})


def truth(architectures: Sequence[Architecture]) -> np.ndarray:
    return np.array([network.latency_ms for network in profiled(architectures, with_kernels=False, seed=9)])


def test_networks_never_seen_are_predicted(table: LatencyTable) -> None:
    assert table.block == 16
    assert table.held_out["within_10"] >= 0.9
    others = some(100, seed=77)
    found = table.predictor(small_space()).predict(others)
    errors = errors_of(found.latency_ms, truth(others))
    assert errors["within_5"] > 0.9
    assert errors["spearman"] > 0.99
    inside = (truth(others) >= found.low_ms) & (truth(others) <= found.high_ms)
    assert inside.mean() >= 0.85


def test_a_saved_table_predicts_the_same(table: LatencyTable, tmp_path: Path) -> None:
    path = tmp_path / "table.json"
    table.save(path)
    again = load_table(path)
    others = some(20, seed=5)
    expected = table.predictor(small_space()).predict(others).latency_ms
    assert np.allclose(again.predictor(small_space()).predict(others).latency_ms, expected, rtol=1e-3)
    assert again.to_json() == read_checked_json(path)
    assert again.covers(others[0])
    assert again.covers(replace(others[0], outputs=dense_logits(7))), (
        "the classes shape one kernel, which is timed"
    )
    assert not again.covers(replace(others[0], input_shape=(5, 16, 80)))
    without_kernels = replace(again, kernels=())
    assert without_kernels.covers(others[0])
    assert not without_kernels.covers(replace(others[0], outputs=dense_logits(7)))


def test_a_table_of_another_target_is_refused_with_what_differs(table: LatencyTable) -> None:
    table.check_fingerprint(HEADER["fingerprint"])
    with pytest.raises(LatencyTableError, match=r"'threads': \(1, 2\)"):
        table.check_fingerprint({**HEADER["fingerprint"], "threads": 2})


@pytest.mark.parametrize("content", ["", "[]", '{"schema_version": 1}', '{"schema_version": 99}'])
def test_damaged_tables_are_refused(content: str, tmp_path: Path) -> None:
    path = tmp_path / "table.json"
    path.write_text(content)
    with pytest.raises(LatencyTableError):
        load_table(path)
    with pytest.raises(LatencyTableError, match="no latency table"):
        load_table(tmp_path / "missing.json")


def test_measured_networks_correct_the_predictor(table: LatencyTable) -> None:
    # Another clock, and one that the table knows nothing of: a quarter slower.
    predictor, others = table.predictor(small_space()), some(60, seed=31)
    slower = 1.25 * truth(others)
    before = np.abs(predictor.predict(others[30:]).latency_ms / slower[30:] - 1)
    for architecture, ms in zip(others[:30], slower[:30], strict=True):
        predictor.correct(architecture, float(ms))
    after = np.abs(predictor.predict(others[30:]).latency_ms / slower[30:] - 1)
    assert np.median(before) > 0.15
    assert np.median(after) < 0.03
    with pytest.raises(ValueError, match="positive"):
        predictor.correct(others[0], 0.0)


def test_surprises_widen_the_intervals(table: LatencyTable) -> None:
    predictor, others = table.predictor(small_space()), some(40, seed=32)
    before = predictor.predict(others[:1])
    for index, (architecture, ms) in enumerate(zip(others, truth(others), strict=True)):
        predictor.correct(architecture, float(ms) * (1.5 if index % 2 else 0.7))
    after = predictor.predict(others[:1])
    assert after.high_ms[0] / after.low_ms[0] > before.high_ms[0] / before.low_ms[0]


def test_without_kernel_times_whole_networks_serve(tmp_path: Path) -> None:
    networks = profiled(some(80), with_kernels=False)
    table = fit_table(networks, HEADER, small_space(), CONTRACT, {})
    assert table.kernels == ()
    others = some(60, seed=78)
    found = table.predictor(small_space()).predict(others)
    assert errors_of(found.latency_ms, truth(others))["spearman"] > 0.9
    table.save(tmp_path / "table.json")
    again = load_table(tmp_path / "table.json").predictor(small_space()).predict(others)
    assert np.allclose(again.latency_ms, found.latency_ms)


class _OtherSpace:
    """A space whose blocks nobody knows."""

    name = "other"

    def blocks(self, architecture: Architecture) -> list[BlockSignature]:
        depth, width = int(architecture.genes["depth"]), int(architecture.genes["width"])
        shape = (width, 8, 8)
        return [BlockSignature("body", (shape,), shape)] * depth + [
            BlockSignature("head", (shape,), (3, 8, 8))
        ]


def test_spaces_without_kernels_are_predicted_from_blocks() -> None:
    def network(depth: int, width: int) -> ProfiledNetwork:
        architecture = Architecture("other", {"depth": depth, "width": width}, (3, 8, 8), dense_logits(3))
        ms = 0.1 + depth * (0.02 + 1e-4 * width * width)
        measured = SurveyedNetwork(ms, ((ms,),), (1.0, 1.0), None, 1.0, "0" * 64)
        return ProfiledNetwork(architecture, measured, 1.0)

    networks = [network(depth, width) for depth in (1, 2, 4, 6) for width in (8, 16, 32, 64)]
    table = fit_table(networks, {**HEADER, "space": "other"}, _OtherSpace(), CONTRACT, {})
    unseen = network(3, 32)
    found = table.predictor(_OtherSpace()).predict([unseen.architecture])
    assert found.latency_ms[0] == pytest.approx(unseen.latency_ms, rel=0.15)
    with pytest.raises(LatencyTableError, match="range-unet"):
        table.predictor(small_space())


def test_too_few_networks_make_no_table() -> None:
    with pytest.raises(LatencyTableError, match="at least 10"):
        fit_table(profiled(some(3), with_kernels=False), HEADER, small_space(), CONTRACT, {})


def test_the_design_repeats_nothing_and_covers_more_kernels() -> None:
    space = small_space()
    decompose = kernels_of_space(space, 16)
    assert decompose is not None

    def kernels_met(design: Any) -> int:
        chosen = [next(design) for _ in range(16)]
        assert len(set(chosen)) == len(chosen)
        return len(np.unique(decompose(chosen)[0], axis=0))

    covering = np.mean([kernels_met(designed_experiment(space, decompose, seed)) for seed in range(4)])
    uniform = np.mean([kernels_met(designed_experiment(space, None, seed)) for seed in range(4)])
    assert covering > uniform
    again = [next(designed_experiment(space, decompose, 5)).id for _ in range(2)]
    assert again[0] == again[1]


def test_a_correction_finds_the_weights_of_parts() -> None:
    rng = np.random.default_rng(0)
    parts = np.column_stack([rng.uniform(1, 10, (60, 2)), np.full(60, 0.1)])
    ms = 1.5 * parts[:, 0] + 0.9 * parts[:, 1]
    correction, predicted = fit_correction(parts, ms, are_times=True)
    assert correction.weights[:2] == pytest.approx((1.5, 0.9), abs=0.05)
    assert np.max(np.abs(predicted / ms - 1)) < 0.05


def test_a_process_follows_a_smooth_function() -> None:
    rng = np.random.default_rng(0)
    places = rng.uniform(0, 6, (80, 2))

    def value(x: np.ndarray) -> np.ndarray:
        return 0.7 * x[:, 0] + 0.3 * np.sin(x[:, 1])

    basis = np.column_stack([np.ones(80), places])
    process = fit(basis, places, value(places) + rng.normal(0, 0.01, 80))
    others = rng.uniform(0.5, 5.5, (50, 2))
    found = process.predict(np.column_stack([np.ones(50), others]), others)
    assert np.abs(found - value(others)).max() < 0.1


@pytest.mark.parametrize("timed", [True, False])
def test_tables_that_know_fewer_kinds_of_kernels_predict_the_same(table: LatencyTable, timed: bool) -> None:
    given = table
    if not timed:
        given = fit_table(profiled(some(80), with_kernels=False), HEADER, small_space(), CONTRACT, {})
    claims = given.predictor(small_space()).claims(some(20, seed=9))
    columns = claims.shape[1] - 1 if timed else claims.shape[1] // 4
    rng = np.random.default_rng(0)
    weights = rng.uniform(0.5, 2.0, claims.shape[1])
    whole = Correction(tuple(np.ones_like(weights)), tuple(weights), tuple(weights), 0.1)
    assert whole.for_kinds(columns, are_times=timed) == whole
    more = whole.for_kinds(columns + 2, are_times=timed)
    wider = (
        np.insert(claims, [columns] * 2, 0.0, axis=1)
        if timed
        else np.pad(claims.reshape(len(claims), 4, -1), ((0, 0), (0, 0), (0, 2))).reshape(len(claims), -1)
    )
    assert np.allclose(more.apply(wider), whole.apply(claims))
    with pytest.raises(LatencyTableError, match="newer"):
        whole.for_kinds(columns - 1, are_times=timed)


SHIPPED = sorted((Path(__file__).parents[3] / "latency_tables").glob("*.json"))


@pytest.mark.parametrize("path", SHIPPED)
def test_tables_that_come_with_the_project_predict(path: Path) -> None:
    shipped = load_table(path)
    space = make_search_space(shipped.space, shipped.contract)
    rng = np.random.default_rng(0)
    networks = [space.decode(sample_choices(space, rng)) for _ in range(20)]
    assert all(shipped.covers(network) for network in networks)
    found = shipped.predictor(space).predict(networks)
    assert (found.latency_ms > 0).all()
    assert (found.low_ms < found.latency_ms).all()
    assert (found.high_ms > found.latency_ms).all()
    # The slowest of these is far from the fastest, and operations say so, too.
    assert found.latency_ms.max() > 5 * found.latency_ms.min()


GOLDEN = json.loads((Path(__file__).parent / "golden_predictions.json").read_text(encoding="utf-8"))
"""What tables that ship predict; sums in another order, as of another batch, differ by up to 5e-7."""


def test_every_shipped_table_has_golden_predictions() -> None:
    assert {path.stem for path in SHIPPED} == set(GOLDEN)


@pytest.mark.parametrize("path", SHIPPED)
def test_predictions_of_shipped_tables_stay_as_they_were(path: Path) -> None:
    shipped, golden = load_table(path), GOLDEN[path.stem]
    space = make_search_space(shipped.space, shipped.contract)
    rng = np.random.default_rng(20)
    networks = [space.decode(sample_choices(space, rng)) for _ in golden["latency_ms"]]
    predictor = shipped.predictor(space)
    found = predictor.predict(networks)
    # The fit ends elsewhere on processors with other vector units: 2.4 parts in 10,000 at most so far.
    np.testing.assert_allclose(found.latency_ms, golden["latency_ms"], rtol=1e-3)
    np.testing.assert_allclose(found.low_ms, golden["low_ms"], rtol=1e-3)
    np.testing.assert_allclose(found.high_ms, golden["high_ms"], rtol=1e-3)
    predictor.correct(networks[0], 1.1 * golden["latency_ms"][0])
    np.testing.assert_allclose(predictor.predict(networks).latency_ms, golden["corrected_ms"], rtol=1e-3)


def test_tables_of_kernels_refuse_a_space_that_does_not_tell_them(monkeypatch: pytest.MonkeyPatch) -> None:
    shipped = load_table(SHIPPED[0])
    space = TinySpace()
    monkeypatch.setattr(TinySpace, "name", shipped.space)
    with pytest.raises(LatencyTableError, match="has no method `kernels`"):
        shipped.predictor(space)
