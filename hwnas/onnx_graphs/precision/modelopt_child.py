"""Runs ModelOpt in a process of its own: importing it changes onnxruntime's quantiser for the whole process.

Started as `python -m hwnas.onnx_graphs.precision.modelopt_child REQUEST.json`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from hwnas.onnxruntime_loading import disable_telemetry


def main(request: Path) -> None:
    """Do what a request says: `model`, `images` (.npy), `input`, `method`, `exclude` and `result`."""
    disable_telemetry()
    from modelopt.onnx.quantization import quantize

    wanted = json.loads(request.read_text(encoding="utf-8"))
    quantize(
        wanted["model"],
        quantize_mode="int8",
        calibration_data={wanted["input"]: np.load(wanted["images"], allow_pickle=False)},
        calibration_method=wanted["method"],
        calibration_eps=["cpu"],
        nodes_to_exclude=wanted["exclude"] or None,
        high_precision_dtype="fp16",
        output_path=wanted["result"],
        log_level="ERROR",
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
