"""Quality figures as pure functions."""
