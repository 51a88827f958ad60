"""From PyTorch modules to checked ONNX files."""
