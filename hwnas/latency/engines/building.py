"""Builds the engine of a model where it is to run, or for GPUs that are elsewhere, and brings it here."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hwnas.errors import MeasurementError, TargetReplyError
from hwnas.files import write_bytes_atomically
from hwnas.latency.agent.engine_files import MAX_PIECE_BYTES
from hwnas.latency.backends.engine_identity import EngineIdentity
from hwnas.latency.backends.errors import AgentError
from hwnas.latency.backends.tensorrt_build import import_tensorrt
from hwnas.latency.backends.tensorrt_rtx import TensorRtRtx, compile_for
from hwnas.latency.measure.commands import SupportsCommands
from hwnas.model_files.external_data import sha256_of_model
from hwnas.scratch import ScratchDirectory
from hwnas.text import excerpt


def build_on_target(meter: SupportsCommands, model: Path, directory: Path) -> dict[str, Any]:
    """Have the target of a meter build the engine of an ONNX file, and write it into `directory`.

    Returns:
        Its record: `EngineIdentity` as JSON, with `file` (its name there) and `build` (`fallback`, `build_s`,
        `layers_on_gpu`).

    Raises:
        MeasurementError: if the target's backend builds no engines or refuses the model, or if what came over
            is not what was built.
    """
    with meter.alone(model) as (ask, path):
        # Without more patience than for any request: whoever builds says meanwhile that it works.
        answer = ask("build_engine", model=path)
        try:
            identity = EngineIdentity.from_json(answer["identity"])
        except AgentError as error:
            raise MeasurementError(
                f"{meter.target!r} told nonsense about an engine: {excerpt(error)}. Update hwnas there."
            ) from error
        content = _fetched(ask, identity.engine_bytes)
    written = directory / identity.file_name
    if hashlib.sha256(content).hexdigest() != identity.engine_sha256:
        raise MeasurementError(
            f"The engine that came from {meter.target!r} is not the one that was built there. Export again."
        )
    write_bytes_atomically(written, content)
    return {**identity.to_json(), "file": written.name, "build": dict(answer["build"])}


def build_for_rtx(model: Path, capabilities: Sequence[str], directory: Path) -> dict[str, Any]:
    """Build one engine of TensorRT for RTX for several compute capabilities; needs no GPU.

    Args:
        model: ONNX file.
        capabilities: such as SM86.
        directory: to write the engine into.

    Returns:
        Its record, as `build_on_target` does.

    Raises:
        MeasurementError: if TensorRT for RTX is missing or refuses the model, naming node and module.
    """
    with ScratchDirectory("rtx") as scratch:
        engine = Path(scratch) / "engine"
        try:
            record = compile_for(str(model), capabilities, str(engine))
            version = str(import_tensorrt(TensorRtRtx.PRODUCT).__version__)
        except AgentError as error:
            raise MeasurementError(str(error)) from error
        identity = EngineIdentity(
            product=TensorRtRtx.PRODUCT,
            version=version,
            gpu="",
            compute_capabilities=tuple(f"{name[2:-1]}.{name[-1]}" for name in capabilities),
            model_sha256=sha256_of_model(model),
            settings={"compute_capabilities": list(capabilities)},
            engine_sha256=str(record["engine_sha256"]),
            engine_bytes=int(record["engine_bytes"]),
            typing=str(record["typing"]),
        )
        write_bytes_atomically(directory / identity.file_name, engine.read_bytes())
    build = {"fallback": record["fallback"], "build_s": record["build_s"], "layers_on_gpu": None}
    return {**identity.to_json(), "file": identity.file_name, "build": build}


def _fetched(ask: Any, size_bytes: int) -> bytes:
    """Return the engine, piece by piece; a target that sends other pieces than were asked for is refused."""
    content = bytearray()
    while len(content) < size_bytes:
        wanted = min(MAX_PIECE_BYTES, size_bytes - len(content))
        answer = ask("read_engine", offset=len(content), size_bytes=wanted)
        try:
            piece = base64.b64decode(answer["piece"], validate=True)
        except binascii.Error as error:
            raise TargetReplyError(f"A piece of an engine must be base64 text, but {error}.") from error
        if len(piece) != wanted:
            raise TargetReplyError(
                f"A piece of an engine must have {wanted} bytes, but has {len(piece)}. Export again."
            )
        content += piece
    return bytes(content)
