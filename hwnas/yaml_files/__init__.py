"""YAML as the project reads and writes it: strictly, alike in YAML 1.1 and 1.2, with mistakes in words."""
