"""Scans, data-set readers, range projection and synthetic driving scenes."""
