"""A bundle whose files are not what they seem, for tests of manifests alone."""

import json
from pathlib import Path
from typing import Any

from hwnas.files import read_checked_json, sha256_of_file, with_checksum

CONTENT: dict[str, Any] = {
    "schema_version": 5,
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
    rewrite_manifest(directory, content)
    return directory


def change(bundle: Path, update: Any) -> None:
    """Change the manifest and its checksum, as a forger would."""
    content = manifest_of(bundle)
    update(content)
    rewrite_manifest(bundle, content)


def manifest_of(bundle: Path) -> dict[str, Any]:
    """Return the manifest of a bundle as it is written, to be changed."""
    return read_checked_json(bundle / "manifest.json")


def rewrite_manifest(bundle: Path, content: dict[str, Any]) -> None:
    """Write a manifest with its checksum, and also what no export writes: NaN, and halves of characters."""
    (bundle / "manifest.json").write_text(with_checksum(json.dumps(content)))
