"""Refuses graphs that a version of onnxruntime cannot take, and names the PyTorch modules to blame.

What each version takes stands in `onnxruntime_versions.json`, with its sources.
"""

from __future__ import annotations

from dataclasses import dataclass

import onnx

from hwnas.errors import ConfigError, ExportError
from hwnas.onnx_graphs.releases import known_releases, listed, release_of
from hwnas.onnx_graphs.versions import described_later, opset_of

_KNOWN = "onnxruntime_versions.json"


@dataclass(frozen=True)
class OnnxSupport:
    """What a version of onnxruntime takes.

    Attributes:
        opset: the highest one.
        ir_version: the highest one.
    """

    opset: int
    ir_version: int


def support_of(version: str) -> OnnxSupport:
    """Return what onnxruntime `version`, such as `1.16` or `1.16.3`, takes.

    A version later than those that are known takes at least what the last of them takes.

    Raises:
        ConfigError: if the version is malformed, or older than those that are known.
    """
    release = release_of(version)
    rows = {release_of(added): row for added, row in known_releases(_KNOWN)["releases"].items()}
    oldest = min(rows)
    if release < oldest:
        raise ConfigError(
            f"A version of onnxruntime is written like 1.16 or 1.16.3 and is {oldest[0]}.{oldest[1]} or "
            f"later, but got {version!r}."
        )
    return OnnxSupport(**rows[max(added for added in rows if added <= release)])


def check_for_onnxruntime(model: onnx.ModelProto, version: str) -> None:
    """Refuse a graph that onnxruntime `version` cannot take.

    Args:
        model: with inferred types, as `export_onnx` wrote it.
        version: such as `1.16`.

    Raises:
        ConfigError: if the version is not known.
        ExportError: naming what is too new, with the modules it comes from.
    """
    support = support_of(version)
    opset = opset_of(model)
    if opset > support.opset:
        nodes = described_later(model, support.opset)
        raise ExportError(
            f"onnxruntime {version} takes opsets up to {support.opset}, but this network has opset {opset}: "
            + (listed(nodes) or "no operator needs it; leave out `opset=`")
            + ". Name a later version if the target has one, or replace these modules."
        )
    if model.ir_version > support.ir_version:
        raise ExportError(
            f"onnxruntime {version} takes IR versions up to {support.ir_version}, but this network has "
            f"{model.ir_version}. Ask for an earlier opset, or name a later version."
        )
