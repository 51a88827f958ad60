"""Latency measured on a target, under one protocol."""
