"""A program that behaves like trtexec: same arguments, same files, no GPU.

Its engines are the ONNX files themselves; runs compute with ONNX Runtime. Which version it pretends to be
stands in the environment variable FAKE_TRTEXEC_BANNER, what it was called with goes to FAKE_TRTEXEC_LOG.
Engines of a graph named `slow` sleep as long as FAKE_TRTEXEC_DELAYS_MS says, one number for each build.
"""

from __future__ import annotations

# ruff: noqa: T201 - the real one prints too
import json
import os
import sys
import time
from pathlib import Path

KNOWN = {
    10: {"stronglyTyped", "noDataTransfers", "useCudaGraph", "useSpinWait", "fp16", "int8", "bf16"},
    11: {"noCudaGraph", "noSpinWait", "includeDataTransfers", "stronglyTyped"},
}
ALWAYS = {
    "help", "onnx", "saveEngine", "loadEngine", "skipInference", "builderOptimizationLevel", "device",
    "memPoolSize", "noTF32", "useDLACore", "allowGPUFallback", "timingCacheFile", "iterations", "duration",
    "warmUp", "exportTimes", "exportOutput", "loadInputs",
}  # fmt: skip


def main() -> int:
    banner = os.environ.get("FAKE_TRTEXEC_BANNER", "[TensorRT v101303] [b9]")
    major = 11 if banner.startswith("[TensorRT v11") else 10
    print(f"&&&& RUNNING TensorRT.trtexec {banner} # trtexec {' '.join(sys.argv[1:])}")
    with Path(os.environ["FAKE_TRTEXEC_LOG"]).open("a") as log:
        log.write(json.dumps(sys.argv[1:]) + "\n")
    arguments = dict(argument.lstrip("-").partition("=")[::2] for argument in sys.argv[1:])
    unknown = set(arguments) - ALWAYS - KNOWN[major]
    if unknown:
        return fail(f"Unknown option: {sorted(unknown)}")
    if "help" in arguments:
        return 0
    if "hang" in os.environ.get("FAKE_TRTEXEC_FAULT", ""):
        time.sleep(60)
    return build(arguments) if "onnx" in arguments else run(arguments)


def build(arguments: dict[str, str]) -> int:
    if os.environ.get("FAKE_TRTEXEC_FAULT") == "no strong typing" and "stronglyTyped" in arguments:
        return fail("strong typing does not cover this operator")
    import onnxruntime

    try:
        onnxruntime.InferenceSession(arguments["onnx"], providers=["CPUExecutionProvider"])
    except Exception as error:  # noqa: BLE001 - whatever it is, the build fails
        return fail(f"[TRT] ModelImporter.cpp: {error}")
    Path(arguments["saveEngine"]).write_bytes(Path(arguments["onnx"]).read_bytes())
    delays_ms = os.environ.get("FAKE_TRTEXEC_DELAYS_MS")
    if delays_ms:
        slow_down(arguments["saveEngine"], [float(delay) for delay in delays_ms.split(",")])
    return 0


def slow_down(engine: str, delays_ms: list[float]) -> None:
    """Write the delay of this build into an engine of a network called `slow`; the log counts its builds."""
    import onnx

    model = onnx.load(engine)
    if model.graph.name != "slow":
        return
    builds = Path(os.environ["FAKE_TRTEXEC_LOG"] + ".builds")
    with builds.open("a") as log:
        log.write(f"{engine}\n")
    number = len(builds.read_text().splitlines()) - 1
    onnx.helper.set_model_props(model, {"delay_ms": str(delays_ms[number])})
    onnx.save(model, engine)


def run(arguments: dict[str, str]) -> int:
    import numpy as np
    import onnxruntime

    session = onnxruntime.InferenceSession(arguments["loadEngine"], providers=["CPUExecutionProvider"])
    files = dict(pair.split(":") for pair in arguments.get("loadInputs", "").split(",") if pair)
    inputs = {tensor.name: np.ones(tensor.shape, np.float32) for tensor in session.get_inputs()}
    for name, file in files.items():
        inputs[name] = np.fromfile(file, np.float32).reshape(inputs[name].shape)
    delay_s = float(session.get_modelmeta().custom_metadata_map.get("delay_ms", 0)) / 1000
    trace, outputs, start = [], [], time.perf_counter()
    warmup_ms = float(arguments["warmUp"])
    measured = 0
    while measured < int(arguments["iterations"]):
        begin = (time.perf_counter() - start) * 1000
        outputs = session.run(None, inputs)
        time.sleep(delay_s)
        end = (time.perf_counter() - start) * 1000
        measured += begin >= warmup_ms
        keys = ("startEnqMs", "endEnqMs", "startH2dMs", "endH2dMs", "startComputeMs", "endComputeMs")
        values = (begin, begin, begin, begin, begin, end)
        trace.append(
            {**dict(zip(keys, values, strict=True)), "startD2hMs": end, "endD2hMs": end, "h2dMs": 0}
            | {"computeMs": end - begin, "d2hMs": 0, "latencyMs": end - begin}
        )
    if "exportTimes" in arguments:
        Path(arguments["exportTimes"]).write_text(json.dumps(trace))
    if "exportOutput" in arguments:
        written = [
            {
                "name": tensor.name,
                "dimensions": "x".join(map(str, value.shape)),
                "values": value.ravel().tolist(),
            }
            for tensor, value in zip(session.get_outputs(), outputs, strict=True)
        ]
        Path(arguments["exportOutput"]).write_text(json.dumps(written))
    return 0


def fail(reason: str) -> int:
    print(f"[09/25/2026-10:00:02] [E] {reason}")
    return 1


sys.exit(main())
