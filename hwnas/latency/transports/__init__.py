"""Ways to start an agent on a target and to talk to it."""
