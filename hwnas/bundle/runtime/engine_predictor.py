"""Runs an engine of a bundle with TensorRT. Python 3.8 syntax: this module travels to boards."""

from __future__ import annotations

import threading
from typing import Any, Dict, Mapping, Tuple

import numpy as np

from hwnas.arrays import FloatArray
from hwnas.bundle.manifest import Manifest
from hwnas.bundle.runtime.onnx_predictor import arrays_for
from hwnas.errors import BundleError, HwnasError
from hwnas.plugins import load_plugin

PRODUCTS = ("tensorrt", "tensorrt-rtx")


class EnginePredictor:
    """A network in an engine: inputs by name to outputs by name. Threads take turns."""

    def __init__(self, manifest: Manifest, product: str, precision: str) -> None:
        """Load the engine of a bundle.

        Args:
            manifest: of the bundle, every file checked.
            product: `tensorrt` or `tensorrt-rtx`.
            precision: of the network that the engine was built from, or `recommended`.

        Raises:
            BundleError: if the bundle holds no such engine, if it is for another GPU, another version of
                TensorRT or another model, or does not load.
        """
        path, identity = engine_of(manifest, product, precision)
        self._lock = threading.Lock()
        self.inputs, self.outputs = manifest.io_spec.inputs, manifest.io_spec.outputs
        try:
            self._backend: Any = load_plugin("hwnas.backends", product)(1)
            self._backend.load_engine(path, identity)
            self._check_inputs(path)
            self._backend.bind({spec.name: np.zeros(spec.shape, np.float32) for spec in self.inputs})
        except HwnasError as error:
            raise BundleError(str(error)) from error

    def __call__(self, inputs: Mapping[str, FloatArray]) -> Dict[str, FloatArray]:
        """Return the outputs for one sample.

        Raises:
            BundleError: if inputs are missing or have other shapes, or the engine fails.
        """
        values = arrays_for(self.inputs, inputs)
        with self._lock:
            try:
                self._backend.use_in_this_thread()
                self._backend.write(values)
                self._backend.run()
                found = self._backend.outputs()
            except HwnasError as error:
                raise BundleError(str(error)) from error
        return {spec.name: np.asarray(found[spec.name], np.float32) for spec in self.outputs}

    def _check_inputs(self, path: str) -> None:
        found = tuple(self._backend.inputs())
        if found != self.inputs:
            raise BundleError(f"{path} takes {found}, but its manifest says {self.inputs}. Export again.")


def engine_of(manifest: Manifest, product: str, precision: str) -> Tuple[str, Dict[str, Any]]:
    """Return the path of an engine and its record.

    Raises:
        BundleError: if the bundle holds none, or its manifest does not describe it well.
    """
    if product not in PRODUCTS:
        raise BundleError(f"The runtime must be onnxruntime or one of {PRODUCTS}, but is {product!r}.")
    name = manifest.recommended_for(product) if precision == "recommended" else precision
    stated = manifest.entry_for(name, product)
    name, model = str(stated.get("precision", name)), str(stated["file"])
    listed = manifest.content.get("engines", [])
    if not isinstance(listed, list) or not all(isinstance(entry, dict) for entry in listed):
        raise BundleError(f"`engines` in the manifest of {manifest.directory} must be a list of objects.")
    fitting = [entry for entry in listed if (entry.get("product"), entry.get("precision")) == (product, name)]
    if not fitting:
        there = [f"{entry.get('product')} {entry.get('precision')}" for entry in listed]
        raise BundleError(
            f"{manifest.directory} holds no engine of {product} in {name}, but {', '.join(there) or 'none'}. "
            "Export it with `hwnas export --engine`."
        )
    entry: Mapping[str, Any] = fitting[0]
    files = manifest.content["files"]
    if not isinstance(entry.get("file"), str) or entry["file"] not in files:
        raise BundleError(f"The manifest of {manifest.directory} uses an engine without listing its SHA-256.")
    if entry.get("model_sha256") != files[model]["sha256"]:
        raise BundleError(
            f"{entry['file']} in {manifest.directory} was built from another model than {model}. "
            "Export again."
        )
    return str(manifest.directory / entry["file"]), dict(entry)
