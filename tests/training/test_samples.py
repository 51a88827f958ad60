from __future__ import annotations

import subprocess
import sys

import psutil
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hwnas.errors import DataError
from hwnas.testing.tiny import TinySamples
from hwnas.training.samples import EndlessDataset, PretrainingDataset, StepSampler, load_batches
from tests.process_trees import have_ended


@given(st.integers(0, 20), st.integers(1, 20), st.integers(1, 4), st.integers(1, 4))
def test_processes_share_each_batch(first: int, more: int, share: int, processes: int) -> None:
    batch = share * processes
    parts = [
        list(
            StepSampler(
                first_step=first,
                steps=first + more,
                batch_size=batch,
                process=process,
                num_processes=processes,
            )
        )
        for process in range(processes)
    ]
    for step in range(more):
        items = sorted(item for part in parts for item in part[step])
        assert items == list(range((first + step) * batch, (first + step + 1) * batch))


def test_every_pass_takes_every_sample_once_in_another_order() -> None:
    seen: list[tuple[int, int]] = []

    class Recording(TinySamples):
        def __getitem__(self, index: int):
            seen.append((self.number, index))
            return super().__getitem__(index)

    endless = EndlessDataset(Recording(20, 1.0, 0), seed=3)
    for item in range(40):
        endless[item]
    first, second = [i for n, i in seen if n == 0], [i for n, i in seen if n == 1]
    assert sorted(first) == sorted(second) == list(range(20))
    assert first != second


def test_batches_do_not_depend_on_workers() -> None:
    def batches(workers: int) -> list[float]:
        sampler = StepSampler(first_step=1, steps=5, batch_size=3)
        loader = load_batches(EndlessDataset(TinySamples(4, 1.0, 0), 0), sampler, workers=workers)
        return [float(inputs.sum()) for inputs, _ in loader]

    assert batches(0) == batches(1)


def test_no_samples_is_an_error() -> None:
    with pytest.raises(DataError, match="no samples"):
        EndlessDataset(TinySamples(0, 0.0, 0), 0)


def test_pretraining_comes_first_and_the_own_data_starts_at_its_beginning() -> None:
    first, own = EndlessDataset(TinySamples(3, 1.0, 5), 0), EndlessDataset(TinySamples(4, 1.0, 0), 0)
    both = PretrainingDataset(first, 7, own)
    for item in range(12):
        expected = first[item] if item < 7 else own[item - 7]
        assert torch.equal(both[item][0], expected[0])


def test_a_share_of_later_items_still_comes_from_the_first_data() -> None:
    first, own = EndlessDataset(TinySamples(3, 1.0, 5), 0), EndlessDataset(TinySamples(4, 1.0, 0), 0)
    both = PretrainingDataset(first, 5, own, share=0.25, seed=1)
    again = PretrainingDataset(first, 5, own, share=0.25, seed=1)
    from_first = 0
    for item in range(5, 405):
        sample = both[item][0]
        assert torch.equal(sample, again[item][0])
        from_first += torch.equal(sample, first[item][0])
        assert torch.equal(sample, first[item][0]) or torch.equal(sample, own[item - 5][0])
    assert 70 <= from_first <= 130


LOADING = """
import os, sys, time
from torch.utils.data import Dataset
from hwnas.training.samples import StepSampler, load_batches

class Slow(Dataset):
    def __getitem__(self, index):
        print(os.getpid(), flush=True)
        time.sleep(60)

for _ in load_batches(Slow(), StepSampler(first_step=0, steps=9, batch_size=1), workers=1):
    pass
"""


def test_processes_that_prepare_samples_die_with_the_one_that_trains() -> None:
    trainer = subprocess.Popen([sys.executable, "-c", LOADING], stdout=subprocess.PIPE)
    assert trainer.stdout is not None
    worker = psutil.Process(int(trainer.stdout.readline()))
    trainer.kill()
    trainer.wait()
    trainer.stdout.close()
    # By itself, PyTorch looks for its parent every five seconds.
    assert have_ended([worker], 4)
