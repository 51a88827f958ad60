"""Meta-learning of initial weights: inner and outer loops for any network and any loss."""
