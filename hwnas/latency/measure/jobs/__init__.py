"""Measuring jobs for boards that nothing reaches: a directory is carried there and back."""
