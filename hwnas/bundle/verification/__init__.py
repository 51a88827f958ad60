"""Verification: whether a bundle does, here and now, what its manifest states."""
