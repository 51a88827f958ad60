"""Bundles: what a vehicle runs, with its evidence."""
