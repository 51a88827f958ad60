"""What can run an ONNX file, one module a backend; each travels to boards, in Python 3.8 syntax.

Registered in the entry-point group `hwnas.backends`; the interface is `hwnas.latency.backends.base`.
"""
