"""Scans, data-set readers, range projection and synthetic driving scenes."""

CONFIG_NAME = "dataset.yaml"
"""Name of the file that describes a data set, in its directory."""
