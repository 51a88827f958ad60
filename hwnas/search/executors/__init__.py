"""Where candidates are exported and trained: on this machine, or on many."""
