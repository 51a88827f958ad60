"""Adaptation of a trained network to a new sensor, place or label map, from few labelled samples."""
