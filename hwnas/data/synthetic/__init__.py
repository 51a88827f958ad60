"""Synthetic driving scenes: labelled LiDAR scans by ray casting, so no download is needed."""

from __future__ import annotations

from hwnas.data.synthetic.dataset import synthesize_dataset

__all__ = ["synthesize_dataset"]
