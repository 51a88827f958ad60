"""A camera task and a search space of its own, as another distribution would bring them to hwnas."""
