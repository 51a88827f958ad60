"""Runs an ONNX file in onnxruntime: MODEL INPUTS.npy LOGITS.npy; one input [1, C, H, W] after the other."""

import sys

import numpy as np
import onnxruntime

model, inputs, logits = sys.argv[1:]
options = onnxruntime.SessionOptions()
options.intra_op_num_threads, options.log_severity_level = 1, 3
options.add_session_config_entry("session.x64quantprecision", "1")  # see docs/reference/runtimes.md
session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
name = session.get_inputs()[0].name
np.save(logits, np.stack([session.run(None, {name: image[None]})[0][0] for image in np.load(inputs)]))
sys.stdout.write(onnxruntime.__version__)
