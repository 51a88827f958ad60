from __future__ import annotations

import pytest

from tests.cpp_runtime.building import Built, build_all
from tests.robotics.cpp_node.building import probe_library
from tests.robotics.cpp_node.probe import Probe


@pytest.fixture(scope="session")
def built() -> Built:
    """The C++ runtime."""
    return build_all()


@pytest.fixture(scope="session")
def probe(built: Built) -> Probe:
    """The core of the C++ node."""
    return Probe(probe_library(built))
