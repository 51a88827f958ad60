"""How good an architecture is, at a stated cost."""
