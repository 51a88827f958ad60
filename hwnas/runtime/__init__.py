"""Runs a bundle on scans with numpy and one inference runtime; imports neither torch nor optuna."""
