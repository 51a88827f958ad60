"""Linear algebra on one thread."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController

_SET_BY_IMPORT = "KMP_DUPLICATE_LIB_OK"


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute on one thread: matrices of some hundreds of rows lose more than they gain by several.

    Where the cores are busy with something else, waiting for each other makes threads ten times slower.
    """
    with _loaded_libraries(len(sys.modules)).limit(limits=1, user_api="blas"):
        yield


@functools.lru_cache(maxsize=1)
def _loaded_libraries(num_modules: int) -> ThreadpoolController:
    """Return what limits the threads of the libraries that are loaded.

    To find them takes some milliseconds, in which hundreds of small matrices are solved.

    Args:
        num_modules: that are imported; imports load libraries, so that more of these may be there after one.
    """
    before = os.environ.get(_SET_BY_IMPORT)
    from threadpoolctl import ThreadpoolController

    # Its import sets a variable for libraries that are loaded afterwards; the caller's environment stays.
    if before is None:
        os.environ.pop(_SET_BY_IMPORT, None)
    return ThreadpoolController()
