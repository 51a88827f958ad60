"""A distribution with a task and a space that train in a moment, as if it were installed."""

from __future__ import annotations

import shutil
from pathlib import Path

ENTRY_POINTS = """\
[hwnas.tasks]
tiny-stripes = hwnas_tiny_plugin:make_task

[hwnas.search_spaces]
tiny-space = hwnas_tiny_plugin:make_space
"""


def write_tiny_site(site: Path) -> None:
    """Write the distribution `hwnas-tiny-plugin` into a directory; on the path, it is found.

    It registers the task `tiny-stripes` and the space `tiny-space`, whose networks may misbehave on demand.
    """
    shutil.copy(Path(__file__).with_name("tiny_plugin.py"), site / "hwnas_tiny_plugin.py")
    info = site / "hwnas_tiny_plugin-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: hwnas-tiny-plugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
