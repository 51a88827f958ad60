"""Runs a bundle of any task on files, as `Bundle.infer` does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hwnas.bundle.inference.processing import FileOptions, process_files
from hwnas.bundle.inference.results import RAW, Inference
from hwnas.bundle.inference.scans import ScanOptions, label_scans
from hwnas.bundle.manifest import read_manifest
from hwnas.bundle.runtime.processor import LIDAR_RANGE_VIEW
from hwnas.errors import ConfigError


def infer(
    bundle: Path,
    inputs: Sequence[Path],
    out: Path,
    options: FileOptions,
    *,
    ids: str = RAW,
    columns: str | Sequence[str] | None = None,
    format_options: Mapping[str, Any] | None = None,
) -> Inference:
    """Run a bundle on files; see `Bundle.infer` for arguments and errors."""
    manifest = read_manifest(bundle, check_files=False, trust=options.trust)
    if manifest.processor_name == LIDAR_RANGE_VIEW:
        return label_scans(bundle, inputs, out, options, ScanOptions.of(ids, columns, format_options))
    given = {
        "`ids=`": ids != RAW,
        "`columns=`": columns is not None,
        "`format_options=`": format_options is not None,
    }
    named = [name for name, is_given in given.items() if is_given]
    if named:
        raise ConfigError(
            f"{', '.join(named)} are for LiDAR bundles, but this one has the processor "
            f"{manifest.processor_name!r}; leave them out."
        )
    return process_files(bundle, inputs, out, options)
