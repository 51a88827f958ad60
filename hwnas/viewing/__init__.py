"""Scans, labels and errors as recordings of rerun, in its viewer or in a file."""

from __future__ import annotations

from hwnas.viewing.view import View, ViewedBundle, ViewOptions, view

__all__ = ["View", "ViewOptions", "ViewedBundle", "view"]
