"""The funnel: look at many networks by prediction, train the best, train the best of those in full."""
