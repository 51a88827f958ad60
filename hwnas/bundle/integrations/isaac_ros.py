"""Launch and parameter files for the TensorRT node and the Triton node of Isaac ROS.

Parameters as `isaac_ros_dnn_inference` declares them: both nodes refuse empty lists of names, the sizes
of all dimensions must be fixed, and the TensorRT node has types for float32 and integers only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hwnas.bundle.integrations.base import Deployed, markdown_rows, size_bytes, template, write_text
from hwnas.errors import ExportError
from hwnas.io_spec import TensorSpec
from hwnas.yaml_files.writing import dump_yaml

DIRECTORY = "isaac_ros"
TENSOR_RT_NODE = "nvidia::isaac_ros::dnn_inference::TensorRTNode"
TRITON_NODE = "nvidia::isaac_ros::dnn_inference::TritonNode"
_FORMAT = "nitros_tensor_list_nchw"
_DTYPES = ("float32", "int8", "int32", "int64", "uint8", "bool")


def write_isaac_ros(deployed: Deployed) -> Mapping[str, Any]:
    """Write launch and parameter files into the bundle; the Triton repository is written apart.

    Raises:
        ExportError: if the nodes cannot take a tensor.
    """
    tensors = (*deployed.io_spec.inputs, *deployed.io_spec.outputs)
    wrong = [tensor.name for tensor in tensors if tensor.dtype not in _DTYPES or min(tensor.shape) < 1]
    if wrong:
        raise ExportError(
            f"The nodes of Isaac ROS cannot take the tensors {wrong}; leave out `integrations=isaac-ros`."
        )
    directory = deployed.bundle / DIRECTORY
    precision, source = deployed.built_from
    values = {
        "source": source,
        "engine": deployed.engine or "",
        "precision": precision,
        "table": markdown_rows(deployed.io_spec),
        "input": deployed.io_spec.inputs[0].name,
        "output": deployed.io_spec.outputs[0].name,
    }
    for name in ("tensor_rt.launch.py", "triton.launch.py", "README.md"):
        write_text(directory / name, template(f"{DIRECTORY}/{name}").substitute(values))
    write_text(directory / "tensor_rt.param.yaml", _parameter_file(tensor_rt_parameters(deployed)))
    write_text(directory / "triton.param.yaml", _parameter_file(triton_parameters(deployed)))
    return {
        "directory": DIRECTORY,
        "precision": precision,
        "loaded_by": {"tensor_rt.launch.py": TENSOR_RT_NODE, "triton.launch.py": TRITON_NODE},
    }


def tensor_rt_parameters(deployed: Deployed) -> dict[str, Any]:
    """Return the parameters of the TensorRT node, but for the paths, which the launch file knows."""
    return {
        **_names(deployed),
        "force_engine_update": False,
        "enable_fp16": False,
        "relaxed_dimension_check": False,
        "max_batch_size": 1,
        "dla_core": -1,
        "verbose": False,
        # The default holds 9.2 MB; scores of 20 classes at 64 x 2048 pixels take 10.5 MB.
        "memory_pool_block_size": max(size_bytes(tensor) for tensor in deployed.io_spec.outputs),
    }


def triton_parameters(deployed: Deployed) -> dict[str, Any]:
    """Return the parameters of the Triton node, but for the path of the repository."""
    return {"model_name": deployed.name, "max_batch_size": 0, **_names(deployed)}


def _names(deployed: Deployed) -> dict[str, list[str]]:
    def names(tensors: tuple[TensorSpec, ...]) -> list[str]:
        return [tensor.name for tensor in tensors]

    inputs, outputs = deployed.io_spec.inputs, deployed.io_spec.outputs
    return {
        "input_tensor_names": names(inputs),
        "input_binding_names": names(inputs),
        "input_tensor_formats": [_FORMAT],
        "output_tensor_names": names(outputs),
        "output_binding_names": names(outputs),
        "output_tensor_formats": [_FORMAT],
    }


def _parameter_file(parameters: Mapping[str, Any]) -> str:
    return dump_yaml({"/**": {"ros__parameters": dict(parameters)}})
