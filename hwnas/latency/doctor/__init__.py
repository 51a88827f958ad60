"""What a target can measure and build, and what is wrong with it."""
