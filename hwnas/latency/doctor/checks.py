"""Diagnoses a target: what it can measure and build, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hwnas.errors import MeasurementError, PluginError, TargetUnreachableError
from hwnas.io_spec import IoSpec
from hwnas.json_values import JsonObject
from hwnas.latency.backend_class import backend_class
from hwnas.latency.doctor.findings import Finding, ok, problem, warn
from hwnas.latency.doctor.noise import Noise
from hwnas.latency.doctor.nvidia import check_nvidia
from hwnas.latency.target import Target
from hwnas.latency.transports.base import Transport
from hwnas.plugins import plugin_names
from hwnas.text import html_table, one_line

Facts = Mapping[str, Any]
_INSPECTION_S, _LOAD_S = 180.0, 600.0
_SMALL_MB = 1024
_HOT_C = 85
_CALM_DRIFT, _WILD_DRIFT = 0.03, 0.10
_CALM_SPREAD = 0.05


@dataclass(frozen=True)
class Diagnosis:
    """What was found.

    Attributes:
        target: URL.
        findings: in the order of the checks.
        facts: they rest on, see `hwnas.latency.agent.inspection`.
        noise: None if it was not measured.
    """

    target: str
    findings: tuple[Finding, ...]
    facts: JsonObject
    noise: Noise | None = None

    @property
    def is_usable(self) -> bool:
        """Whether latency can be measured there at all."""
        return not any(finding.check == "backend" and finding.level == "problem" for finding in self.findings)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {"is_usable": self.is_usable, **asdict(self)}

    def __repr__(self) -> str:
        """Return the figures that matter most, in a line."""
        return one_line(
            self,
            self.target,
            "usable" if self.is_usable else "not usable",
            *(f"{one.level}: {one.check}" for one in self.findings if one.level != "ok"),
        )

    def _repr_html_(self) -> str:
        """Return the findings for notebooks; text from outside is escaped."""
        rows = [[one.level, one.check, one.found, one.advice] for one in self.findings]
        return html_table(repr(self).strip("<>"), ("level", "check", "found", "what to do"), rows)


def inspect_target(transport: Transport) -> Facts:
    """Have an agent on the target tell about it.

    Raises:
        MeasurementError: if no agent can be started there.
    """
    backends: dict[str, str] = {}
    broken: dict[str, dict[str, str]] = {}
    for name in plugin_names("hwnas.backends"):
        try:
            backend = backend_class(name)
        except PluginError as error:  # said beside the others: it may not be the one that is asked for
            broken[name] = {"error": str(error)}
        else:
            backends[name] = f"{backend.__module__}:{backend.__qualname__}"
    agent = transport.start_agent()
    try:
        facts: Facts = agent.request("inspect", timeout_s=_INSPECTION_S, backends=backends)["facts"]
    finally:
        agent.close()
    return {**facts, "backends": {**facts["backends"], **broken}}


def try_backend(transport: Transport, target: Target, model: Path, io_spec: IoSpec) -> str:
    """Set the backend of a target up and load a model as a measurement would; return why that fails.

    Some backends find only with a model at hand that a library is missing.

    Args:
        transport: to the target.
        target: whose backend is tried.
        model: that any backend takes, such as the reference network.
        io_spec: its inputs and outputs.

    Returns:
        The reason, empty if it does not fail.

    Raises:
        TargetUnreachableError: if the target is gone.
    """
    backend = backend_class(target.backend)
    agent = transport.start_agent()
    try:
        agent.request(
            "set_up",
            timeout_s=_INSPECTION_S,
            backend=f"{backend.__module__}:{backend.__qualname__}",
            threads=target.threads,
            cores=list(target.cores),
            options=dict(target.options),
        )
        path = transport.place_model(model)
        agent.request("load", timeout_s=_LOAD_S, model=path, io_spec=io_spec.to_json(), seed=0)
    except TargetUnreachableError:
        raise
    except MeasurementError as error:
        return str(error)
    finally:
        agent.close()
    return ""


def diagnose(target: Target, facts: Facts, refusal: str, noise: Noise | None = None) -> Diagnosis:
    """Turn facts into findings.

    Args:
        target: that was asked for.
        facts: of its machine.
        refusal: why its backend cannot be set up, empty if it can.
        noise: measured there, None if not.
    """
    findings = [
        *check_backend(target, facts, refusal),
        *check_other_backends(target, facts),
        *check_processors(target, facts),
        *check_clocks(facts),
        *check_heat(facts),
        *check_space(facts),
        *check_nvidia(target, facts),
        *(check_noise(noise) if noise is not None else []),
    ]
    return Diagnosis(target.url, tuple(findings), facts, noise)


def check_backend(target: Target, facts: Facts, refusal: str) -> list[Finding]:
    """Whether the backend of the target can be used with its settings."""
    if refusal:
        return [
            problem("backend", f"{target.backend} cannot be used: {refusal}", "Do what the message says.")
        ]
    versions = facts["backends"].get(target.backend, {}).get("versions", {})
    shown = ", ".join(f"{name} {version}" for name, version in versions.items())
    return [ok("backend", f"{target.backend} can be measured ({shown or 'version unknown'})")]


def check_other_backends(target: Target, facts: Facts) -> list[Finding]:
    """What else can be measured and built there."""
    found = facts["backends"]
    usable = [name for name, entry in found.items() if "versions" in entry]
    missing = [name for name in found if name not in usable]
    findings = [
        ok("backends", f"usable: {', '.join(usable) or 'none'}; not here: {', '.join(missing) or 'none'}")
    ]
    findings += [
        warn(
            "backends",
            found[name]["error"],
            "Update or uninstall that distribution; `hwnas plugins --check`.",
        )
        for name in missing
        if found[name].get("error", "").startswith("Plug-in ")
    ]
    builders = [name for name in ("tensorrt", "trtexec") if name in usable]
    if facts["rtx_capabilities"]:
        builders.append(f"tensorrt-rtx for {', '.join(facts['rtx_capabilities'])} (no GPU needed)")
    findings.append(ok("engines", f"can be built with: {'; '.join(builders) or 'nothing here'}"))
    others = [
        name for name in facts["providers"] if name not in {"CPUExecutionProvider", "AzureExecutionProvider"}
    ]
    if others:
        findings.append(ok("providers", f"onnxruntime also has {', '.join(others)}"))
    return findings


def check_processors(target: Target, facts: Facts) -> list[Finding]:
    """Whether the processors are as many as asked for, and free."""
    findings = []
    allowed, load = facts["allowed_cores"], facts["load_average"]
    model = facts["machine"]["cpu_model"] or "unknown"
    if target.threads > len(allowed):
        findings.append(
            problem(
                "processors",
                f"{target.threads} threads are asked for, but only {len(allowed)} processors may be used",
                "Ask for fewer threads, or lift the limit of the container.",
            )
        )
    else:
        findings.append(ok("processors", f"{len(allowed)} usable: {model}"))
    quota = str(facts["machine"]["cpu_quota"] or "max").split()
    if quota[0] != "max" and len(quota) == 2 and int(quota[0]) < target.threads * int(quota[1]):
        findings.append(
            warn(
                "processors",
                f"a quota grants {int(quota[0]) / int(quota[1]):g} processors, then stops it all for a while",
                "Pin the container to processors (--cpuset-cpus) in place of a quota (--cpus).",
            )
        )
    if load > max(0.5, 0.25 * len(allowed)):
        findings.append(
            warn("load", f"load average {load:.1f}: other programs are running", "End them while measuring.")
        )
    if facts["is_virtual"]:
        findings.append(
            warn(
                "virtual machine",
                "this is a virtual machine, whose neighbours slow it down unseen",
                "Rely on ratios to the reference network, or measure on real hardware.",
            )
        )
    return findings


def check_clocks(facts: Facts) -> list[Finding]:
    """Whether clocks are free to change."""
    governors = facts["machine"]["governor"]
    free = {
        name: limits
        for kind in ("cpu_limits_mhz", "device_limits_mhz")
        for name, limits in (facts["identity"][kind] or {}).items()
        if None not in limits and limits[0] < limits[1]
    }
    is_jetson = facts["identity"]["l4t"] is not None
    if is_jetson and free:
        return [
            warn(
                "clocks",
                f"clocks may change ({', '.join(sorted(free))})",
                "Run 'sudo jetson_clocks' before measuring, or measure at a fixed rate "
                "(`hwnas bench --rate-hz`), clocks as in use.",
            )
        ]
    if governors and governors != ["performance"]:
        return [
            warn(
                "clocks",
                f"the processors' governor is {', '.join(governors)}, so clocks follow the load",
                "Set it with: sudo cpupower frequency-set -g performance",
            )
        ]
    if governors is None and not free:
        return [ok("clocks", "not shown to this machine; a fixed clock cannot be checked")]
    return [ok("clocks", "fixed, or held high by the governor")]


def check_heat(facts: Facts) -> list[Finding]:
    """Whether the machine is slowed down, or hot."""
    state = facts["state"]
    alarms = list(state["alarms"]) + [
        f"GPU {index}: {alarm}" for index, gpu in enumerate(state["gpus"] or []) for alarm in gpu["alarms"]
    ]
    if alarms:
        return [problem("heat", f"slowed down now: {', '.join(alarms)}", "Cool it, or give it more power.")]
    hot = {name: degrees for name, degrees in state["temperatures_c"].items() if degrees >= _HOT_C}
    if hot:
        shown = ", ".join(f"{name} {degrees:.0f} °C" for name, degrees in hot.items())
        return [warn("heat", f"hot: {shown}", "Set the fan to full speed; let it cool before measuring.")]
    if not state["temperatures_c"]:
        return [ok("heat", "no thermometer is shown to this machine")]
    return [ok("heat", f"at most {max(state['temperatures_c'].values()):.0f} °C, no alarm")]


def check_space(facts: Facts) -> list[Finding]:
    """Whether memory and disk are large enough for building engines."""
    findings = []
    for name, key in (("memory", "memory_available_mb"), ("disk", "disk_free_mb")):
        free_mb = facts[key]
        if free_mb is not None and free_mb < _SMALL_MB:
            findings.append(
                warn(name, f"only {free_mb:.0f} MiB are free", "Building engines takes a few GiB; free some.")
            )
        elif free_mb is not None:
            findings.append(ok(name, f"{free_mb / 1024:.1f} GiB free"))
    return findings


def check_noise(noise: Noise) -> list[Finding]:
    """Whether one network takes the same time again and again."""
    text = (
        f"over {noise.seconds:.0f} s medians of {len(noise.windows_ms)} windows differ by {noise.drift:.1%}, "
        f"samples spread by {noise.spread:.1%}, {noise.slow:.1%} are slower than 1.5 medians"
    )
    advice = (
        "End other programs, fix the clocks, pin with 'cores='. Otherwise expect intervals as wide as this, "
        "or rely on ratios to the reference network."
    )
    if noise.drift > _WILD_DRIFT:
        return [problem("noise", text, advice)]
    if noise.drift > _CALM_DRIFT or noise.spread > _CALM_SPREAD:
        return [warn("noise", text, advice)]
    return [ok("noise", text)]
