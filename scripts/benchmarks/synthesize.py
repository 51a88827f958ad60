#!/usr/bin/env python
"""Measure how fast synthetic scans are made, start of the processes and scene building included.

.venv/bin/python scripts/benchmarks/synthesize.py --scans 40 --workers 2
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import tempfile
import time
from pathlib import Path

from hwnas.data.sensors import sensor_names
from hwnas.data.synthetic import synthesize_dataset


def main() -> None:
    """Make a data set in a temporary directory and print scans per second as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scans", type=int, default=40)
    parser.add_argument("--scans-per-scene", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--sensor", choices=sensor_names(), default="hdl-64e")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        begin = time.perf_counter()
        synthesize_dataset(
            Path(directory) / "scans",
            scans=options.scans,
            sensor=options.sensor,
            seed=options.seed,
            scans_per_scene=options.scans_per_scene,
            workers=options.workers,
        )
        wall_s = time.perf_counter() - begin
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    cpu_s = sum(usage.ru_utime + usage.ru_stime for usage in used)
    print(
        json.dumps(
            {
                **vars(options),
                "wall_s": round(wall_s, 2),
                "scans_per_s": round(options.scans / wall_s, 2),
                "cpu_s_per_scan": round(cpu_s / options.scans, 3),
                "cores": os.cpu_count(),
                "load_1_min": round(os.getloadavg()[0], 1),
                "machine": platform.machine(),
            }
        )
    )


if __name__ == "__main__":
    main()
