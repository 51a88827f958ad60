"""A small bundle with files for other programs."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hwnas.architecture import Architecture
from hwnas.bundle.export import export_bundle
from hwnas.bundle.integrations.choice import parse_integrations
from hwnas.bundle.purpose import ExportOptions
from hwnas.bundle.trained_member import TrainedMember
from hwnas.data.expectations import expectations_of
from hwnas.scan import Scan
from tests.bundle.small_lidar import INTENSITY_RANGE, FixedMeter, SmallSpace, SmallTask, write_run


class ExpectingTask(SmallTask):
    """Says what its scans look like, so that bundles do."""

    def expectations(self, architecture: Architecture) -> Mapping[str, Any]:
        scans = [
            Scan(points, intensity / np.float32(255), None, None, "")
            for points, intensity, _ in self._scans(2)
        ]
        return expectations_of(
            scans, sensor="test-16", frame="x-forward", intensity_range=INTENSITY_RANGE
        ).to_json()


def export_with(directory: Path, integrations: str) -> Path:
    run = write_run(directory / "run", widths=(4,))
    member = TrainedMember.from_json(json.loads((run / "trained.json").read_text())["members"][0], run)
    task = ExpectingTask({})
    space = SmallSpace(task.contract, {})
    wanted = parse_integrations(integrations)
    return export_bundle(
        task, space, member, run / "b", meter=FixedMeter(), options=ExportOptions(integrations=wanted)
    )
