"""The bundle that is damaged: the real task and search space, on two small scans a sequence."""

from __future__ import annotations

import subprocess
from pathlib import Path

import torch

from hwnas.bundle.export import export_bundle
from hwnas.bundle.purpose import ExportOptions
from hwnas.bundle.signing import sign_bundle
from hwnas.bundle.trained_member import TrainedMember
from hwnas.search_spaces.base import make_search_space
from hwnas.tasks.base import make_task
from hwnas.training.checkpoint import save_weights
from hwnas.training.predict import torch_predict
from tests.bundle.small_lidar import FixedMeter
from tests.fuzz.worker import ALLOWED_SIGNERS, IDENTITY
from tests.tasks.lidar_data import write_scans


def write_bundle(directory: Path) -> Path:
    """Write a signed bundle with all integrations; its data and the allowed signers lie beside it."""
    data = write_scans(directory / "data", scans=1)
    task = make_task("lidar-segmentation", {"data": str(data), "label_map": "merged-8", "widths": [256]})
    space = make_search_space("range-unet", task.contract)
    torch.manual_seed(0)
    architecture = space.decode({gene: values[0] for gene, values in space.choices.items()})
    module = space.build(architecture).eval()
    weights = directory / "weights.safetensors"
    save_weights(weights, module)
    quality = task.evaluate(torch_predict(module, task.io_spec(architecture)), architecture)
    member = TrainedMember(architecture, weights, quality, None, {"steps": 0}, 0, task.fingerprint())
    bundle = export_bundle(
        task,
        space,
        member,
        directory / "bundle",
        meter=FixedMeter(),
        options=ExportOptions(integrations=("triton", "isaac-ros")),
    )
    _sign(bundle, directory / "key")
    return bundle


def _sign(bundle: Path, key: Path) -> None:
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    sign_bundle(bundle, key)
    (bundle.parent / ALLOWED_SIGNERS).write_text(f"{IDENTITY} {key.with_suffix('.pub').read_text()}")
