"""What the fuzz target of `export/cpp/tests/fuzz.cpp` is built with and begins from."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from hwnas.data.sensors import load_sensor
from tests.bundle.runtime.test_scan_refusals import cloud_of, expected
from tests.cpp_runtime.building import build
from tests.cpp_runtime.lidar_bundle import spec_of, write_lidar_bundle

# float-cast-overflow: processors differ in what becomes of a number that the other type cannot hold.
SANITIZERS = "address,undefined,float-cast-overflow"
MOST_BYTES = 100_000
"""Of an input."""
_SENSOR = "vlp-16"


def why_not() -> str:
    """Return what libFuzzer lacks on this machine; empty if nothing."""
    return "" if shutil.which("clang++") else "libFuzzer needs clang++: see scripts/prepare_cpp_runtime --all"


def build_target(name: str = "fuzzer", sanitizers: str = SANITIZERS, flags: str = "-O1 -g1") -> Path:
    """Build the target with clang, and return the program.

    Args:
        name: of the directory of the build.
        sanitizers: for libFuzzer to find more.
        flags: for the compiler.
    """
    options = {
        "CMAKE_CXX_COMPILER": "clang++",
        "CMAKE_BUILD_TYPE": "None",
        "CMAKE_CXX_FLAGS": flags,
        "HWNAS_LIBFUZZER": "ON",
        "HWNAS_SANITIZE": sanitizers,
    }
    words = [f"-D{key}={value}" for key, value in options.items()]
    return build(name, *words, targets=("fuzz",)) / "tests" / "fuzz"


def fuzzed_bundle(directory: Path) -> Path:
    """Write a bundle for a sensor with expectations of its scans."""
    spec, expects = spec_of(load_sensor(_SENSOR), 256), expected(_SENSOR).to_json()
    return write_lidar_bundle(directory, spec, expects=expects, intensity_range=[0.0, 255.0])


def scan_bytes(seed: int, every: int = 1) -> bytes:
    """Return a scan file, or every so manieth point of it."""
    cloud = cloud_of(_SENSOR, seed)
    values = np.column_stack([cloud.points, cloud.intensity * np.float32(255)])
    return values[::every].astype("<f4").tobytes()


def model_bytes(location: str) -> bytes:
    """Return a model whose weights lie in another file, in tensors of the graph, of a node and of a branch."""

    def outside(name: str) -> onnx.TensorProto:
        tensor = numpy_helper.from_array(np.zeros(3, np.float32), name)
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in (("location", location), ("offset", "0")):
            tensor.external_data.add(key=key, value=value)
        return tensor

    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, [3])
    constant = helper.make_node("Constant", [], ["y"], value=outside("constant"))
    branch = helper.make_graph([constant], "branch", [], [output], [outside("of branch")])
    choice = helper.make_node("If", ["condition"], ["z"], then_branch=branch, else_branch=branch)
    graph = helper.make_graph([constant, choice], "graph", [], [output], [outside("of graph")])
    return helper.make_model(graph).SerializeToString(deterministic=True)


def point_bytes(seed: int, every: int) -> bytes:
    """Return points with rings and times, as the target reads them: one array after the other."""
    cloud = cloud_of(_SENSOR, seed)
    values = np.column_stack([cloud.points, cloud.intensity])[::every].astype("<f4")
    time = np.linspace(0.0, 0.1, len(values)).astype("<f8")
    return values.tobytes() + cloud.ring[::every].astype("<i4").tobytes() + time.tobytes()


def write_seeds(corpus: Path, bundle: Path) -> None:
    """Write inputs of every kind, see `Kind` in fuzz.cpp, and of several uses."""
    corpus.mkdir(parents=True, exist_ok=True)
    manifest = (bundle / "manifest.json").read_bytes()
    whole = json.loads(manifest)
    body = manifest[: manifest.rindex(b',\n  "checksum"')]
    sections = json.dumps({key: whole[key] for key in ("deployment", "expects")}).encode()
    seeds = [
        (0, 0, body + b"\0" + scan_bytes(3, 9)),
        (0, 1, body + b"\0" + scan_bytes(3, 3)),
        (1, 0, manifest),
        (2, 0, (bundle / "model.onnx").read_bytes()),
        (2, 0, model_bytes("weights/of it.bin")),
        (2, 0, model_bytes("../weights.bin")),
        (3, 0, scan_bytes(3, 2)),
        (3, 0, scan_bytes(4, 7)),
        *((4, use, point_bytes(5, every)) for use in (0, 1, 3, 6, 11, 63) for every in (4, 40)),
        (5, 0, sections),
    ]
    for layout in scan_formats():
        changed = {**whole, "deployment": {**whole["deployment"], "scan_format": layout}}
        changed.pop("checksum")
        seeds.append((0, 0, json.dumps(changed).encode()[:-1] + b"\0" + scan_bytes(6, 20)))
    for number, (kind, use, content) in enumerate(seeds):
        (corpus / f"seed-{number}").write_bytes(bytes([kind, use]) + content)


def scan_formats() -> Iterator[Mapping[str, Any]]:
    """Yield layouts of records in 16 bytes, so that scans are taken."""
    yield {"name": "bin", "options": {"columns": ["x", "y", "z", "intensity"], "dtype": ">f4"}}
    columns = [{"x": "<i2"}, {"y": "<i2"}, {"z": "<i2"}, {"intensity": "u1"}, {"ring": "u1"}, {"t": "f8"}]
    yield {"name": "bin", "options": {"columns": columns, "check_columns": False}}
    doubles = ["_", "_", "x", "y", "z", {"intensity": "i8"}, {"label": "uint16"}, {"ring": "uint32"}]
    yield {"name": "bin", "options": {"columns": doubles, "dtype": "u1"}}


def write_dictionary(path: Path, bundle: Path) -> None:
    """Write the words of a manifest for libFuzzer."""
    words: set[str] = {"# .PCD", "VERSION ", "location", "true", "false", "null", "1e999", "-0.0"}

    def collect(value: Any) -> None:
        if isinstance(value, Mapping):
            words.update(value)
            for item in value.values():
                collect(item)
        elif isinstance(value, list):
            for item in value:
                collect(item)
        elif isinstance(value, str) and len(value) < 30:
            words.add(value)

    collect(json.loads((bundle / "manifest.json").read_bytes()))
    words.update(
        ("scan_format", "options", "columns", "dtype", "check_columns", "unit_m", "origin_m", "frame")
    )
    path.write_text("".join(f'"{word}"\n' for word in sorted(words) if word.isascii() and word))
