"""A small scan and the settings to label it."""

from __future__ import annotations

from typing import Any

import numpy as np

from hwnas.range_view.knn import KnnSettings
from hwnas.range_view.projection import Normalisation
from hwnas.range_view.projection_spec import ProjectionSpec
from hwnas.scan import Scan

DEPLOYMENT: dict[str, Any] = {
    "projection": ProjectionSpec(16, 256, "spherical", 3.0, -25.0).to_json(),
    "normalisation": Normalisation((10.0, 0.0, 0.0, -1.0, 0.5), (5.0, 8.0, 8.0, 1.0, 0.3)).to_json(),
    "knn": KnnSettings().to_json(),
    "label_map": {"classes": [{"name": "far"}, {"name": "near"}]},
}


def made_up_scan(num_points: int = 3000) -> Scan:
    """Points around the sensor; the last one lies at the sensor itself."""
    generator = np.random.default_rng(0)
    azimuth, range_m = generator.uniform(-np.pi, np.pi, num_points), generator.uniform(2, 30, num_points)
    elevation = np.radians(generator.uniform(-25, 3, num_points))
    points = np.stack(
        [
            range_m * np.cos(elevation) * np.cos(azimuth),
            range_m * np.cos(elevation) * np.sin(azimuth),
            range_m * np.sin(elevation),
        ],
        axis=1,
    ).astype(np.float32)
    points[-1] = 0.0
    return Scan(points, generator.uniform(0, 1, num_points).astype(np.float32), None, None, "made/up")
