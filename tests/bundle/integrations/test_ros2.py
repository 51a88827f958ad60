"""Files for the node of ROS 2: parameters are held against the node's own, launch files against what they run."""

import runpy
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import yaml

from hwnas.bundle.integrations.base import Deployed
from hwnas.bundle.integrations.choice import parse_integrations
from hwnas.bundle.integrations.ros2 import write_ros2
from hwnas.bundle.manifest import read_manifest
from hwnas.errors import ExportError
from hwnas.io_spec import IoSpec, TensorSpec
from hwnas.robotics.node_settings import NODE_PARAMETERS, NodeSettings
from tests.bundle.integrations.deployed import export_with
from tests.bundle.small_lidar import CLASSES, LABELS, SmallTask

PACKAGE = Path(__file__).parents[3] / "export" / "ros2" / "hwnas_ros"
# Launch files by the argument that names the program, the program, and its arguments.
LAUNCHED = [
    ("segmentation", "python", "python3", ["-m", "hwnas.robotics.ros2_node"]),
    ("segmentation_cpp", "executable", "hwnas_segmentation_node", []),
]
SPEC = IoSpec((TensorSpec("x", (1, 5)),), (TensorSpec("y", (1,)),))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_with(tmp_path_factory.mktemp("ros2"), "ros2")


