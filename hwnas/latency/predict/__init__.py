"""Latency predicted: kernels of a network, a table of a target, and predictors fitted to it."""
