from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from hwnas.errors import LatencyTableError
from hwnas.latency.predict.few_shot import Likeness, NetworkPool, choose_samples, learn_likeness, predict

SCRIPT = Path(__file__).parents[3] / "scripts" / "benchmarks" / "few_shot_latency.py"
EDGES, OPERATIONS, NETWORKS = 6, 5, 500


def family(devices: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Networks of six operations, on devices on which each operation has a cost of its own, with noise."""
    rng = np.random.default_rng(seed)
    choices = rng.integers(0, OPERATIONS, (NETWORKS, EDGES))
    costs = rng.gamma(2.0, 1.0, (OPERATIONS, devices))
    counts = (choices[:, :, None] == np.arange(OPERATIONS)).sum(axis=1)
    ms = (1.0 + counts @ costs) * np.exp(rng.normal(0, 0.02, (NETWORKS, devices)))
    return choices, ms


def pool_of(choices: np.ndarray, known_ms: np.ndarray) -> NetworkPool:
    counts = (choices[:, :, None] == np.arange(OPERATIONS)).sum(axis=1).astype(float)
    return NetworkPool(known_ms, counts, choices)


def rank(predicted: np.ndarray, truth: np.ndarray) -> float:
    return float(stats.spearmanr(predicted, truth).statistic)


@pytest.mark.parametrize("seed", range(3))
def test_a_new_device_is_ranked_from_ten_networks(seed: int) -> None:
    choices, ms = family(5, seed)
    pool, truth = pool_of(choices, ms[:, :4]), ms[:, 4]
    rng, everything = np.random.default_rng(seed), np.arange(NETWORKS)
    likeness = learn_likeness(pool, everything, 10, rng)
    chosen = choose_samples(pool, everything, 10, rng, likeness)
    found = predict(pool, chosen, truth[chosen], everything, likeness).latency_ms
    assert rank(found, truth) > 0.96
    assert rank(found, truth) > rank(pool.devices.mean(axis=1), truth)
    assert np.median(np.abs(found / truth - 1)) < 0.08


def test_a_device_that_is_another_one_slowed_down_is_predicted_in_its_own_ms() -> None:
    choices, ms = family(3)
    pool, truth = pool_of(choices, ms), 7.0 * ms[:, 1]
    chosen = choose_samples(pool, np.arange(NETWORKS), 10, np.random.default_rng(0))
    found = predict(pool, chosen, truth[chosen], np.arange(NETWORKS)).latency_ms
    assert np.median(np.abs(found / truth - 1)) < 0.06


def test_one_interrupted_measurement_counts_little() -> None:
    choices, ms = family(5, 4)
    pool, truth = pool_of(choices, ms[:, :4]), ms[:, 4]
    chosen = choose_samples(pool, np.arange(NETWORKS), 12, np.random.default_rng(1))
    disturbed = truth[chosen].copy()
    disturbed[3] *= 4.0
    clean = predict(pool, chosen, truth[chosen], np.arange(NETWORKS))
    found = predict(pool, chosen, disturbed, np.arange(NETWORKS))
    assert clean.suspects == ()
    assert found.suspects == (3,)
    assert rank(found.latency_ms, truth) > 0.95


def test_chosen_samples_tell_more_than_drawn_ones() -> None:
    choices, ms = family(5, 2)
    pool, truth, everything = pool_of(choices, ms[:, :4]), ms[:, 4], np.arange(NETWORKS)
    scores: dict[str, list[float]] = {"chosen": [], "drawn": []}
    for seed in range(8):
        rng = np.random.default_rng(seed)
        for name, samples in (
            ("chosen", choose_samples(pool, everything, 6, rng)),
            ("drawn", rng.choice(everything, 6, replace=False)),
        ):
            assert len(set(samples.tolist())) == 6
            scores[name].append(rank(predict(pool, samples, truth[samples], everything).latency_ms, truth))
    assert np.mean(scores["chosen"]) > np.mean(scores["drawn"])


def test_measured_networks_are_evaluated_without_themselves() -> None:
    choices, ms = family(4, 5)
    pool, truth = pool_of(choices, ms[:, :3]), ms[:, 3]
    chosen = choose_samples(pool, np.arange(NETWORKS), 8, np.random.default_rng(0))
    whole = predict(pool, chosen, truth[chosen], chosen)
    others = np.delete(np.arange(8), 2)
    # Scale and centre are those of all, so that equality is only approximate.
    again = predict(pool, chosen[others], truth[chosen][others], chosen[2:3])
    assert whole.left_out_ms[2] == pytest.approx(again.latency_ms[0], rel=0.15)
    assert not np.allclose(whole.left_out_ms, whole.latency_ms, rtol=1e-3)


def test_networks_that_nothing_describes_are_known_by_other_devices() -> None:
    _, ms = family(8, 6)
    nothing = np.zeros((NETWORKS, 0))
    pool = NetworkPool(ms[:, :7], nothing, nothing.astype(np.int64))
    chosen = choose_samples(pool, np.arange(NETWORKS), 10, np.random.default_rng(0), Likeness(devices=1.0))
    found = predict(pool, chosen, ms[chosen, 7], np.arange(NETWORKS), Likeness(devices=1.0)).latency_ms
    assert rank(found, ms[:, 7]) > 0.9


def test_what_is_no_latency_is_refused() -> None:
    choices, ms = family(3)
    wrong = ms.copy()
    wrong[3, 1] = np.nan
    with pytest.raises(LatencyTableError, match="finite and positive"):
        pool_of(choices, wrong)
    pool = pool_of(choices, ms)
    with pytest.raises(LatencyTableError, match="At least 3"):
        predict(pool, np.array([1, 2]), np.array([1.0, 2.0]), np.arange(3))
    with pytest.raises(LatencyTableError, match="Measure again"):
        predict(pool, np.array([1, 2, 3]), np.array([1.0, 2.0, 0.0]), np.arange(3))
    with pytest.raises(LatencyTableError, match="2 networks to choose 5"):
        choose_samples(pool, np.arange(2), 5, np.random.default_rng(0))
    with pytest.raises(LatencyTableError, match="500 networks, but features of 3"):
        NetworkPool(ms, np.zeros((3, 0)), choices)


def write_csv(path: Path, *, described: bool = True, broken: bool = False) -> Path:
    choices, ms = family(6, 8)
    names = [f"device_{number}" for number in range(6)]
    header = ["index", *(["op_idx"] if described else []), *names]
    lines = [",".join(header)]
    for index in range(NETWORKS):
        cells = [f"{value:.4f}" for value in ms[index]]
        if broken and index == 7:
            cells[2] = "nan"
        lines.append(
            ",".join([str(index), *(["_".join(map(str, choices[index]))] if described else []), *cells])
        )
    path.write_text("\n".join(lines) + "\n")
    return path


def run(path: Path, train: str, test: str, *more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), "--latencies", str(path), "--train-devices", train]
    command += ["--test-devices", test, "--samples", "10", "--seeds", "2", *more]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("described", [True, False])
def test_the_benchmark_compares_with_its_baselines(tmp_path: Path, described: bool) -> None:
    path = write_csv(tmp_path / "latencies.csv", described=described)
    found = run(path, "device_0,device_1,device_2,device_3", "device_4,device_5", "--json")
    assert found.returncode == 0, found.stderr
    summary = json.loads(found.stdout.splitlines()[-1])
    assert set(summary) == {"mean_spearman", "per_device", "baselines"}
    assert set(summary["per_device"]) == {"device_4", "device_5"}
    assert "ridge, random samples" in summary["baselines"]
    if described:
        assert summary["mean_spearman"] > 0.95
        assert summary["mean_spearman"] > summary["baselines"]["ridge, random samples"]["mean_spearman"]


def test_the_benchmark_refuses_what_it_cannot_use(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "latencies.csv")
    found = run(path, "device_0,device_1", "devise_4")
    assert found.returncode == 1
    assert "device_4" in found.stderr
    assert "Traceback" not in found.stderr
    assert "among the train" in run(path, "device_0,device_1", "device_1").stderr
    broken = write_csv(tmp_path / "broken.csv", broken=True)
    assert "finite and positive" in run(broken, "device_0,device_2", "device_4").stderr
    assert "cannot be read" in run(tmp_path / "none.csv", "a", "b").stderr
