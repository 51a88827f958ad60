"""Building blocks of networks, and the hand-crafted baselines made of them."""
