"""Which samples a step sees: a pure function of seed and step, so that training can be resumed."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sized
from functools import partial
from typing import cast

import numpy as np
from torch.utils.data import DataLoader, Dataset, Sampler

from hwnas.errors import DataError
from hwnas.processes import die_with_parent
from hwnas.tasks.optional_parts import set_epoch
from hwnas.tasks.trees import Tree

Sample = tuple[Tree, Tree]
"""Inputs and targets."""


class EndlessDataset(Dataset[Sample]):
    """A data set seen again and again: item i is in pass i // N, each pass in an order of its own.

    The data set is told of the pass, if it is `SupportsEpochs`, so that augmentation too depends on nothing
    but the seed and i.
    """

    def __init__(self, dataset: Dataset[Sample], seed: int) -> None:
        self._dataset = dataset
        self._size = len(cast("Sized", dataset))
        if not self._size:
            raise DataError("The training split has no samples; name training sequences that have labels.")
        self._seed = seed
        self._pass = -1
        self._order = np.empty(0, np.int64)

    def __getitem__(self, index: int) -> Sample:
        number, place = divmod(index, self._size)
        if number != self._pass:
            self._pass = number
            self._order = np.random.default_rng([self._seed, number]).permutation(self._size)
        set_epoch(self._dataset, number)
        return self._dataset[int(self._order[place])]


class PretrainingDataset(Dataset[Sample]):
    """The first items come from one endless data set, later ones from another, or still from the first."""

    def __init__(
        self, first: EndlessDataset, items: int, then: EndlessDataset, *, share: float = 0.0, seed: int = 0
    ) -> None:
        """Join two data sets.

        Args:
            first: what training begins with.
            items: how many come from there alone.
            then: where later items come from.
            share: probability that one of those comes from `first` nevertheless.
            seed: decides, with the index, which of them do.
        """
        self._first, self._items, self._then = first, items, then
        self._share, self._seed = share, seed

    def __getitem__(self, index: int) -> Sample:
        if index < self._items or np.random.default_rng([self._seed, index]).random() < self._share:
            return self._first[index]
        return self._then[index - self._items]


class StepSampler(Sampler[list[int]]):
    """Yields the items of each step from `first_step` on; one process's share of them."""

    def __init__(
        self, *, first_step: int, steps: int, batch_size: int, process: int = 0, num_processes: int = 1
    ) -> None:
        self._steps = range(first_step, steps)
        self._batch_size = batch_size
        self._share = slice(process, None, num_processes)

    def __len__(self) -> int:
        return len(self._steps)

    def __iter__(self) -> Iterator[list[int]]:
        for step in self._steps:
            items = range(step * self._batch_size, (step + 1) * self._batch_size)
            yield list(items[self._share])


def _begin_worker(parent: int, _number: int) -> None:
    die_with_parent(parent)


def load_batches(dataset: Dataset[Sample], sampler: StepSampler, *, workers: int) -> DataLoader[Sample]:
    """Return the batches of the steps that `sampler` names, prepared by `workers` processes."""
    return DataLoader(
        dataset,
        batch_sampler=sampler,
        num_workers=workers,
        worker_init_fn=partial(_begin_worker, os.getpid()),
        pin_memory=False,
        persistent_workers=False,
    )
