"""What jobs in worker processes warn of is warned of in the process that asked for them."""

from __future__ import annotations

import time
import warnings
from concurrent.futures import as_completed

import pytest

from hwnas.scan import DataWarning
from hwnas.worker_pool import worker_pool

pytestmark = pytest.mark.usefixtures("spawned_pools")


def warned(number: int) -> int:
    """Warn in a worker, twice of the same."""
    for _ in range(2):
        warnings.warn("odd scans", DataWarning, stacklevel=1)
    return number


def failing() -> None:
    raise ValueError("no")


def test_warnings_come_here_with_their_category(capfd: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings(record=True) as caught, worker_pool(2) as pool:
        warnings.simplefilter("always")
        results = {future.result() for future in as_completed([pool.submit(warned, n) for n in range(3)])}
        with pytest.raises(ValueError, match="no"):
            pool.submit(failing).result()
    assert results == {0, 1, 2}
    assert [(str(one.message), one.category) for one in caught] == [("odd scans", DataWarning)] * 3
    assert capfd.readouterr().err == ""


def test_the_filters_of_the_caller_decide() -> None:
    with warnings.catch_warnings(), worker_pool(1) as pool:
        warnings.simplefilter("error", DataWarning)
        with pytest.raises(DataWarning, match="odd scans"):
            pool.submit(warned, 1).result()
        warnings.simplefilter("ignore", DataWarning)
        assert pool.submit(warned, 1).result() == 1


def test_jobs_that_are_not_begun_can_be_cancelled() -> None:
    with worker_pool(1) as pool:
        futures = [pool.submit(time.sleep, 0.2) for _ in range(6)]
        assert futures[-1].cancel()
        assert futures[-1].cancelled()
        assert [future.result() for future in futures[:-1]] == [None] * 5
