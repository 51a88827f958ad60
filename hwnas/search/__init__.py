"""Proposes, evaluates and remembers candidates; the only package that imports optuna."""
