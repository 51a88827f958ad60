"""Runs a bundle on scans with numpy and one inference runtime; imports neither torch nor optuna."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hwnas.bundle.runtime.results import PointLabels as PointLabels
    from hwnas.bundle.runtime.results import Segmentation as Segmentation
    from hwnas.bundle.runtime.runner import Runner as Runner

__all__ = ["PointLabels", "Runner", "Segmentation"]


# Late: boards use single modules of this package, without what the runner needs beside them.
def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"hwnas.bundle.runtime.{'runner' if name == 'Runner' else 'results'}"), name)
