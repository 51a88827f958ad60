from __future__ import annotations

import pytest

from tests.cpp_runtime.building import Built, build_all


@pytest.fixture(scope="session")
def built() -> Built:
    """The C++ runtime, built once for all tests."""
    return build_all()
