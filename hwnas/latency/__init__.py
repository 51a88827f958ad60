"""Measures latency where the network will run."""
