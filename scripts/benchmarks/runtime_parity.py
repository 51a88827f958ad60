#!/usr/bin/env python3
"""How far the outputs of a backend are from those of PyTorch, on the same device where there is one.

    python scripts/benchmarks/runtime_parity.py --target 'local?backend=tensorrt' --device cuda --out DIR

Networks of `range-unet` that together hold every block and every decoder are exported in each precision, run
in the backend and in PyTorch, and compared: relative L2 of the logits, and the share of pixels with the same
label. FP16 is compared with PyTorch in half precision and, beside it, in single precision. The ONNX files
stay in DIR/models, to be timed with `hwnas bench`. Prints Markdown, with `--json` one last line of JSON; ends
with 1 if a network lies outside the limits or is refused.
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import torch
from torch import nn

from hwnas.files import write_bytes_atomically, write_json_atomically
from hwnas.io_spec import IoSpec, NetworkContract, TensorSpec, dense_logits
from hwnas.latency.backends.base import Backend
from hwnas.latency.backends.errors import AgentError
from hwnas.latency.target import Target
from hwnas.onnx_graphs.export import export_onnx
from hwnas.onnx_graphs.precision.half import half_precision
from hwnas.onnx_graphs.precision.kinds import FP16, FP32
from hwnas.plugins import load_plugin
from hwnas.search_spaces.base import make_search_space
from hwnas.search_spaces.range_unet_covering import covering_networks

LIMITS = {FP32: (1e-3, 0.999), FP16: (2e-2, 0.98)}
"""Relative L2 at most, share of equal labels at least. Weights are random, so that many pixels have two
classes almost alike: a trained network changes fewer labels."""


@dataclass(frozen=True)
class Parity:
    """One network in one precision.

    Attributes:
        network: its decoder, which names it.
        precision: `fp32` or `fp16`.
        relative_l2: of the logits, against PyTorch in that precision; None if the backend refused it.
        same_labels: share of pixels, likewise.
        relative_l2_to_fp32: against PyTorch in single precision.
        problem: what the backend said, empty if it ran.
    """

    network: str
    precision: str
    relative_l2: float | None = None
    same_labels: float | None = None
    relative_l2_to_fp32: float | None = None
    problem: str = ""

    @property
    def holds(self) -> bool:
        """Whether it ran and lies within the limits."""
        if self.relative_l2 is None or self.same_labels is None:
            return False
        most, least = LIMITS[self.precision]
        return self.relative_l2 <= most and self.same_labels >= least


def main() -> None:
    """Compare, print, and end with 1 unless everything holds."""
    arguments = _arguments()
    if arguments.device == "cuda" and not torch.cuda.is_available():
        raise SystemExit("PyTorch sees no GPU here; use --device cpu, or a build of PyTorch with CUDA.")
    # Single precision means single precision, also where the GPU could round to TF32.
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    models = arguments.out / "models"
    models.mkdir(parents=True, exist_ok=True)
    found = []
    for name, module in _networks(arguments.height, arguments.width):
        for precision in arguments.precisions:
            path = models / f"{name}-{precision}.onnx"
            _export(module, path, precision, arguments)
            found.append(_compared(name, precision, module, path, arguments))
            print(_line(found[-1]), file=sys.stderr, flush=True)
    _print_table(arguments, found)
    ran = {
        precision: [
            (parity.relative_l2, parity.same_labels)
            for parity in found
            if parity.precision == precision
            and parity.relative_l2 is not None
            and parity.same_labels is not None
        ]
        for precision in arguments.precisions
    }
    summary: dict[str, Any] = {
        "target": arguments.target,
        "device": arguments.device,
        "networks": len(found),
        "outside": sum(not parity.holds for parity in found),
        "largest_relative_l2": {
            precision: max((l2 for l2, _ in figures), default=None) for precision, figures in ran.items()
        },
        "smallest_same_labels": {
            precision: min((same for _, same in figures), default=None) for precision, figures in ran.items()
        },
    }
    write_json_atomically(arguments.out / "parity.json", {**summary, "all": [asdict(p) for p in found]})
    if arguments.json:
        print(json.dumps(summary))
    sys.exit(int(summary["outside"] > 0))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--target", default="local?backend=onnxruntime-cpu&threads=1", help="on this machine")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="of PyTorch")
    parser.add_argument("--precisions", default=f"{FP32},{FP16}", help="separated by commas")
    parser.add_argument("--height", type=int, default=64)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    arguments.precisions = arguments.precisions.split(",")
    for precision in arguments.precisions:
        if precision not in LIMITS:
            parser.error(f"--precisions takes {', '.join(LIMITS)}, but got {precision!r}")
    if Target.parse(arguments.target).transport != "local":
        parser.error("--target must be on this machine: outputs are compared here")
    return arguments


def _networks(height: int, width: int) -> Iterator[tuple[str, nn.Module]]:
    """Give a network with each decoder; their stages together hold every block."""
    contract = NetworkContract(5, height, (width,), outputs=dense_logits(20), cyclic_width=True)
    space = make_search_space("range-unet", contract, {})
    for number, (name, architecture) in enumerate(covering_networks(space).items()):
        torch.manual_seed(number)
        module = space.build(architecture)
        with torch.no_grad():
            for _ in range(5):
                module(torch.randn(1, 5, height, width))
        yield name, module.eval()


def _export(module: nn.Module, path: Path, precision: str, arguments: argparse.Namespace) -> None:
    shape = (1, 5, arguments.height, arguments.width)
    spec = IoSpec((TensorSpec("range_image", shape),), (TensorSpec("logits", (1, 20, *shape[2:])),))
    export_onnx(module, spec, path, metadata={})
    if precision == FP16:
        write_bytes_atomically(path, half_precision(onnx.load(path)).SerializeToString(deterministic=True))


def _compared(
    name: str, precision: str, module: nn.Module, path: Path, arguments: argparse.Namespace
) -> Parity:
    rng = np.random.default_rng(7)
    image = rng.standard_normal((1, 5, arguments.height, arguments.width)).astype(np.float32)
    try:
        logits = _run(arguments.target, path, image)
    except AgentError as error:
        return Parity(name, precision, problem=str(error))
    single = _pytorch(module, image, arguments.device, torch.float32)
    like = single if precision == FP32 else _pytorch(module, image, arguments.device, torch.float16)
    same = float(np.mean(logits.argmax(1) == like.argmax(1)))
    return Parity(name, precision, _distance(logits, like), same, _distance(logits, single))


def _run(url: str, path: Path, image: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    target = Target.parse(url)
    backend_class = load_plugin("hwnas.backends", target.backend)
    backend: Backend = backend_class(target.threads, **dict(target.options))
    backend.load(str(path))
    backend.bind({"range_image": image})
    backend.run()
    return np.asarray(backend.outputs()["logits"], np.float32)


def _pytorch(
    module: nn.Module, image: npt.NDArray[np.float32], device: str, dtype: torch.dtype
) -> npt.NDArray[np.float32]:
    moved = copy.deepcopy(module).to(device, dtype)
    with torch.inference_mode():
        logits = moved(torch.from_numpy(image).to(device, dtype)).float().cpu().numpy()
    return np.asarray(logits, np.float32)


def _distance(found: npt.NDArray[np.float32], expected: npt.NDArray[np.float32]) -> float:
    difference = np.linalg.norm((found - expected).ravel().astype(np.float64))
    return float(difference / np.linalg.norm(expected.ravel().astype(np.float64)))


def _line(parity: Parity) -> str:
    if parity.relative_l2 is None:
        return f"{parity.network} {parity.precision}: refused: {parity.problem}"
    return (
        f"{parity.network} {parity.precision}: relative L2 {parity.relative_l2:.2e}, "
        f"same labels {parity.same_labels:.4%}"
    )


def _print_table(arguments: argparse.Namespace, found: list[Parity]) -> None:
    print(f"`{arguments.target}` against PyTorch {torch.__version__} on {arguments.device}\n")
    print("| network | precision | relative L2 | same labels | relative L2 to fp32 | |")
    print("|---|---|---|---|---|---|")
    for parity in found:
        figures = "| n/a | n/a | n/a"
        if parity.relative_l2 is not None:
            figures = (
                f"| {parity.relative_l2:.2e} | {parity.same_labels:.3%} | {parity.relative_l2_to_fp32:.2e}"
            )
        result = "holds" if parity.holds else parity.problem.replace("\n", " ")[:200] or "outside the limits"
        print(f"| {parity.network} | {parity.precision} {figures} | {result} |")


if __name__ == "__main__":
    main()
