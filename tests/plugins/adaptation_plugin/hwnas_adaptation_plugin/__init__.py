"""A family of tasks, and a trainer that adapts before it evaluates, as another distribution would bring them."""
