"""Launch and parameter files for the node of hwnas in ROS 2, filled from the manifest.

Names and values of parameters are those of `hwnas.robotics.node_settings`; the tests hold them against it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from hwnas.bundle.integrations.base import Deployed, template, write_text
from hwnas.bundle.runtime.deployment import intensity_range_of
from hwnas.bundle.runtime.processor import LIDAR_RANGE_VIEW
from hwnas.data.label_maps import LabelMap
from hwnas.errors import ExportError

DIRECTORY = "ros2"
NODE = "hwnas.robotics.ros2_node"
_FILES = ("segmentation.launch.py", "segmentation.launch.xml", "segmentation.param.yaml", "README.md")


def write_ros2(deployed: Deployed) -> Mapping[str, Any]:
    """Write launch and parameter files into the bundle.

    Raises:
        ExportError: if the bundle labels no LiDAR points.
    """
    processor = deployed.stated.get("processor")
    if processor != LIDAR_RANGE_VIEW:
        raise ExportError(
            f"The node of ROS 2 labels clouds of LiDARs, with the processor {LIDAR_RANGE_VIEW!r}, but this "
            f"bundle has {processor!r}; leave out `integrations=ros2`."
        )
    deployment = deployed.stated["deployment"]
    low, high = intensity_range_of(deployment)
    names = LabelMap.from_json(deployment["label_map"]).class_names
    backend = "onnxruntime" if deployed.engine is None else "tensorrt"
    values = {
        "precision": deployed.precision,
        "backend": backend,
        "low": f"{low:g}",
        "high": f"{high:g}",
        "sensor": _plain(deployment.get("sensor", "unknown")),
        "classes": ", ".join(json.dumps(name) for name in names),
        "table": "\n".join(f"| {number} | {_plain(name)} |" for number, name in enumerate(names)),
    }
    for name in _FILES:
        write_text(deployed.bundle / DIRECTORY / name, template(f"ros2/bundle/{name}").substitute(values))
    return {"directory": DIRECTORY, "node": NODE, "precision": deployed.precision, "backend": backend}


def _plain(name: Any) -> str:
    """Return a name as text of a table of Markdown: in one line, without what would end a cell."""
    return json.dumps(str(name))[1:-1].replace("|", "\\|").replace("`", "'")
