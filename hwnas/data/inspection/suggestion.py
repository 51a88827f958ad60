"""Writes a `dataset.yaml` with what was estimated from the scans of a data set."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hwnas.data.datasets.dataset import DataSource
from hwnas.data.datasets.dataset_config import DatasetConfig
from hwnas.data.inspection.estimates import GeometryEstimate
from hwnas.data.inspection.findings.finding import Finding
from hwnas.data.inspection.findings.sensors import describe_beams, matches_of
from hwnas.errors import ConfigError
from hwnas.files import is_yaml, write_bytes_atomically
from hwnas.text import counted, one_line
from hwnas.yaml_files.writing import dump_yaml

_COMMENT_COLUMNS = 100


@dataclass(frozen=True)
class Suggestion:
    """A `dataset.yaml` that mends what was found of a data set.

    Attributes:
        text: content of the file.
        files: names and contents of files that it names and that do not exist yet.
        directory: directory of the data set, which paths in `text` count from.
    """

    text: str
    files: Mapping[str, str]
    directory: Path

    def write(self, out: str | Path, *, force: bool = False) -> tuple[Path, ...]:
        """Write the suggestion, and before it the files that it names; those replace nothing.

        Args:
            out: file to write; must lie in `directory`.
            force: replace `out` if it exists.

        Returns:
            What was written beside `out`.

        Raises:
            ConfigError: if `out` is elsewhere or exists, or a file that it names does.
        """
        path = Path(out)
        refuse_place(path, self.directory, force=force)
        beside = {path.parent / name: content for name, content in self.files.items()}
        for other in beside:
            if os.path.lexists(other):
                raise ConfigError(f"{other} exists already, and {path} would name it; rename one of them.")
        for other, content in {**beside, path: self.text}.items():
            write_bytes_atomically(other, content.encode("utf-8"))
        return tuple(beside)

    def __repr__(self) -> str:
        """Return the figures that matter most, in a line."""
        return one_line(
            self,
            f"dataset.yaml of {len(self.text.splitlines())} lines",
            f"names {', '.join(self.files)}" if self.files else "",
        )


def refuse_place(out: Path, directory: Path, *, force: bool) -> None:
    """Refuse a file that a suggestion for a data set may not be written into.

    Raises:
        ConfigError: if it is not in the directory of the data set, or exists and `force` is False.
    """
    if out.parent.resolve() != directory.resolve():
        raise ConfigError(
            f"{out} must lie in {directory}: paths in a dataset.yaml count from the directory that it is in."
        )
    if os.path.lexists(out) and not force:
        raise ConfigError(f"{out} exists already. Give `force=True` to replace it, or another name.")


def suggested_config(
    source: DataSource,
    config: DatasetConfig,
    geometry: GeometryEstimate | None,
    findings: tuple[Finding, ...],
) -> str:
    """Return the text of a `dataset.yaml` that mends what `dataset.yaml` can mend.

    Args:
        source: the data set.
        config: its description as it is; whatever is stated there and is not found to be wrong stays.
        geometry: the estimate; None if there were too few points.
        findings: what is odd about it.
    """
    stated = config.model_dump(mode="json", exclude_unset=True)
    stated.pop("schema_version", None)
    if is_yaml(config.label_map):
        stated["label_map"] = os.path.relpath(config.label_map, source.path)
    mended: dict[str, Any] = {}
    for finding in findings:
        mended.update(finding.settings)
    if source.sensor_is_stated or _fits(source, geometry):
        mended.setdefault("sensor", source.sensor)
    # A height in a doubtful unit, once stated, would confirm that unit.
    is_doubtful = any(finding.kind == "unit" and not finding.settings for finding in findings)
    height = None if geometry is None or is_doubtful else geometry.sensor_height_m
    if height is not None and "sensor_height_m" not in stated:
        mended.setdefault("sensor_height_m", round(height, 2))
    comments = _comments(geometry, findings)
    lines = ["# Suggested by `hwnas data info --suggest`: check it against a picture (`--picture`)."]
    lines += [f"# Looked at in detail: {counted(geometry.num_scans if geometry else 0, 'scan')}."]
    lines += _unmended(findings)
    for key, value in {**stated, **mended}.items():
        lines += _wrapped(comments.get(key, ""))
        if key in mended and key in stated and stated[key] != value:
            lines += _wrapped(f"Was: {_yaml(key, stated[key])}")
        lines.append(_yaml(key, value))
    return "\n".join(lines) + "\n"


def drafted_files(findings: tuple[Finding, ...]) -> dict[str, str]:
    """Return names and contents of the files that a suggestion names and that do not exist yet."""
    return {name: text for finding in findings for name, text in finding.files.items()}


def _fits(source: DataSource, geometry: GeometryEstimate | None) -> bool:
    """Whether the scans confirm the sensor that is assumed where none is named."""
    if geometry is None:
        return False
    return any(match.sensor == source.sensor and match.fits for match in matches_of(source, geometry))


def _comments(geometry: GeometryEstimate | None, findings: tuple[Finding, ...]) -> Mapping[str, str]:
    comments: dict[str, list[str]] = {}
    for finding in findings:
        for key in finding.settings:
            comments.setdefault(key, []).append(finding.message)
    if geometry is not None:
        comments.setdefault("sensor", []).append(f"Found: {describe_beams(geometry)}.")
        if geometry.sensor_height_m is not None:
            comments.setdefault("sensor_height_m", []).append(
                f"Above the ground, estimated from {counted(geometry.ground_scans, 'scan')}."
            )
    return {key: " ".join(texts) for key, texts in comments.items()}


def _unmended(findings: tuple[Finding, ...]) -> list[str]:
    lines: list[str] = []
    for finding in findings:
        if not finding.settings and finding.severity != "note":
            lines += _wrapped(f"NOT MENDED HERE, {finding.kind}: {finding.message} {finding.remedy}")
    return lines


def _wrapped(text: str) -> list[str]:
    lines, line = [], "#"
    for word in text.split():
        if len(line) + 1 + len(word) > _COMMENT_COLUMNS:
            lines.append(line)
            line = "#"
        line += f" {word}"
    return [*lines, line] if line != "#" else lines


def _yaml(key: str, value: Any) -> str:
    return f"{key}: {dump_yaml(value, on_one_line=True)}"
