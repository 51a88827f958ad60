"""Model files as they lie on a disk, and inputs to run them with; neither onnx nor torch is needed."""
