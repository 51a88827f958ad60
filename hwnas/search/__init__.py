"""Proposes, judges and remembers candidates; the only package that imports optuna."""
