"""Finds neural networks that are accurate and fast on one particular piece of hardware."""

__version__ = "0.1.0"
