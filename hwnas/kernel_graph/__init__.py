"""Which kernels run for a network: the words that search spaces and latency prediction share."""
