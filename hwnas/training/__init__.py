"""Turns architectures into trained weights."""
