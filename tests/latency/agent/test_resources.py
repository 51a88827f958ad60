from __future__ import annotations

import mmap
import time
from pathlib import Path
from typing import Any

import pytest

from hwnas.latency.agent import resources as module
from hwnas.latency.agent.nvml import Nvml
from hwnas.latency.agent.resources import drop_from_cache, forget_peak, memory_mb, resources
from tests.latency.agent.fake_boards import lay_out_orin_nano
from tests.latency.agent.fake_nvml import FakeLibrary

MIB = 2**20


class Greedy:
    """Takes time to load, memory to run, and memory of a GPU."""

    loads = 0
    library = FakeLibrary()

    def load(self, model: str) -> None:
        Greedy.loads += 1
        time.sleep(1.0 if Greedy.loads == 1 else 0.0)
        self.library.used_bytes += 512 * MIB

    def run(self) -> None:
        # Straight from the system: memory that earlier tests gave back to the allocator is none that is new.
        with mmap.mmap(-1, 64 * MIB) as workspace:
            workspace.write(bytes(64 * MIB))

    def engine_bytes(self) -> int:
        return 3 * MIB


def test_everything_a_network_costs(tmp_path: Path) -> None:
    lay_out_orin_nano(tmp_path)
    model = tmp_path / "model"
    model.write_bytes(bytes(2 * MIB))
    prepared: list[Any] = []
    found = resources(
        Greedy,
        prepared.append,
        str(model),
        idle_s=0.0,
        busy_s=0.1,
        nvml=Nvml(Greedy.library),
        root=str(tmp_path),
    )
    assert (len(prepared), Greedy.loads) == (1, 2)
    assert found["load_cold_s"] >= 1.0 > found["load_warm_s"]
    assert found["memory_increase_mb"] >= 60
    assert found["peak_memory_mb"] > found["memory_increase_mb"]
    assert (found["gpu_memory_mb"], found["model_size_mb"], found["engine_size_mb"]) == (512.0, 2.0, 3.0)
    assert found["energy"]["source"] == "INA3221"
    assert found["energy"]["energy_mj"] is None  # these rails never change


def test_the_peak_can_be_forgotten() -> None:
    block = bytearray(200 * MIB)
    del block
    _, before = memory_mb()
    forget_peak()
    now, after = memory_mb()
    if after == before:
        pytest.skip("this kernel keeps the peak")
    assert now <= after < before - 100


def test_where_nothing_is_told_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert memory_mb(str(tmp_path / "none")) == (None, None)
    monkeypatch.setattr(module, "memory_mb", lambda: (None, None))
    model = tmp_path / "model"
    model.write_bytes(b"1")
    found = resources(
        Greedy, lambda _: None, str(model), idle_s=0.0, busy_s=0.0, nvml=None, root=str(tmp_path)
    )
    for name in ("peak_memory_mb", "memory_increase_mb", "gpu_memory_mb", "energy"):
        assert found[name] is None
    drop_from_cache(str(tmp_path / "none"))
