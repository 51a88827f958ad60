"""One network in several precisions, each written into its ONNX file; inputs and outputs stay float32."""
