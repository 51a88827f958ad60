"""Launch and parameter files for the nodes of hwnas in ROS 2, in Python and C++, filled from the manifest.

Names and values of parameters are those of `hwnas.robotics.node_settings`; the tests hold them against it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from hwnas.bundle.integrations.base import Deployed, template, write_text
from hwnas.bundle.runtime.deployment import intensity_range_of
from hwnas.bundle.runtime.processor import LIDAR_RANGE_VIEW
from hwnas.data.label_maps import LabelMap
from hwnas.errors import ExportError

DIRECTORY = "ros2"
_OTHER_FILES = ("segmentation.param.yaml", "README.md")
_KINDS = ("py", "xml")


class _Node(NamedTuple):
    """A node as its launch files start it.

    Attributes:
        node: its module or program.
        name: of the launch files, without `.launch.py` or `.launch.xml`.
        language: that it is written in.
        argument: of the launch files that names the program.
        program: that is started unless the argument says otherwise.
        arguments: of the program, separated by blanks.
        description: of the argument.
        needs: what has to be there.
    """

    node: str
    name: str
    language: str
    argument: str
    program: str
    arguments: str
    description: str
    needs: str

    @property
    def args(self) -> str:
        """The attribute of XML with the arguments; launch takes an empty one for an empty argument."""
        return f' args="{self.arguments}"' if self.arguments else ""


_PYTHON = _Node(
    node="hwnas.robotics.ros2_node",
    name="segmentation",
    language="Python",
    argument="python",
    program="python3",
    arguments="-m hwnas.robotics.ros2_node",
    description="Python that has hwnas.",
    needs="hwnas, numpy and onnxruntime in the Python that runs it (python:=, python3 if not given)",
)
_CPP = _Node(
    node="hwnas_segmentation_node",
    name="segmentation_cpp",
    language="C++",
    argument="executable",
    program="hwnas_segmentation_node",
    arguments="",
    description="Path of hwnas_segmentation_node.",
    needs="hwnas_segmentation_node, built by scripts/build_ros2_node of hwnas (executable:=, from PATH if "
    "not given), and the library of ONNX Runtime (HWNAS_ONNXRUNTIME_LIBRARY, unless the loader finds it)",
)
_NODES = (_PYTHON, _CPP)


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
        "launch_files": _launch_files(),
        "classes": ", ".join(json.dumps(name) for name in names),
        "table": "\n".join(f"| {number} | {_plain(name)} |" for number, name in enumerate(names)),
    }
    directory = deployed.bundle / DIRECTORY
    for name in _OTHER_FILES:
        write_text(directory / name, template(f"ros2/bundle/{name}").substitute(values))
    for kind in _KINDS:
        launch_file = template(f"ros2/bundle/segmentation.launch.{kind}")
        for node in _NODES:
            text = launch_file.substitute(node._asdict(), args=node.args)
            write_text(directory / f"{node.name}.launch.{kind}", text)
    return {
        "directory": DIRECTORY,
        "loaded_by": {f"{node.name}.launch.{kind}": node.node for node in _NODES for kind in _KINDS},
        "precision": deployed.precision,
        "backend": backend,
    }


def _launch_files() -> str:
    """Return a row of a table of Markdown for each node."""
    return "\n".join(
        f"| `{node.name}.launch.py` or `.xml` | the {node.language} node, `{node.node}` | {node.needs} |"
        for node in _NODES
    )


def _plain(name: Any) -> str:
    """Return a name as text of a table of Markdown: in one line, without what would end a cell."""
    return json.dumps(str(name))[1:-1].replace("|", "\\|").replace("`", "'")
