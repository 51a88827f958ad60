"""What is in a data set and what is odd about it: estimates, findings, and a `dataset.yaml` to suggest."""
