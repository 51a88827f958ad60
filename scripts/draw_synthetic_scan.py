#!/usr/bin/env python
"""Draw one synthetic scan, as range image and from above, coloured by class, for the documentation.

.venv/bin/python scripts/draw_synthetic_scan.py docs/images/synthetic_scan.png
"""

from __future__ import annotations

import argparse
import io
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from hwnas.data.dataset import open_dataset
from hwnas.data.pictures import draw_segmentation
from hwnas.data.projection import ProjectionSpec, project
from hwnas.data.scan import Scan
from hwnas.data.sensors import load_sensor
from hwnas.data.synthetic import synthesize_dataset


def main() -> None:
    """Make a few scans in a temporary directory and draw the one asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output", type=Path)
    parser.add_argument("--sensor", default="hdl-64e")
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--number", type=int, default=4, help="which scan of the seed, from 0")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        path = synthesize_dataset(
            Path(directory) / "scans",
            num_scans=2 * (options.number + 1),
            sensor=options.sensor,
            seed=options.seed,
        )
        data = open_dataset(path)
        scans = [scan for split in data.splits for scan in data.split(split)]
        scan = scans[options.number]
        label_map = data.split("train").label_map
    spec = ProjectionSpec(height=load_sensor(options.sensor).beams, width=1024, method="ring")
    image = project(scan.points, scan.remission, spec, ring=scan.ring)
    if scan.labels is None:
        raise SystemExit("a synthetic scan without labels: this is a defect")
    # The second view colours remission instead of classes.
    png = draw_segmentation(image, [("Classes", scan.labels)], scan.points, label_map)
    picture = Image.open(io.BytesIO(png)).convert("RGB")
    picture.paste(_remission_view(scan), (picture.width // 2 + 8, _view_top(picture)))
    options.output.parent.mkdir(parents=True, exist_ok=True)
    picture.save(options.output, optimize=True)


def _view_top(picture: Image.Image) -> int:
    """Return the row at which views from above begin: under two titled strips."""
    return 16 + 2 * (26 + 160) + 26


def _remission_view(scan: Scan, radius_m: float = 40.0, side: int = 744) -> Image.Image:
    """Draw points from above, brighter the more light they send back."""
    points, remission = scan.points, scan.remission
    inside = np.flatnonzero((np.abs(points[:, :2]) < radius_m).all(axis=1))
    inside = inside[np.argsort(points[inside, 2], kind="stable")]
    row = ((radius_m - points[inside, 0]) * side / (2 * radius_m)).astype(int).clip(0, side - 2)
    column = ((radius_m - points[inside, 1]) * side / (2 * radius_m)).astype(int).clip(0, side - 2)
    value = (60 + 195 * np.sqrt(remission[inside])).astype(np.uint8)
    pixels = np.full((side, side, 3), (18, 20, 24), np.uint8)
    for down, across in ((1, 1), (1, 0), (0, 1), (0, 0)):
        pixels[row + down, column + across] = np.column_stack([value // 2, value, value])
    return Image.fromarray(pixels)


if __name__ == "__main__":
    main()
