"""The label that stands for none. Python 3.8 syntax: this module travels to boards."""

IGNORED_LABEL = 255
"""Target or train id of what neither loss nor metric looks at."""
