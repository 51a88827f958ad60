"""What a target may answer. It may be misconfigured, damaged or hostile: nothing it says is used unchecked.

Sizes are checked before the JSON is parsed, since a list of empty lists takes thirty times the memory that
its text does; then the form, by a schema for each operation; then the counts, by what was asked for.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from hwnas.errors import TargetReplyError
from hwnas.text import excerpt, shortened, visible

REQUEST = "request"
"""Key under which a reply repeats the number of its request."""
HEARTBEAT = "heartbeat"
"""Key of a message that says that a request is still being worked on."""
MAX_TEXT = 4000
_SHORT_REASON = 20
MAX_FREE_TEXT = 1 << 16
MAX_DEPTH = 12
MAX_ENGINE_BYTES = 512 << 20
_SMALL_BYTES, _SMALL_NODES = 1 << 20, 20_000
_BYTES_PER_SAMPLE = 32
_WINDOW_SAMPLES = 250_000
_MAX_COUNT = 1_000_000
_MAX_RATE_HZ = 1000

Milliseconds = Annotated[float, Field(gt=0, le=1e8, allow_inf_nan=False)]
Duration = Annotated[float, Field(ge=0, le=1e8, allow_inf_nan=False)]
"""In whatever unit the field's name says; one that may round to nothing."""
Number = Annotated[float, Field(ge=-1e18, le=1e18, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0, le=1 << 53)]
Text = Annotated[str, Field(max_length=MAX_TEXT)]
Limits = Annotated[list[Number | None], Field(min_length=2, max_length=2)]
Capability = Annotated[str, Field(pattern=r"^[0-9]{1,2}\.[0-9]$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Form(BaseModel):
    """A form in which nothing else than its fields may stand."""

    model_config = ConfigDict(strict=True, extra="forbid")


class _OpenForm(BaseModel):
    """A form that may hold more, such as what the backend of a plug-in tells."""

    model_config = ConfigDict(strict=True, extra="allow")


class _Nothing(_Form):
    pass


class _Heartbeat(_Form):
    heartbeat: Text
    is_waiting: bool


class _Error(_Form):
    error: Annotated[str, Field(max_length=MAX_FREE_TEXT)]


class _Samples(_Form):
    samples_ms: list[Milliseconds]


class _Warmup(_Form):
    seconds: Duration
    median_ms: Milliseconds
    window_ms: Annotated[list[Milliseconds], Field(min_length=1, max_length=_WINDOW_SAMPLES)]
    is_settled: bool
    gave_up: bool


class _EndToEndWarmup(_Warmup):
    kernel: Text


class _EndToEnd(_Form):
    e2e_ms: list[Milliseconds]
    project_ms: list[Duration]
    network_ms: list[Duration]
    label_ms: list[Duration]


class _FixedRate(_Form):
    samples_ms: Annotated[list[Milliseconds], Field(min_length=1)]
    lateness_ms: list[Number]
    missed: Count
    dropped: Count


class _Background(_Form):
    achieved_hz: Duration
    median_ms: Milliseconds | None


class _GpuIdentity(_OpenForm):
    persistence_mode: bool | None = None


class _Identity(_OpenForm):
    l4t: Text | None
    power_mode: Text | None
    cpu_limits_mhz: dict[Text, Limits] | None
    device_limits_mhz: dict[Text, Limits] | None
    gpus: list[_GpuIdentity] | None


class _Machine(_OpenForm):
    board: Text | None
    cpu_model: Text | None
    cpu_count: Count | None
    cpu_quota: Annotated[str, Field(pattern=r"^(max|[0-9]{1,18})( [0-9]{1,18})?$")] | None
    governor: list[Text] | None
    pinned_cores: list[Annotated[int, Field(ge=0, lt=1 << 16)]]


class _Fingerprint(_Identity, _Machine):
    threads: Count
    backend: Text
    backend_options: dict[Text, Text]
    backend_versions: dict[Text, Text]
    backend_settings: dict[Text, JsonValue]


class _SetUp(_Form):
    fingerprint: _Fingerprint


class _GpuState(_OpenForm):
    alarms: list[Text]
    thermal_violation_ns: Count | None


class _State(_OpenForm):
    clocks_mhz: dict[Text, Number]
    temperatures_c: dict[Text, Number]
    power_mw: dict[Text, Number] | None
    alarms: list[Text]
    throttle_counters: dict[Text, Number]
    gpus: list[_GpuState] | None


class _StateReply(_Form):
    state: _State


class _Energy(_Form):
    energy_mj: Number | None
    rails: list[Text]
    idle_mw: dict[Text, Number]
    busy_mw: dict[Text, Number]
    inferences: Count
    seconds: Duration
    source: Text


class _ResourceUse(_Form):
    load_cold_s: Duration
    load_warm_s: Duration
    first_inference_ms: Duration
    peak_memory_mb: Number | None
    memory_increase_mb: Number | None
    gpu_memory_mb: Number | None
    model_size_mb: Number
    engine_size_mb: Number | None
    energy: _Energy | None


class _Resources(_Form):
    resources: _ResourceUse


class _Kernel(_OpenForm):
    operator: Text
    attributes: dict[Text, JsonValue]
    input_shapes: list[list[Count]]
    output_shapes: list[list[Count]]
    ms: Duration


class _Kernels(_Form):
    kernels: list[_Kernel]


class _EngineIdentity(_Form):
    # The file's name is made of product, version and device.
    product: Annotated[str, Field(pattern=r"^[a-z-]{1,40}$")]
    version: Annotated[str, Field(pattern=r"^[0-9][0-9A-Za-z.+-]{0,40}$")]
    gpu: Annotated[str, Field(max_length=100)]
    compute_capabilities: Annotated[list[Capability], Field(max_length=64)]
    model_sha256: Sha256
    settings: dict[Text, JsonValue]
    engine_sha256: Sha256
    engine_bytes: Annotated[int, Field(ge=1, le=MAX_ENGINE_BYTES)]
    typing: Text


class _EngineBuild(_Form):
    fallback: JsonValue
    build_s: Duration | None
    layers_on_gpu: JsonValue


class _Engine(_Form):
    identity: _EngineIdentity
    build: _EngineBuild


class _Piece(_Form):
    piece: Annotated[str, Field(max_length=3 << 20)]


class _Tried(_Form):
    versions: dict[Text, Text] | None = None
    error: Annotated[str, Field(max_length=MAX_FREE_TEXT)] | None = None


class _TensorRt(_Form):
    version: Text
    dla_cores: Count | None
    code_for: list[Text]


class _FactsOfMachine(_OpenForm):
    machine: _Machine
    identity: _Identity
    state: _State
    allowed_cores: Annotated[list[Count], Field(max_length=1 << 16)]
    load_average: Number
    memory_available_mb: Number | None
    disk_free_mb: Number | None
    is_virtual: bool
    backends: dict[Text, _Tried]
    providers: list[Text]
    gpu: dict[Text, Text]
    tensorrt: _TensorRt | None
    rtx_capabilities: list[Text]


class _Facts(_Form):
    facts: _FactsOfMachine


class _Stored(_Form):
    path: Annotated[str, Field(min_length=1, max_length=4096, pattern=r"^[^\x00-\x1f\x7f]+$")]


class _Wanted(_Form):
    send: bool


@dataclass(frozen=True)
class _Rule:
    """What may answer one operation.

    Attributes:
        form: of the reply.
        count: most samples, by the arguments of the request; they decide how large the reply may be.
        lists: fields that must have exactly as many entries as `count` says.
        nodes: values that it may hold beside.
        size_bytes: that it may have beside.
    """

    form: type[BaseModel]
    count: Callable[[Mapping[str, Any]], int] = lambda _: 0
    lists: tuple[str, ...] = ()
    nodes: int = _SMALL_NODES
    size_bytes: int = _SMALL_BYTES


def _count(arguments: Mapping[str, Any]) -> int:
    return min(int(arguments.get("count", 0)), _MAX_COUNT)


def _window(_arguments: Mapping[str, Any]) -> int:
    return _WINDOW_SAMPLES


def _frames(arguments: Mapping[str, Any]) -> int:
    return min(2 * int(arguments.get("seconds", 0) * _MAX_RATE_HZ) + 100, 2 * _MAX_COUNT)


_STAGES = ("e2e_ms", "project_ms", "network_ms", "label_ms")
_RULES: Mapping[str, _Rule] = {
    **dict.fromkeys(("lock", "load", "unload", "start_background", "adopt_build"), _Rule(_Nothing)),
    "set_up": _Rule(_SetUp),
    "state": _Rule(_StateReply),
    "warm_up": _Rule(_Warmup, _window),
    "start_fixed_rate": _Rule(_Warmup, _window),
    "start_end_to_end": _Rule(_EndToEndWarmup, _window),
    "clock": _Rule(_Samples, _count, ("samples_ms",)),
    "end_to_end": _Rule(_EndToEnd, lambda arguments: 4 * _count(arguments), _STAGES),
    "fixed_rate": _Rule(_FixedRate, _frames),
    "stop_background": _Rule(_Background),
    "resources": _Rule(_Resources),
    "kernels": _Rule(_Kernels, nodes=400_000, size_bytes=16 << 20),
    "build_engine": _Rule(_Engine),
    "read_engine": _Rule(_Piece, size_bytes=2 << 20),
    "inspect": _Rule(_Facts),
}
_UNKNOWN = _Rule(_OpenForm)


def limit_bytes(operation: str, arguments: Mapping[str, Any]) -> int:
    """Return how many bytes the reply to a request may have."""
    rule = _RULES.get(operation, _UNKNOWN)
    return rule.size_bytes + _BYTES_PER_SAMPLE * rule.count(arguments)


def checked_reply(
    operation: str, arguments: Mapping[str, Any], number: int, line: bytes, target: str
) -> dict[str, Any]:
    """Return a reply to a request: a message that it is worked on, an error, or the result.

    Args:
        operation: that was asked for.
        arguments: of it.
        number: of the request.
        line: of the answer.
        target: how errors name it.

    Raises:
        TargetReplyError: if it is no such reply, saying what was expected and what was found.
    """
    rule = _RULES.get(operation, _UNKNOWN)
    where = f"{target} must answer {operation!r}"
    reply = _parsed(where, line, rule.nodes + rule.count(arguments))
    answered = reply.pop(REQUEST, None)
    if type(answered) is not int or answered != number:
        raise TargetReplyError(
            f"{where} with the number of the request, {number}, but wrote {excerpt(line)}. Its answers are "
            "out of order, or of another version of hwnas."
        )
    if HEARTBEAT in reply:
        _check_form(where, _Heartbeat, reply)
        return reply
    if "error" in reply:
        _check_form(where, _Error, reply)
        return {"error": _reason(where, reply)}
    _check_form(where, rule.form, reply)
    _check_counts(where, rule, arguments, reply)
    return reply


def checked_upload_reply(line: bytes, target: str) -> dict[str, Any]:
    """Return what the far end of an upload says: `path`, `send` or `error`; nothing for an empty line.

    Raises:
        TargetReplyError: if it is none of these.
    """
    if not line:
        return {}
    where = f"{target} must answer an upload"
    try:
        reply = _parsed(where, line, 10)
    except TargetReplyError as error:
        raise TargetReplyError(
            f"{error} Its login scripts may print; they must be silent when nobody sits at a terminal."
        ) from error
    if "error" in reply:
        _check_form(where, _Error, reply)
        return {"error": _reason(where, reply)}
    _check_form(where, _Wanted if "send" in reply else _Stored, reply)
    return reply


def _reason(where: str, reply: Mapping[str, Any]) -> str:
    """Return why a request was refused, shortened; with our words where the target's say next to nothing."""
    reason = shortened(reply["error"].strip(), MAX_TEXT)
    if len(reason) >= _SHORT_REASON:
        return reason
    return f"{where}, but refused: {reason or 'no reason was given'}."


def _parsed(where: str, line: bytes, most_nodes: int) -> dict[str, Any]:
    # Every value but the first stands behind one of these; in a text they count too, which is few.
    if line.count(b",") + line.count(b"[") + line.count(b"{") > most_nodes:
        raise TargetReplyError(f"{where} with at most {most_nodes} values, but wrote {excerpt(line)}.")
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise TargetReplyError(
            f"{where} in JSON, but wrote {excerpt(line)}. The agent on the target does not fit this version "
            "of hwnas."
        ) from error
    if not isinstance(value, dict):
        raise TargetReplyError(f"{where} with a JSON object, but wrote {excerpt(line)}.")
    for key in ("error", HEARTBEAT):
        if isinstance(value.get(key), str):
            value[key] = visible(value[key])  # may name a file whose name is not UTF-8
    _check_values(where, value)
    return value


def _check_values(where: str, value: Any) -> None:
    """Refuse what JSON can hold but our files cannot, wherever it stands."""
    left: list[tuple[Any, int]] = [(value, 1)]
    while left:
        found, depth = left.pop()
        if isinstance(found, (dict, list)):
            if depth > MAX_DEPTH:
                raise TargetReplyError(
                    f"{where} with at most {MAX_DEPTH} levels, but wrote {excerpt(value)}."
                )
            inside = [*found, *found.values()] if isinstance(found, dict) else found
            left.extend((each, depth + 1) for each in inside)
        elif isinstance(found, float):
            if not math.isfinite(found):
                raise TargetReplyError(f"{where} with finite numbers, but wrote {found!r}.")
        elif isinstance(found, str):
            # A half of a surrogate pair cannot be written to any file.
            if not found.isascii() and any("\ud800" <= character <= "\udfff" for character in found):
                raise TargetReplyError(f"{where} with text of whole characters, but wrote {excerpt(found)}.")
        elif isinstance(found, int) and abs(found) >= 1 << 64:
            raise TargetReplyError(f"{where} with whole numbers of 64 bits, but wrote a longer one.")


def _check_form(where: str, form: type[BaseModel], reply: Mapping[str, Any]) -> None:
    try:
        form.model_validate(reply)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        expected = str(first["msg"]).replace("Input should be", "must be").replace("Input", "it")
        raise TargetReplyError(
            f"{where} in the form {form.__name__.strip('_')}, but {excerpt(place)} is "
            f"{excerpt(first['input'])}: {expected}."
        ) from error


def _check_counts(where: str, rule: _Rule, arguments: Mapping[str, Any], reply: Mapping[str, Any]) -> None:
    wanted = _count(arguments)
    wrong = {name: len(reply[name]) for name in rule.lists if len(reply[name]) != wanted}
    if wrong:
        raise TargetReplyError(f"{where} with {wanted} samples of each kind, but wrote {wrong}.")
    if rule.form is _FixedRate and len(reply["samples_ms"]) != len(reply["lateness_ms"]):
        raise TargetReplyError(
            f"{where} with a lateness for every sample, but wrote {len(reply['samples_ms'])} samples and "
            f"{len(reply['lateness_ms'])} latenesses."
        )
