"""The strategy `surrogate`: models of error and cost, and the gain that they expect of a candidate."""
