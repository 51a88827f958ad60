"""Data sets: `dataset.yaml`, their files, and labelled scans that are read when they are asked for."""
