from __future__ import annotations

from collections.abc import Iterator

import pytest

from hwnas.range_view.compiled import compiled_kernel


@pytest.fixture(scope="module", params=["compiled", "numpy"])
def kernel(request: pytest.FixtureRequest) -> Iterator[str]:
    """Run a module's tests with both kernels."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HWNAS_KERNEL", request.param)
        if request.param == "compiled" and compiled_kernel() is None:
            pytest.skip("the package was built without its compiled kernel: there was no C++ compiler")
        yield request.param
