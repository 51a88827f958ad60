"""What a network is for: data, contract, loss and metric, one module a task."""
