"""Families of tasks that initial weights are learned over: sensors, places, or data sets."""
