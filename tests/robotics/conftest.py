"""A bundle of the small LiDAR for all tests of bags."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hwnas.bundle.export import export_bundle
from hwnas.bundle.trained_member import TrainedMember
from tests.bundle.small_lidar import FixedMeter, SmallSpace, SmallTask, write_run

pytest.register_assert_rewrite("tests.robotics.ros2.nodes", "tests.robotics.ros2.suites")


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that labels points by height, more or less."""
    run = write_run(tmp_path_factory.mktemp("robotics") / "run", widths=(8,))
    member = TrainedMember.from_json(json.loads((run / "trained.json").read_text())["members"][0], run)
    task = SmallTask({})
    return export_bundle(task, SmallSpace(task.contract, {}), member, run / "b", meter=FixedMeter())
