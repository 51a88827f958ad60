"""Shows a run to people."""
