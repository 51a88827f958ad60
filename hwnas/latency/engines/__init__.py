"""Engines of TensorRT: built on a target or for GPUs that are elsewhere, and inspected."""
