"""A TensorRT whose engines copy their input to their output, for tests of what drives one.

What a version lacks is left out, so that code which asks for it fails as it would there.
"""

from __future__ import annotations

import ctypes
import json
import math
from enum import IntEnum
from pathlib import Path
from types import SimpleNamespace
from typing import Any


class ILogger:
    WARNING = 2


class DataType(IntEnum):
    FLOAT = 0
    HALF = 1


def make_tensorrt(version: str, *, dla_cores: int = 0, strong_typing_works: bool = True) -> Any:
    """Return a module-like object with the part of TensorRT `version` that hwnas uses."""
    major = int(version.split(".", 1)[0])
    builder_flags = {"TF32": 7, "GPU_FALLBACK": 3, "VERSION_COMPATIBLE": 13}
    creation_flags = {"STRONGLY_TYPED": 1}
    hardware_levels = {"NONE": 0, "AMPERE_PLUS": 1}
    numbers = tuple(int(part) for part in version.split("."))
    if numbers >= (10, 9):
        hardware_levels |= {"SAME_COMPUTE_CAPABILITY": 2}
    if major < 11:
        builder_flags |= {"FP16": 0, "INT8": 1, "BF16": 17}
        creation_flags |= {"EXPLICIT_BATCH": 0}
    builds: list[Config] = []

    class Builder:
        def __init__(self, log: Any) -> None:
            self.num_DLA_cores = dla_cores

        def create_network(self, flags: int) -> Network:
            return Network(flags)

        def create_builder_config(self) -> Config:
            return Config(numbers)

        def build_serialized_network(self, network: Network, config: Config) -> bytes | None:
            config.network = network
            builds.append(config)
            if network.flags == 2 and not strong_typing_works:
                return None
            return plan_of(version, network.tensors)

    class Runtime:
        def __init__(self, log: Any) -> None:
            pass

        def deserialize_cuda_engine(self, plan: bytes) -> Engine:
            return Engine(json.loads(plan[28:]))

    return SimpleNamespace(
        __name__="tensorrt",
        __version__=version,
        ILogger=ILogger,
        NetworkDefinitionCreationFlag=SimpleNamespace(**creation_flags),
        BuilderFlag=SimpleNamespace(**builder_flags),
        ProfilingVerbosity=SimpleNamespace(DETAILED=2),
        MemoryPoolType=SimpleNamespace(WORKSPACE=0),
        DeviceType=SimpleNamespace(DLA=1),
        Builder=Builder,
        Runtime=Runtime,
        TensorIOMode=SimpleNamespace(INPUT=1, OUTPUT=2),
        HardwareCompatibilityLevel=SimpleNamespace(**hardware_levels),
        OnnxParser=OnnxParser,
        builds=builds,
    )


def plan_of(version: str, tensors: dict[str, Any], tag: bytes = b"ftrt") -> bytes:
    """Return an engine: a header as TensorRT writes it, then what `Engine` needs."""
    numbers = [int(part) for part in version.split(".")]
    return tag + bytes(20) + bytes((*numbers, 0, 0)[:4]) + json.dumps(tensors).encode()


class Network:
    def __init__(self, flags: int) -> None:
        self.flags = flags
        self.tensors: dict[str, Any] = {}
        self.num_outputs = 0
        self.num_layers = 2

    @property
    def num_inputs(self) -> int:
        return len(self.tensors.get("inputs", ()))

    def get_input(self, index: int) -> Any:
        name, shape = list(self.tensors["inputs"].items())[index]
        return SimpleNamespace(name=name, shape=shape, is_shape_tensor=False)

    def get_layer(self, index: int) -> Any:
        return SimpleNamespace(name=f"layer{index}", index=index)


class OnnxParser:
    num_errors = 0

    def __init__(self, network: Network, log: Any) -> None:
        self.network = network

    def parse_from_file(self, path: str) -> bool:
        from hwnas.latency.backends.onnx_file import read_outline

        outline = read_outline(path)
        assert Path(path).is_file()
        self.network.tensors = {
            "inputs": {spec.name: list(spec.shape) for spec in outline.inputs},
            "outputs": {spec.name: list(spec.shape) for spec in outline.outputs},
        }
        self.network.num_outputs = len(outline.outputs)
        return True


class Config:
    def __init__(self, version: tuple[int, ...]) -> None:
        if version >= (11, 1):
            self.all_build_routes, self.build_route = "-a=[on|off]", ""
        self.flags = {7}
        self.timing_cache: Any = None
        self.network: Any = None

    def set_flag(self, flag: int) -> None:
        self.flags.add(flag)

    def clear_flag(self, flag: int) -> None:
        self.flags.discard(flag)

    def set_memory_pool_limit(self, pool: int, size: int) -> None:
        self.workspace = size

    def can_run_on_DLA(self, layer: Any) -> bool:  # noqa: N802 - TensorRT's name
        return layer.index == 0

    def create_timing_cache(self, content: bytes) -> Any:
        return SimpleNamespace(content=content, serialize=lambda: content + b"+")

    def set_timing_cache(self, cache: Any, *, ignore_mismatch: bool) -> None:
        self.timing_cache = cache

    def get_timing_cache(self) -> Any:
        return self.timing_cache


class Engine:
    def __init__(self, tensors: dict[str, Any]) -> None:
        self.inputs = list(tensors["inputs"])
        self.io_names = [*tensors["inputs"], *tensors["outputs"]]
        self.num_io_tensors = len(self.io_names)
        self.shapes = {**tensors["inputs"], **tensors["outputs"]}
        self.names = (next(iter(tensors["inputs"])), next(iter(tensors["outputs"])))

    def get_tensor_name(self, index: int) -> str:
        return self.io_names[index]

    def get_tensor_mode(self, name: str) -> int:
        return 1 if name in self.inputs else 2

    def get_tensor_shape(self, name: str) -> list[int]:
        return self.shapes[name]

    def get_tensor_dtype(self, name: str) -> DataType:
        return DataType.FLOAT

    def create_execution_context(self) -> Context:
        return Context(self)


class Context:
    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.addresses: dict[str, int] = {}

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        return list(shape) == self.engine.shapes[name]

    def get_tensor_shape(self, name: str) -> list[int]:
        return self.engine.shapes[name]

    def set_tensor_address(self, name: str, address: int) -> bool:
        self.addresses[name] = address
        return True

    def execute_async_v3(self, stream: int) -> bool:
        source, target = self.engine.names
        count = min(math.prod(self.engine.shapes[name]) for name in self.engine.names)
        ctypes.memmove(self.addresses[target], self.addresses[source], 4 * count)
        return True
