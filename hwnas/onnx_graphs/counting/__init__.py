"""How much work a graph is: multiplications and additions of every operator that ONNX defines."""
