"""onnxruntime is imported without a trace in the process that does so."""

from __future__ import annotations

import subprocess
import sys

LOADING = """
import os, sys
from hwnas.onnxruntime_loading import load_onnxruntime
before = list(sys.path), dict(os.environ)
for name in ("onnxruntime.transformers.float16", "onnxruntime.transformers.onnx_model", "onnxruntime.quantization"):
    load_onnxruntime(name)
    assert (list(sys.path), dict(os.environ)) == before, name
"""


def test_importing_it_leaves_path_and_environment_as_they_were() -> None:
    subprocess.run([sys.executable, "-c", LOADING], check=True)
