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

from hwnas.data.datasets.dataset import open_dataset
from hwnas.data.pictures import draw_segmentation
from hwnas.data.sensors import load_sensor
from hwnas.data.synthetic import synthesize_dataset
from hwnas.range_view.projection import project
from hwnas.range_view.projection_spec import ProjectionSpec


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
            scans=2 * (options.number + 1),
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
    value = (60 + 195 * np.sqrt(scan.remission)).astype(np.uint8)
    remission = np.column_stack([value // 2, value, value])
    png = draw_segmentation(
        image, [("Classes", scan.labels)], scan.points, label_map, views=[("Remission", remission)]
    )
    options.output.parent.mkdir(parents=True, exist_ok=True)
    Image.open(io.BytesIO(png)).save(options.output, optimize=True)


if __name__ == "__main__":
    main()
