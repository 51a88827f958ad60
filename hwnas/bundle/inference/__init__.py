"""Runs a bundle on files: scans get labels, other samples what the bundle's processor writes."""
