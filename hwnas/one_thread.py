"""Linear algebra on one thread."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

_SET_BY_IMPORT = "KMP_DUPLICATE_LIB_OK"


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute on one thread: matrices of some hundreds of rows lose more than they gain by several.

    Where the cores are busy with something else, waiting for each other makes threads ten times slower.
    """
    before = os.environ.get(_SET_BY_IMPORT)
    from threadpoolctl import threadpool_limits

    # Its import sets a variable for libraries that are loaded afterwards; the caller's environment stays.
    if before is None:
        os.environ.pop(_SET_BY_IMPORT, None)
    with threadpool_limits(1, user_api="blas"):
        yield
