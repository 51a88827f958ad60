"""A bundle whose files are not what they seem, for tests of manifests alone."""

import json
from pathlib import Path
from typing import Any

from hwnas.files import sha256_of_file

CONTENT: dict[str, Any] = {
    "schema_version": 4,
    "precisions": {"fp32": {"file": "model.onnx"}},
    "recommended_precision": "fp32",
    "architecture_id": "a" * 16,
    "files": {},
    "model": {"file": "model.onnx", "format": "onnx", "precision": "float32", "opset": 20},
    "weights": "weights.safetensors",
    "io": {
        "inputs": [{"name": "image", "shape": [1, 5, 16, 256], "dtype": "float32"}],
        "outputs": [{"name": "logits", "shape": [1, 3, 16, 256], "dtype": "float32"}],
    },
    "class_names": ["a", "b", "c"],
    "deployment": {},
    "processor": "arrays",
    "plugins": {},
    "task": {},
    "space": {},
    "architecture": {},
    "data_fingerprint": "f",
    "quality": {},
    "latency": {},
    "training": {},
    "versions": {},
}


def write_bundle(directory: Path) -> Path:
    """Write a bundle with a model and weights of 1000 and 1900 bytes."""
    directory.mkdir()
    content = json.loads(json.dumps(CONTENT))
    for name in ("model.onnx", "weights.safetensors"):
        path = directory / name
        path.write_bytes(name.encode() * 100)
        content["files"][name] = {"sha256": sha256_of_file(path), "bytes": path.stat().st_size}
    (directory / "manifest.json").write_text(json.dumps(content))
    return directory


def change(bundle: Path, update: Any) -> None:
    content = json.loads((bundle / "manifest.json").read_text())
    update(content)
    (bundle / "manifest.json").write_text(json.dumps(content))
