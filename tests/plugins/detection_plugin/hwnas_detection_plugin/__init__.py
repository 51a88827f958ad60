"""Detection of cars from above, as another distribution would bring it to hwnas."""
