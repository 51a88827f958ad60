"""A network trained on small scans, and data of the same places whose remission is another."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from hwnas.bundle.bundle import Bundle
from hwnas.bundle.export import export_bundle
from hwnas.bundle.trained_member import TrainedMember
from hwnas.latency.measure.meter import open_meter
from hwnas.latency.measure.protocol import MeasuringProtocol
from hwnas.search_spaces.base import make_search_space
from hwnas.tasks.base import make_task
from hwnas.tasks.evaluation import evaluate
from hwnas.training.predict import torch_predict
from hwnas.training.recipe import Recipe
from hwnas.training.trainer import train
from tests.tasks.lidar_data import write_scans

RECIPE = Recipe(
    steps=40, batch_size=2, learning_rate=1e-2, augmentation=0.0, mixed_precision="no", average=0.9
)


def write_shifted(directory: Path, scans: int = 2) -> Path:
    """Write scans whose remission is turned over, and whose ranges are half as long again."""
    write_scans(directory, scans=scans)
    for path in sorted(directory.rglob("*.bin")):
        values = np.fromfile(path, np.float32).reshape(-1, 4)
        values[:, :3] *= 1.5
        values[:, 3] = 1.0 - values[:, 3]
        values.tofile(path)
    return directory


@torch.random.fork_rng(devices=[])
def write_trained_bundle(directory: Path) -> Bundle:
    """Train the smallest network for some steps and export it, clocked on this machine."""
    data = write_scans(directory / "data")
    task = make_task("lidar-segmentation", {"data": str(data), "label_map": "merged-8", "widths": [256]})
    space = make_search_space("range-unet", task.contract)
    architecture = space.decode({gene: values[0] for gene, values in space.choices.items()})
    module = train(task, space, architecture, RECIPE, seed=0, directory=directory / "training")
    quality = evaluate(task, torch_predict(module, task.io_spec(architecture)), architecture)
    weights = directory / "training" / "weights.safetensors"
    member = TrainedMember(architecture, weights, quality, None, RECIPE.to_json(), 0, task.fingerprint())
    with open_meter("local?backend=onnxruntime-cpu&threads=1", MeasuringProtocol.final()) as meter:
        return Bundle(export_bundle(task, space, member, directory / "bundle", meter=meter))
