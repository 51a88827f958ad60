"""How well a latency repeats: `hwnas bench` against a plain timing loop, each in fresh processes.

The same model is measured in several separate interpreters, by turns with a plain loop (10 warm-ups, 100
runs, their mean) that starts as often. Prints the spread of medians and of ratios to the reference network
beside that of the loop, as Markdown; with `--json` one JSON object. What was measured already is kept in the
output file and not measured again.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import mean, stdev

from hwnas.files import sha256_of_file, write_json_atomically
from hwnas.io_spec import IoSpec, NetworkContract, TensorSpec, dense_logits

PLAIN_LOOP = """
import json, sys, time
import os; os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
import numpy, onnxruntime
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = int(sys.argv[2])
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
feed = {i.name: numpy.random.rand(*i.shape).astype("float32") for i in session.get_inputs()}
for _ in range(10):
    session.run(None, feed)
start = time.perf_counter()
for _ in range(100):
    session.run(None, feed)
print(json.dumps((time.perf_counter() - start) / 100 * 1000))
"""


def main() -> None:
    """Measure what is missing, then print."""
    arguments = _arguments()
    with tempfile.TemporaryDirectory() as temporary:
        model = arguments.model
        if model is None:
            model = Path(temporary) / "range-unet.onnx"
            _write_candidate(model)
        settings = {
            "model": model.name,
            "model_sha256": sha256_of_file(model),
            "threads": arguments.threads,
            "quick": arguments.quick,
        }
        results = _resumed(arguments.out, settings)
        for number in range(arguments.processes):
            for kind in ("bench", "loop"):
                if len(results[kind]) <= number:
                    print(f"{kind} {number + 1} of {arguments.processes}", file=sys.stderr, flush=True)
                    measured = _bench(model, arguments) if kind == "bench" else _loop(model, arguments)
                    results[kind].append(measured)
                    write_json_atomically(arguments.out, {"settings": settings, **results})
    summary = {
        "settings": settings,
        "machine": f"{platform.machine()}, {os.cpu_count()} processors",
        "processes": arguments.processes,
        "rows": _rows({kind: values[: arguments.processes] for kind, values in results.items()}),
    }
    print(json.dumps(summary) if arguments.json else _markdown(summary))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--model", type=Path, help="ONNX file with float inputs; a small range-unet if absent"
    )
    parser.add_argument(
        "--processes", type=int, default=10, help="separate processes of each kind, at least 2"
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="the protocol of a search")
    parser.add_argument("--out", type=Path, default=Path("repeatability.json"), help="raw results, resumable")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if arguments.processes < 2:
        parser.error("a spread needs at least 2 processes")
    return arguments


def _write_candidate(path: Path) -> None:
    """Export a candidate of the built-in space, untrained; its bytes are the same in every call."""
    import torch

    from hwnas.onnx_graphs.export import export_onnx
    from hwnas.search_spaces.base import make_search_space

    torch.manual_seed(0)
    space = make_search_space("range-unet", NetworkContract(5, 64, (512,), dense_logits(8)), {})
    architecture = space.decode({gene: values[0] for gene, values in space.choices.items()})
    io_spec = IoSpec((TensorSpec("image", (1, 5, 64, 512)),), (TensorSpec("logits", (1, 8, 64, 512)),))
    export_onnx(space.build(architecture), io_spec, path, metadata={})


def _resumed(path: Path, settings: dict[str, object]) -> dict[str, list]:
    if not path.exists():
        return {"bench": [], "loop": []}
    content = json.loads(path.read_text(encoding="utf-8"))
    if content["settings"] != settings:
        sys.exit(f"{path} holds another comparison ({content['settings']}); name another file with --out.")
    return {"bench": content["bench"], "loop": content["loop"]}


def _bench(model: Path, arguments: argparse.Namespace) -> dict[str, object]:
    target = f"local?backend=onnxruntime-cpu&threads={arguments.threads}"
    quick = ["--quick"] if arguments.quick else []
    program = "from hwnas.cli.main import main; main()"
    command = [sys.executable, "-c", program, "bench", str(model), "--target", target, "--json", *quick]
    found = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    shown = (
        "latency_ms",
        "interval_ms",
        "ratio",
        "ratio_interval",
        "is_stable",
        "remark",
        "attempts",
        "ended",
    )
    return {key: found[key] for key in shown} | {"reference_ms": found["reference"]["latency_ms"]}


def _loop(model: Path, arguments: argparse.Namespace) -> float:
    command = [sys.executable, "-c", PLAIN_LOOP, str(model), str(arguments.threads)]
    return float(json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout))


def _rows(results: dict[str, list]) -> list[dict[str, object]]:
    bench = results["bench"]
    columns = {
        "plain loop, mean of 100 runs [ms]": results["loop"],
        "hwnas bench, median [ms]": [found["latency_ms"] for found in bench],
        "hwnas bench, ratio to the reference": [found["ratio"] for found in bench],
    }
    rows = [{"figure": name, **_spread(values)} for name, values in columns.items()]
    intervals = [found["ratio_interval"] for found in bench]
    centre = mean(found["ratio"] for found in bench)
    rows[-1]["intervals_that_hold_the_mean"] = sum(low <= centre <= high for low, high in intervals)
    rows[-1]["marked_unstable"] = sum(not found["is_stable"] for found in bench)
    return rows


def _spread(values: list[float]) -> dict[str, float]:
    return {
        "min": min(values),
        "mean": mean(values),
        "max": max(values),
        "cv": stdev(values) / mean(values),
        "range": max(values) / min(values) - 1,
    }


def _markdown(summary: dict) -> str:
    settings = summary["settings"]
    lines = [
        f"Model: {settings['model']} (SHA-256 {settings['model_sha256'][:12]}), "
        f"{settings['threads']} thread(s), "
        f"{summary['processes']} separate processes of each kind by turns, {summary['machine']}.",
        "",
        "| figure | min | mean | max | coefficient of variation | max / min - 1 |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row['figure']} | {row['min']:.4g} | {row['mean']:.4g} | {row['max']:.4g} | {row['cv']:.2%} "
        f"| {row['range']:.2%} |"
        for row in summary["rows"]
    ]
    last = summary["rows"][-1]
    lines += [
        "",
        f"{last['intervals_that_hold_the_mean']} of {summary['processes']} stated intervals of the ratio "
        f"hold the mean of all ratios; {last['marked_unstable']} measurements were marked as disturbed.",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
