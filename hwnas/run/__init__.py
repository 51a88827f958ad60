"""One run as Python objects: `Run`, and the networks that it found."""
