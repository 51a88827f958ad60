"""How many numbers a point has in a file without a header, by the values themselves.

Read with the right number of columns, each column has a distribution of its own: heights differ from
intensities, rings are whole numbers. Read with a wrong number, every column mixes them. The share of variance
that columns explain (R squared of a one-way analysis of variance, over several functions of the values) is
therefore large for the right number and its multiples, and next to nothing for others.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

PLAUSIBLE = range(3, 11)
"""Numbers of columns that are tried."""

_WINDOW = 2520  # a multiple of every plausible number of columns, so that columns stay in step
_NUM_WINDOWS = 4
_MIN_POINTS = 100
# How many times the share of the stated number another must have. On real scans, numbers without a common
# divisor differ by a factor of hundreds. A multiple of the right number may explain more, by the order of
# points.
_CLEARLY = 1.5
_CLEARLY_FOR_MULTIPLES = 4.0
_LEAST_SHARE = 0.1


def likely_columns(content: bytes, stated: int | None = None) -> int | None:
    """Return the number of float32 columns that a file seems to have, if it is not the stated one.

    Args:
        content: of the file.
        stated: number of columns that it is read with; None where the file cannot have that number.

    Returns:
        A number out of `PLAUSIBLE`; None if `stated` is as likely as any, or the values do not tell.
    """
    values = np.frombuffer(content[: len(content) // 4 * 4], "<f4")
    if len(values) < _MIN_POINTS * max(PLAUSIBLE):
        return None
    features = _features(_sample(values))
    shares = {number: _share(features, number) for number in PLAUSIBLE if not len(content) % (4 * number)}
    if not shares:
        return None
    highest = max(shares.values())
    if highest < _LEAST_SHARE:
        return None
    best = min(number for number, share in shares.items() if share >= 0.9 * highest)
    if stated is None:
        return best
    if best == stated or stated not in shares:
        return None
    needed = _CLEARLY if best % stated else _CLEARLY_FOR_MULTIPLES
    return best if shares[best] > needed * shares[stated] else None


def looks_like_float64(content: bytes) -> bool:
    """Return whether a file holds float64: nearly all values are then of a size that scans have."""
    return _usual(content, "<f8") > 0.99 and _usual(content, "<f4") < 0.9


def _usual(content: bytes, dtype: str) -> float:
    """Return the share of values, among those at the beginning, that are 0 or of a size that scans have."""
    size = np.dtype(dtype).itemsize
    values = np.abs(
        np.frombuffer(content[: min(len(content), _NUM_WINDOWS * _WINDOW * 8) // size * size], dtype)
    )
    usual = (values == 0) | ((values > 1e-6) & (values < 1e7)) | np.isnan(values)
    return float(usual.mean()) if len(values) else 0.0


def _sample(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return windows of the file, each beginning at a multiple of every plausible number of columns."""
    num_windows = len(values) // _WINDOW
    if num_windows <= _NUM_WINDOWS:
        return values[: max(num_windows, 1) * _WINDOW] if num_windows else values
    starts = np.linspace(0, num_windows - 1, _NUM_WINDOWS).astype(int) * _WINDOW
    return np.concatenate([values[start : start + _WINDOW] for start in starts])


def _features(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return functions [F, N] of the values that distributions of columns differ in."""
    finite = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
    size = np.abs(finite)
    ranks = [np.argsort(np.argsort(one, kind="stable"), kind="stable") for one in (finite, size)]
    is_whole = finite == np.rint(finite)
    return np.stack([*(rank / np.float32(len(values)) for rank in ranks), is_whole]).astype(np.float32)


def _share(features: npt.NDArray[np.float32], number: int) -> float:
    """Return the share of variance that columns explain, summed over features, less what chance explains."""
    length = features.shape[1] // number
    columns = features[:, : length * number].reshape(len(features), length, number)
    total = columns.reshape(len(features), -1).var(axis=1)
    between = columns.mean(axis=1).var(axis=1)
    varies = total > 1e-9
    by_chance = float(len(features) * (number - 1) / max(length * number, 1))
    return float((between[varies] / total[varies]).sum()) - by_chance