def parameters(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(path.read_text())["/**"]["ros__parameters"]
    return found


def stated(**changes: Any) -> dict[str, Any]:
    deployment = {**SmallTask({}).deployment(None), **changes}  # type: ignore[arg-type]
    return {"processor": "lidar-range-view", "deployment": deployment}


def test_every_file_is_in_the_manifest(bundle: Path) -> None:
    manifest = read_manifest(bundle)
    written = {path.relative_to(bundle).as_posix() for path in bundle.rglob("*") if path.is_file()}
    assert written - set(manifest.content["files"]) == {"manifest.json"}
    assert manifest.content["integrations"]["ros2"] == {
        "directory": "ros2",
        "loaded_by": {
            "segmentation.launch.py": "hwnas.robotics.ros2_node",
            "segmentation.launch.xml": "hwnas.robotics.ros2_node",
            "segmentation_cpp.launch.py": "hwnas_segmentation_node",
            "segmentation_cpp.launch.xml": "hwnas_segmentation_node",
        },
        "precision": "fp32",
        "backend": "onnxruntime",
    }
    readme = (bundle / "ros2" / "README.md").read_text()
    assert all(f"| `{name}.launch.py` or `.xml` | " in readme for name, *_ in LAUNCHED)
    assert all(f"| {number} | {name} |" in readme for number, name in enumerate(CLASSES))
    assert "intensities from 0 to 255" in readme
    assert "'test-16'" in readme or "`test-16`" in readme


@pytest.mark.parametrize("where", ["bundle", "package"])
def test_parameters_are_those_of_the_node(where: str, bundle: Path) -> None:
    path = bundle / "ros2" if where == "bundle" else PACKAGE / "config"
    found = parameters(path / "segmentation.param.yaml")
    declared = {one.name: one.default for one in NODE_PARAMETERS if one.name != "bundle"}
    assert NodeSettings.of(found).values == {"bundle": "", **declared}
    assert list(found) == list(declared), "in the same order"


def test_an_engine_of_the_bundle_is_what_runs(tmp_path: Path) -> None:
    engine = Deployed(tmp_path, "a" * 16, "fp16", "model.fp16.onnx", SPEC, "orin.engine", stated=stated())
    assert write_ros2(engine)["backend"] == "tensorrt"
    found = NodeSettings.of(parameters(tmp_path / "ros2" / "segmentation.param.yaml"))
    assert (found.precision, found.backend) == ("fp16", "tensorrt")


def test_names_cannot_break_out_of_their_place(tmp_path: Path) -> None:
    label_map = LABELS.to_json()
    for one, name in zip(label_map["classes"], ['a"\nautostart: false', "b|c\r`d`", "$e"], strict=True):
        one["name"] = name
    content = stated(label_map=label_map, sensor="s|\n# t")
    write_ros2(Deployed(tmp_path, "a" * 16, "fp32", "model.onnx", SPEC, stated=content))
    assert parameters(tmp_path / "ros2" / "segmentation.param.yaml")["autostart"] is True
    readme = (tmp_path / "ros2" / "README.md").read_text()
    assert "\n# t" not in readme
    assert "| 2 | $e |" in readme


def test_other_tasks_are_refused(tmp_path: Path) -> None:
    deployed = Deployed(tmp_path, "a" * 16, "fp32", "model.onnx", SPEC, stated={"processor": "arrays"})
    with pytest.raises(ExportError, match="'arrays'; leave out `integrations=ros2`"):
        write_ros2(deployed)
    assert parse_integrations("ros2,triton") == ("triton", "ros2")


@pytest.fixture
def _ros(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand-ins for the modules of ROS: every class keeps what it was called with."""

    def keep(kind: str) -> Any:
        return lambda *args, **options: SimpleNamespace(kind=kind, args=args, **options)

    contents = {
        "launch": ("LaunchDescription",),
        "launch.actions": ("DeclareLaunchArgument",),
        "launch.substitutions": ("LaunchConfiguration", "PathJoinSubstitution"),
        "launch_ros": (),
        "launch_ros.actions": ("Node",),
        "launch_ros.substitutions": ("FindPackageShare",),
    }
    for name, kinds in contents.items():
        module = ModuleType(name)
        module.__dict__.update({kind: keep(kind) for kind in kinds})
        monkeypatch.setitem(sys.modules, name, module)


@pytest.mark.usefixtures("_ros")
@pytest.mark.parametrize(("name", "argument", "program", "arguments"), LAUNCHED)
@pytest.mark.parametrize("given", [None, "0"])
def test_launch_files_run_a_node_on_this_bundle(
    name: str,
    argument: str,
    program: str,
    arguments: list[str],
    given: str | None,
    bundle: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("ORT_DISABLE_TELEMETRY", raising=False)
    if given is not None:
        monkeypatch.setenv("ORT_DISABLE_TELEMETRY", given)
    launch = runpy.run_path(str(bundle / "ros2" / f"{name}.launch.py"))
    *declared, node = launch["generate_launch_description"]().args[0]
    assert [one.args[0] for one in declared] == ["points", "params_file", argument]
    assert Path(declared[1].default_value).is_file()
    assert declared[2].default_value == program
    assert node.executable.args == (argument,)
    assert node.arguments == arguments
    assert node.parameters[1] == {"bundle": str(bundle.resolve())}
    assert node.remappings[0][0] == "points"
    assert node.additional_env == {"ORT_DISABLE_TELEMETRY": given or "1"}


@pytest.mark.parametrize(("name", "argument", "program", "arguments"), LAUNCHED)
def test_launch_files_in_xml_say_the_same(
    name: str, argument: str, program: str, arguments: list[str], bundle: Path
) -> None:
    root = ET.parse(bundle / "ros2" / f"{name}.launch.xml").getroot()
    assert [(one.get("name"), one.get("default")) for one in root.findall("arg")] == [
        ("points", "/points"),
        ("params_file", "$(dirname)/segmentation.param.yaml"),
        (argument, program),
    ]
    (node,) = root.findall("node")
    assert node.get("exec") == f"$(var {argument})"
    assert "args" not in node.attrib or node.get("args"), "an empty one is an empty argument of the program"
    assert node.get("args", "").split() == arguments
    assert [(one.get("name"), one.get("from"), one.get("value")) for one in node.findall("param")] == [
        (None, "$(var params_file)", None),
        ("bundle", None, "$(dirname)/.."),
    ]
    assert [(one.get("from"), one.get("to")) for one in node.findall("remap")] == [
        ("points", "$(var points)")
    ]
    variables = [(one.get("name"), one.get("value")) for one in root.iter("env")]
    assert variables == [("ORT_DISABLE_TELEMETRY", "$(env ORT_DISABLE_TELEMETRY 1)")]


@pytest.mark.usefixtures("_ros")
def test_the_launch_file_of_the_package_runs_its_executable() -> None:
    launch = runpy.run_path(str(PACKAGE / "launch" / "segmentation.launch.py"))
    *arguments, node = launch["generate_launch_description"]().args[0]
    assert [one.args[0] for one in arguments] == ["bundle", "points", "params_file"]
    assert (node.package, node.executable) == ("hwnas_ros", "segmentation_node")


def test_both_launch_files_of_the_package_say_the_same() -> None:
    root = ET.parse(PACKAGE / "launch" / "segmentation.launch.xml").getroot()
    assert [one.get("name") for one in root.findall("arg")] == ["bundle", "points", "params_file"]
    (node,) = root.findall("node")
    assert [one.get("from") or one.get("name") for one in node.findall("param")] == [
        "$(var params_file)",
        "bundle",
    ]
    assert [(one.get("from"), one.get("to")) for one in node.findall("remap")] == [
        ("points", "$(var points)")
    ]


def test_the_package_installs_what_its_launch_files_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    setups: list[dict[str, Any]] = []
    monkeypatch.setattr("setuptools.setup", lambda **options: setups.append(options))
    monkeypatch.chdir(PACKAGE)
    runpy.run_path(str(PACKAGE / "setup.py"))
    (options,) = setups
    installed = {f"{place}/{Path(name).name}" for place, names in options["data_files"] for name in names}
    share = "share/hwnas_ros"
    assert {
        "share/ament_index/resource_index/packages/hwnas_ros",
        f"{share}/package.xml",
        f"{share}/launch/segmentation.launch.py",
        f"{share}/launch/segmentation.launch.xml",
        f"{share}/config/segmentation.param.yaml",
        f"{share}/config/fastdds_large_clouds.xml",
        f"{share}/layouts/segmentation.rviz",
        f"{share}/layouts/segmentation.foxglove.json",
    } == installed
    assert all((PACKAGE / name).is_file() for _, names in options["data_files"] for name in names)
    package = ET.parse(PACKAGE / "package.xml").getroot()
    assert (package.findtext("name"), package.findtext("version")) == (options["name"], options["version"])
    assert package.findtext("export/build_type") == "ament_python"
    yaml.safe_load((PACKAGE / "layouts" / "segmentation.rviz").read_text())
