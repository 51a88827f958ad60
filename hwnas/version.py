"""The version of hwnas, in one place. Python 3.8 syntax: this module travels to boards."""

__version__ = "0.2.0"
