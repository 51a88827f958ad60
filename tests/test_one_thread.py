"""Linear algebra on one thread, whenever its library was loaded."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

PROGRAM = """
import os
from hwnas.one_thread import one_thread

with one_thread():
    pass
import numpy
import scipy.linalg
from threadpoolctl import threadpool_info, threadpool_limits

def threads():
    return {each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas"}

with threadpool_limits(3, user_api="blas"):
    before = threads()
    with one_thread():
        within = threads()
    print(sorted(before), sorted(within), sorted(threads()), "KMP_DUPLICATE_LIB_OK" in os.environ)
"""


@pytest.mark.parametrize("is_set", [False, True])
def test_a_library_that_is_loaded_later_is_limited_too(is_set: bool) -> None:
    environment = {key: value for key, value in os.environ.items() if key != "KMP_DUPLICATE_LIB_OK"}
    environment |= {"KMP_DUPLICATE_LIB_OK": "TRUE"} if is_set else {}
    environment.pop("OPENBLAS_NUM_THREADS", None)
    environment["OMP_NUM_THREADS"] = "4"
    found = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, env=environment, check=True
    )
    assert found.stdout.split("] ")[1] == "[1"
    assert found.stdout.strip().endswith(str(is_set))
    before, _, after = found.stdout.split("] ")[:3]
    assert before == after
