"""With what a result was made."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

_PACKAGES = ("hwnas", "torch", "onnx", "onnxscript", "onnxruntime", "numpy")


def installed_versions() -> dict[str, str | None]:
    """Return the versions of Python and of every library that shapes a bundle; None for absent ones."""
    return {"python": platform.python_version(), **{name: _version(name) for name in _PACKAGES}}


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
