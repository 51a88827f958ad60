"""A small bundle with files for other programs."""

import json
from pathlib import Path

from hwnas.export.bundle import TrainedMember, export_bundle
from hwnas.export.integrations.choice import parse_integrations
from tests.export.small_lidar import FixedMeter, SmallSpace, SmallTask, write_run


def export_with(directory: Path, integrations: str) -> Path:
    run = write_run(directory / "run", widths=(4,))
    member = TrainedMember.from_json(json.loads((run / "trained.json").read_text())["members"][0], run)
    task = SmallTask({})
    space = SmallSpace(task.contract, {})
    wanted = parse_integrations(integrations)
    return export_bundle(task, space, member, run / "b", meter=FixedMeter(), integrations=wanted)
