"""A yes-or-no question about images, as another distribution would bring it to hwnas."""
