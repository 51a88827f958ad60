"""The forms in which a target may answer each operation, and how large its answers may be."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue

MAX_TEXT = 4000
MAX_FREE_TEXT = 1 << 16
MAX_ENGINE_BYTES = 512 << 20
_SMALL_BYTES, _SMALL_NODES = 1 << 20, 20_000
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


class Heartbeat(_Form):
    """A request is still being worked on."""

    heartbeat: Text
    is_waiting: bool


class Error(_Form):
    """A request, or an upload, was refused."""

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


class FixedRate(_Form):
    """A piece of a run at a fixed rate."""

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


class _Refusal(_Form):
    """Why there is none, or why it cannot be used."""

    error: Annotated[str, Field(max_length=MAX_FREE_TEXT)]


class _UsableBackend(_Form):
    versions: dict[Text, Text]


class _Gpu(_Form):
    gpu: Text
    compute_capability: Annotated[str, Field(pattern=r"^[0-9]{1,3}\.[0-9]{1,3}$")]
    cuda_driver: Text


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
    backends: dict[Text, _UsableBackend | _Refusal]
    providers: list[Text]
    gpu: _Gpu | _Refusal
    tensorrt: _TensorRt | None
    rtx_capabilities: list[Text]


class _Facts(_Form):
    facts: _FactsOfMachine


class Stored(_Form):
    """Where an upload lies on the target."""

    path: Annotated[str, Field(min_length=1, max_length=4096, pattern=r"^[^\x00-\x1f\x7f]+$")]


class Wanted(_Form):
    """Whether a file is to be sent, which the target may have already."""

    send: bool


@dataclass(frozen=True)
class Rule:
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


def count_of(arguments: Mapping[str, Any]) -> int:
    """Return how many samples a request asks for."""
    return min(int(arguments.get("count", 0)), _MAX_COUNT)


def _window(_arguments: Mapping[str, Any]) -> int:
    return _WINDOW_SAMPLES


def _frames(arguments: Mapping[str, Any]) -> int:
    return min(2 * int(arguments.get("seconds", 0) * _MAX_RATE_HZ) + 100, 2 * _MAX_COUNT)


_STAGES = ("e2e_ms", "project_ms", "network_ms", "label_ms")
_RULES: Mapping[str, Rule] = {
    **dict.fromkeys(("lock", "load", "unload", "start_background", "adopt_build"), Rule(_Nothing)),
    "set_up": Rule(_SetUp),
    "state": Rule(_StateReply),
    "warm_up": Rule(_Warmup, _window),
    "start_fixed_rate": Rule(_Warmup, _window),
    "start_end_to_end": Rule(_EndToEndWarmup, _window),
    "clock": Rule(_Samples, count_of, ("samples_ms",)),
    "end_to_end": Rule(_EndToEnd, lambda arguments: 4 * count_of(arguments), _STAGES),
    "fixed_rate": Rule(FixedRate, _frames),
    "stop_background": Rule(_Background),
    "resources": Rule(_Resources),
    "kernels": Rule(_Kernels, nodes=400_000, size_bytes=16 << 20),
    "build_engine": Rule(_Engine),
    "read_engine": Rule(_Piece, size_bytes=2 << 20),
    "inspect": Rule(_Facts),
}
_UNKNOWN = Rule(_OpenForm)


def rule_of(operation: str) -> Rule:
    """Return what may answer an operation; of those of plug-ins, anything that is not large."""
    return _RULES.get(operation, _UNKNOWN)
