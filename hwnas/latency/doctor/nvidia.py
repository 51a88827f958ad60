"""Checks of NVIDIA GPUs, Jetsons and TensorRT."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hwnas.latency.doctor.findings import Finding, ok, problem, warn
from hwnas.latency.doctor.tensorrt_support import (
    is_of,
    lacks_capability,
    load_table,
    may_have_dla,
    release_of,
)
from hwnas.latency.target import Target

Facts = Mapping[str, Any]


def check_nvidia(target: Target, facts: Facts) -> list[Finding]:
    """Everything that concerns NVIDIA; nothing on machines without."""
    return [
        *check_gpu(target, facts),
        *check_jetpack(facts),
        *check_capability(target, facts),
        *check_dla(target, facts),
        *check_power_mode(facts),
        *check_discrete_gpus(facts),
    ]


def check_gpu(target: Target, facts: Facts) -> list[Finding]:
    """Whether there is a GPU that CUDA can use."""
    gpu = facts["gpu"]
    if "error" not in gpu:
        shown = f"{gpu['gpu']}, compute capability {gpu['compute_capability']}, CUDA {gpu['cuda_driver']}"
        return [ok("GPU", shown)]
    if target.backend in {"tensorrt", "tensorrt-rtx", "trtexec"} or facts["identity"]["l4t"]:
        return [
            problem("GPU", gpu["error"], "Install NVIDIA's driver, or measure on a machine that has a GPU.")
        ]
    return [ok("GPU", "none that CUDA can use; only processors can be measured")]


def check_jetpack(facts: Facts) -> list[Finding]:
    """Whether a Jetson has the TensorRT that its JetPack brings."""
    l4t = facts["identity"]["l4t"]
    if l4t is None:
        return []
    row = release_of(l4t)
    if row is None:
        return [
            warn(
                "JetPack",
                f"Jetson Linux {l4t} is not in the table of {load_table()['as_of']}",
                "Compare the versions of TensorRT yourself, and report them so that the table grows.",
            )
        ]
    if row.get("too_old"):
        return [
            problem(
                "JetPack",
                f"JetPack {row['jetpack']} (L4T {l4t}) brings TensorRT {row['tensorrt']}, older than 10",
                "Update to JetPack 6.1 or later.",
            )
        ]
    found = installed_tensorrt(facts)
    if found is None:
        return [
            problem(
                "JetPack",
                f"JetPack {row['jetpack']} (L4T {l4t}) brings TensorRT {row['tensorrt']}, but none is found",
                "Install it: sudo apt install libnvinfer-bin python3-libnvinfer",
            )
        ]
    note = f"; {row['note']}" if "note" in row else ""
    text = f"L4T {l4t} is JetPack {row['jetpack']} with TensorRT {row['tensorrt']}; found is {found}{note}"
    if is_of(found, row["tensorrt"]):
        return [ok("JetPack", text)]
    advice = "Check that it holds code for this board (next line); engines of one version load in no other."
    return [warn("JetPack", text, advice)]


def check_capability(target: Target, facts: Facts) -> list[Finding]:
    """Whether the installed TensorRT holds code for this GPU."""
    capability = facts["gpu"].get("compute_capability")
    if capability is None:
        return []
    findings = []
    version, own = installed_tensorrt(facts), (facts["tensorrt"] or {}).get("code_for", [])
    if version is not None and own:
        if capability in own:
            findings.append(ok("TensorRT code", f"TensorRT {version} holds code for {capability}"))
        else:
            found = f"TensorRT {version} holds code for {', '.join(own)}, but this GPU is {capability}"
            findings.append(problem("TensorRT code", found, "Install a version that supports this GPU."))
    elif version is not None:
        row = lacks_capability("tensorrt", version, capability)
        if row is not None:
            found = f"TensorRT {version} holds no code for compute capability {capability} ({row['source']})"
            findings.append(problem("TensorRT code", found, f"{row['advice']}."))
    rtx = facts["rtx_capabilities"]
    if rtx and "SM" + capability.replace(".", "") not in rtx:
        found = f"TensorRT for RTX supports {', '.join(rtx)}, but this GPU is {capability}"
        level = problem if target.backend == "tensorrt-rtx" else warn
        findings.append(level("TensorRT for RTX", found, "Use backend=tensorrt on this GPU."))
    return findings


def check_dla(target: Target, facts: Facts) -> list[Finding]:
    """Whether a deep-learning accelerator can be used."""
    board, version = facts["machine"]["board"] or "", installed_tensorrt(facts)
    if facts["identity"]["l4t"] is None or version is None:
        return []
    cores = (facts["tensorrt"] or {}).get("dla_cores")
    is_wished = any(name == "dla_core" for name, _ in target.options)
    if cores:
        text = f"{cores} cores; good for power and for freeing the GPU, usually slower than it"
        return [ok("DLA", text)]
    if cores is None and may_have_dla(version, board):
        return [ok("DLA", f"TensorRT {version} can use one on this board; it could not be asked")]
    text = f"none that TensorRT {version} can use on {board or 'this board'}"
    advice = "Orin has one under TensorRT up to 10.7 and from 11.4.1; Thor has none. Leave 'dla_core' out."
    return [problem("DLA", text, advice) if is_wished else ok("DLA", text)]


def check_power_mode(facts: Facts) -> list[Finding]:
    """Whether a Jetson runs in its fastest power mode."""
    if facts["identity"]["l4t"] is None:
        return []
    mode = facts["identity"]["power_mode"]
    if mode is None:
        return [
            warn("power mode", "unknown", "Look at it with 'nvpmodel -q' and write it down with the figures.")
        ]
    if mode.startswith("MAXN"):
        return [ok("power mode", mode)]
    advice = "Keep it if the vehicle runs in it; else 'sudo nvpmodel -m 0' (numbers differ by board)."
    return [warn("power mode", f"{mode}, not the fastest one", advice)]


def check_discrete_gpus(facts: Facts) -> list[Finding]:
    """Whether settings of discrete GPUs make figures worse."""
    findings = []
    for index, gpu in enumerate(facts["identity"]["gpus"] or []):
        if gpu["persistence_mode"] is False:
            found = f"GPU {index} unloads its driver when idle, which makes first inferences slow"
            findings.append(warn("persistence mode", found, "sudo nvidia-smi -pm 1"))
    return findings


def installed_tensorrt(facts: Facts) -> str | None:
    """Return the version of TensorRT by its Python module, else by trtexec; None without either."""
    if facts["tensorrt"]:
        return str(facts["tensorrt"]["version"])
    versions = facts["backends"].get("trtexec", {}).get("versions", {})
    return str(versions["trtexec"]) if "trtexec" in versions else None
