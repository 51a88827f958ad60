"""Divides a data set by whole sequences: neighbouring scans are nearly the same scan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hwnas.data.datasets.dataset_config import EMBEDDED_LABELS, SEMANTICKITTI_LABELS, SPLITS, DatasetConfig
from hwnas.data.datasets.minimal_config import DOCS_PAGE
from hwnas.data.datasets.reading import ScanFiles
from hwnas.errors import DataError
from hwnas.text import shown

BENCHMARK_VALIDATION_SEQUENCE = "08"

Splits = Mapping[str, tuple[str, ...]]
"""Sequences of each split that has any."""


def split_sequences(
    files: Sequence[ScanFiles],
    config: DatasetConfig,
    *,
    train: Sequence[str] | None = None,
    val: Sequence[str] | None = None,
) -> Splits:
    """Return the sequences of each split; arguments go before the data set's own splits.

    Raises:
        DataError: if a sequence does not exist or belongs to two splits.
    """
    known = sorted({one.sequence for one in files})
    labelled = _labelled(files, config)
    given = {"train": train, "val": val, "test": None}
    chosen = _chosen(given, config)
    taken = {sequence for sequences in chosen.values() for sequence in sequences or ()}
    if chosen["val"] is None:
        free = [sequence for sequence in labelled if sequence not in taken]
        official = [sequence for sequence in free if sequence == BENCHMARK_VALIDATION_SEQUENCE]
        validation = official or free[-1:]
        chosen["val"] = validation
        taken.update(validation)
    if chosen["train"] is None:
        chosen["train"] = [sequence for sequence in labelled if sequence not in taken]
    if chosen["test"] is None:
        chosen["test"] = [
            sequence for sequence in known if sequence not in labelled and sequence not in taken
        ]
    _check(chosen, known)
    return {name: tuple(sequences) for name in SPLITS if (sequences := chosen[name])}


def _chosen(
    given: Mapping[str, Sequence[str] | None], config: DatasetConfig
) -> dict[str, Sequence[str] | None]:
    """Return what was asked for; a sequence that is asked for leaves the split the data set has it in."""
    moved = {sequence for sequences in given.values() for sequence in sequences or ()}
    chosen: dict[str, Sequence[str] | None] = {}
    for split, sequences in given.items():
        own: Sequence[str] | None = getattr(config.splits, split)
        stays = None if own is None else [sequence for sequence in own if sequence not in moved]
        chosen[split] = sequences if sequences is not None else stays
    return chosen


def _labelled(files: Sequence[ScanFiles], config: DatasetConfig) -> list[str]:
    embedded = config.label_pattern == EMBEDDED_LABELS
    return sorted({one.sequence for one in files if embedded or one.labels is not None})


def how_to_split(sequences: Sequence[str], *, is_labelled: bool = True) -> str:
    """Return what to write into `dataset.yaml` to have splits, sentences with an example."""
    if not is_labelled:
        advice = (
            "No scan has labels, which train and val need: state where they lie, such as "
            f"labels: {SEMANTICKITTI_LABELS!r}, or labels: embedded."
        )
    elif len(sequences) == 1:
        advice = (
            f"All scans are of one sequence, {sequences[0]!r}. Write {{sequence}} into the pattern where the "
            "names of sequences stand, such as scans: 'drives/{sequence}/{scan}.bin'; or list the scans with "
            "a sequence each, such as scans: [{points: 000.bin, labels: 000.label, sequence: a}, ...]."
        )
    else:
        first, second = sequences[:2]
        advice = f"Write for instance splits: {{train: [{first!r}], val: [{second!r}]}}."
    return f"{advice} See {DOCS_PAGE}."


def _check(chosen: Mapping[str, Sequence[str] | None], known: Sequence[str]) -> None:
    split_of: dict[str, str] = {}
    for split, sequences in chosen.items():
        for sequence in sequences or ():
            if sequence not in known:
                raise DataError(
                    f"The split {split!r} names the sequence {shown(sequence)}; the data set has "
                    f"{_shown_names(known)}. Splits name sequences, not scans. {how_to_split(known)}"
                )
            if split_of.get(sequence) == split:
                raise DataError(f"The split {split!r} names the sequence {sequence!r} twice; keep one.")
            if sequence in split_of:
                raise DataError(
                    f"The sequence {sequence!r} is in the splits {split_of[sequence]!r} and {split!r}; "
                    "scans of one sequence are nearly equal, so it may only be in one."
                )
            split_of[sequence] = split


def _shown_names(names: Sequence[str]) -> str:
    return str(list(names)) if len(names) <= 20 else f"{list(names[:20])} and {len(names) - 20} more"
