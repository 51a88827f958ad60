"""Parameters are held against what the nodes' sources demand; launch files run with stand-ins for ROS."""

import runpy
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import yaml

from hwnas.bundle.integrations.base import Deployed
from hwnas.bundle.integrations.isaac_ros import write_isaac_ros
from hwnas.bundle.manifest import read_manifest
from hwnas.errors import ExportError
from hwnas.io_spec import IoSpec, TensorSpec
from tests.bundle.integrations.deployed import export_with

LISTS = ("input_tensor_names", "input_binding_names", "output_tensor_names", "output_binding_names")
# What the constructors of isaac_ros_dnn_inference declare, release 4.5, with the type of each.
COMMON = dict.fromkeys((*LISTS, "input_tensor_formats", "output_tensor_formats"), list)
TENSOR_RT = {
    **COMMON, "force_engine_update": bool, "enable_fp16": bool, "relaxed_dimension_check": bool, "verbose": bool,
    "max_batch_size": int, "dla_core": int, "memory_pool_block_size": int,
}  # fmt: skip
TRITON = {**COMMON, "model_name": str, "max_batch_size": int}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_with(tmp_path_factory.mktemp("isaac"), "isaac-ros")


def parameters(bundle: Path, name: str) -> dict[str, Any]:
    content = yaml.safe_load((bundle / "isaac_ros" / f"{name}.param.yaml").read_text())
    found: dict[str, Any] = content["/**"]["ros__parameters"]
    return found


@pytest.mark.parametrize(("name", "declared"), [("tensor_rt", TENSOR_RT), ("triton", TRITON)])
def test_parameters_are_ones_that_the_nodes_declare(
    bundle: Path, name: str, declared: dict[str, type]
) -> None:
    found = parameters(bundle, name)
    assert set(found) == set(declared)
    assert all(type(value) is declared[key] for key, value in found.items())
    spec = read_manifest(bundle).io_spec
    assert all(found[key] for key in LISTS)
    assert found["input_binding_names"] == [tensor.name for tensor in spec.inputs]
    assert found["output_binding_names"] == [tensor.name for tensor in spec.outputs]
    assert len(found["input_tensor_names"]) == len(found["input_binding_names"])


def test_engines_are_never_rebuilt_and_outputs_fit_the_pool(bundle: Path) -> None:
    found = parameters(bundle, "tensor_rt")
    assert found["force_engine_update"] is False
    assert found["enable_fp16"] is False
    assert found["memory_pool_block_size"] == 3 * 16 * 256 * 4
    assert parameters(bundle, "triton")["max_batch_size"] == 0


def test_every_file_is_in_the_manifest_and_nodes_are_named(bundle: Path) -> None:
    manifest = read_manifest(bundle)
    written = {path.relative_to(bundle).as_posix() for path in bundle.rglob("*") if path.is_file()}
    assert written - set(manifest.content["files"]) == {"manifest.json"}
    stated = manifest.content["integrations"]
    assert set(stated) == {"triton", "isaac-ros"}
    readme = (bundle / "isaac_ros" / "README.md").read_text()
    assert all(node in readme for node in stated["isaac-ros"]["loaded_by"].values())
    assert "not run on ROS" in readme
    assert parameters(bundle, "triton")["model_name"] == stated["triton"]["model_name"]


@pytest.fixture
def _ros(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand-ins for the four modules of ROS: every class keeps what it was called with."""

    def keep(kind: str) -> Any:
        return lambda *args, **options: SimpleNamespace(kind=kind, args=args, **options)

    class LaunchConfiguration:
        def __init__(self, name: str) -> None:
            self.name = name

        def perform(self, context: dict[str, str]) -> str:
            return context[self.name]

    contents = {
        "launch": {"LaunchDescription": keep("description"), "LaunchContext": dict},
        "launch.actions": {name: keep(name) for name in ("DeclareLaunchArgument", "OpaqueFunction")},
        "launch.substitutions": {"LaunchConfiguration": LaunchConfiguration},
        "launch_ros": {},
        "launch_ros.actions": {"ComposableNodeContainer": keep("container")},
        "launch_ros.descriptions": {"ComposableNode": keep("node")},
    }
    for name, content in contents.items():
        module = ModuleType(name)
        module.__dict__.update(content)
        monkeypatch.setitem(sys.modules, name, module)


@pytest.mark.usefixtures("_ros")
def test_the_tensorrt_node_gets_a_ready_engine(bundle: Path, tmp_path: Path) -> None:
    launch = runpy.run_path(str(bundle / "isaac_ros" / "tensor_rt.launch.py"))
    argument, opaque = launch["generate_launch_description"]().args[0]
    assert argument.args == ("engine_file_path",)
    assert not hasattr(argument, "default_value")
    with pytest.raises(RuntimeError, match="no engine"):
        opaque.function({"engine_file_path": str(tmp_path / "gone.engine")})
    engine = tmp_path / "orin.engine"
    engine.write_bytes(b"ftrt")
    (container,) = opaque.function({"engine_file_path": str(engine)})
    (node,) = container.composable_node_descriptions
    assert (node.package, node.plugin) == (
        "isaac_ros_tensor_rt",
        "nvidia::isaac_ros::dnn_inference::TensorRTNode",
    )
    file, paths = node.parameters
    assert Path(file).is_file()
    assert paths["engine_file_path"] == str(engine)
    assert Path(paths["model_file_path"]) == (bundle / "model.onnx").resolve()


@pytest.mark.usefixtures("_ros")
def test_the_engine_of_a_bundle_is_the_default(tmp_path: Path) -> None:
    spec = IoSpec((TensorSpec("x", (1, 5)),), (TensorSpec("y", (1,)),))
    write_isaac_ros(Deployed(tmp_path, "a" * 16, "fp16", "model.fp16.onnx", spec, "orin.engine"))
    launch = runpy.run_path(str(tmp_path / "isaac_ros" / "tensor_rt.launch.py"))
    argument, _ = launch["generate_launch_description"]().args[0]
    assert argument.default_value == str((tmp_path / "orin.engine").resolve())


@pytest.mark.usefixtures("_ros")
def test_the_triton_node_gets_the_repository(bundle: Path) -> None:
    launch = runpy.run_path(str(bundle / "isaac_ros" / "triton.launch.py"))
    (container,) = launch["generate_launch_description"]().args[0]
    (node,) = container.composable_node_descriptions
    assert (node.package, node.plugin) == ("isaac_ros_triton", "nvidia::isaac_ros::dnn_inference::TritonNode")
    (repository,) = node.parameters[1]["model_repository_paths"]
    model = parameters(bundle, "triton")["model_name"]
    assert (Path(repository) / model / "config.pbtxt").is_file()


@pytest.mark.parametrize("tensor", [TensorSpec("x", (1, 5), "float16"), TensorSpec("x", (1, -1))])
def test_what_the_nodes_cannot_take_is_refused(tmp_path: Path, tensor: TensorSpec) -> None:
    spec = IoSpec((tensor,), (TensorSpec("y", (1,)),))
    with pytest.raises(ExportError, match=r"\['x'\]"):
        write_isaac_ros(Deployed(tmp_path, "a" * 16, "fp32", "model.onnx", spec))
