"""Prescreening: predict many networks, train the best, train the best of those in full."""
