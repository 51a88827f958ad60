#!/usr/bin/env python3
"""Draws a scan of a synthetic drive from above: as it is, as a bundle labels it, and what of that is wrong.

    hwnas data synthesize drive --drive 10 --rate-hz 10 --seed 1
    .venv/bin/python scripts/draw_drive.py drive --bundle BUNDLE --out docs/images/on_the_vehicle.png

Needs matplotlib (`pip install 'hwnas[benchmarks]'`). `hwnas view` shows the same in three dimensions.
"""

from __future__ import annotations

import argparse
import io
from dataclasses import replace
from pathlib import Path

import matplotlib as mpl
import numpy as np
from PIL import Image

from hwnas.labels import IGNORED_LABEL

mpl.use("Agg")
import matplotlib.pyplot as plt

from hwnas import Runner
from hwnas.data.datasets.dataset import open_dataset
from hwnas.files import write_bytes_atomically

AHEAD_M, BEHIND_M, BESIDE_M = 40.0, 24.0, 26.0
COLOURS = 232
WRONG, RIGHT = (0.95, 0.25, 0.2), (0.32, 0.32, 0.36)


def main() -> None:
    """Draw and write the picture."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="data set that --drive made")
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--scan", type=int, default=30)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    with Runner(arguments.bundle) as runner:
        scans = open_dataset(arguments.data).all_scans
        # True labels in the classes of the bundle.
        scan = replace(scans, reader=replace(scans.reader, label_map=runner.label_map))[arguments.scan]
        low, high = runner.intensity_range
        intensity = low + scan.remission * (high - low)
        labels = runner.segment(scan.points, intensity, scan.ring, scan.time).labels
        palette = np.vstack([np.array(runner.label_map.colors) / 255, np.full((256, 3), 0.2)])[:256]
        names = runner.label_map.class_names
    assert scan.labels is not None
    wrong = (scan.labels != IGNORED_LABEL) & (labels != scan.labels)
    grey = np.repeat(0.15 + 0.85 * np.sqrt(scan.remission)[:, None], 3, axis=1)
    panels = {
        "the scan, by intensity": grey,
        "its labels": palette[labels],
        "wrong labels in red": np.where(wrong[:, None], WRONG, RIGHT),
    }
    write_bytes_atomically(
        arguments.out, picture(scan.points, panels, dict(zip(names, palette, strict=False)))
    )


def picture(points: np.ndarray, panels: dict[str, np.ndarray], legend: dict[str, np.ndarray]) -> bytes:
    """Return a PNG with the points [N, 3] of a scan from above, forward upwards, once for each colouring."""
    order = np.argsort(points[:, 2])  # what is higher hides what is below
    order = order[points[order, 2] < 3.0]
    figure, axes = plt.subplots(1, len(panels), figsize=(4.0 * len(panels), 5.3), facecolor="#0c0c10")
    for axis, (title, colours) in zip(axes, panels.items(), strict=True):
        axis.scatter(-points[order, 1], points[order, 0], s=0.35, c=colours[order], linewidths=0)
        axis.set(xlim=(-BESIDE_M, BESIDE_M), ylim=(-BEHIND_M, AHEAD_M), aspect="equal", facecolor="#0c0c10")
        axis.set_title(title, color="white", fontsize=11)
        axis.axis("off")
    handles = [
        plt.Line2D([], [], marker="o", ls="", color=colour, label=name) for name, colour in legend.items()
    ]
    figure.legend(
        handles=handles, loc="lower center", ncols=len(handles), frameon=False, labelcolor="white", fontsize=9
    )
    figure.subplots_adjust(left=0.01, right=0.99, bottom=0.06, top=0.93, wspace=0.03)
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=90)
    small = io.BytesIO()
    Image.open(stream).convert("RGB").quantize(COLOURS).save(small, "png", optimize=True)
    return small.getvalue()


if __name__ == "__main__":
    main()
