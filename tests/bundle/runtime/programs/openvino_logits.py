"""Runs an ONNX file in OpenVINO: MODEL INPUTS.npy LOGITS.npy PRECISION; one input [1, C, H, W] after the other.

PRECISION is what floating-point arithmetic is done in: `f32`, or `default` for what the device prefers.
"""

import sys

import numpy as np
import openvino

model, inputs, logits, precision = sys.argv[1:]
options = {} if precision == "default" else {"INFERENCE_PRECISION_HINT": precision}
compiled = openvino.Core().compile_model(model, "CPU", {"INFERENCE_NUM_THREADS": 1, **options})
np.save(logits, np.stack([compiled(image[None])[0][0] for image in np.load(inputs)]))
arithmetic = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
sys.stdout.write(f"{openvino.__version__.split('-')[0]} {arithmetic}")
