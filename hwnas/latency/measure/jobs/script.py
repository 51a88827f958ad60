"""The shell script of a measuring job: POSIX sh, and trtexec."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hwnas.latency.agent.lock import DEFAULT_PATH, PATH_VARIABLE
from hwnas.latency.backends.trtexec_flags import RUN_FLAGS_BY_MAJOR, STRONG_TYPING_COMPLETE

# What the agent reads of a machine that it runs on (hwnas/latency/agent/state.py) is read from copies here.
_STATE_FILES = (
    "/etc/nv_tegra_release",
    "/etc/nvpmodel.conf",
    "/etc/os-release",
    "/var/lib/nvpmodel/status",
    "/proc/device-tree/model",
    "/proc/version",
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/proc/driver/nvidia/version",
    "/sys/devices/system/cpu/cpufreq/policy*/scaling_*_freq",
    "/sys/devices/system/cpu/cpufreq/policy*/scaling_governor",
    "/sys/class/devfreq/*/*_freq",
    "/sys/class/devfreq/*/governor",
    "/sys/class/thermal/thermal_zone*/type",
    "/sys/class/thermal/thermal_zone*/temp",
    "/sys/class/thermal/cooling_device*/type",
    "/sys/class/thermal/cooling_device*/cur_state",
    "/sys/class/hwmon/hwmon*/name",
    "/sys/class/hwmon/hwmon*/in*_label",
    "/sys/class/hwmon/hwmon*/in*_input",
    "/sys/class/hwmon/hwmon*/curr*_input",
    "/sys/class/hwmon/hwmon*/curr*_alarm",
    "/sys/class/hwmon/hwmon*/oc*_event_cnt",
    "/sys/kernel/debug/bpmp/debug/clk/emc/rate",
)


@dataclass(frozen=True)
class JobModel:
    """One model of a job.

    Attributes:
        name: letters, digits, `_`, `.`, `-`.
        file: path of the graph within the job.
        sha256: of all its files, see `hwnas.model_files.external_data.ModelFiles`.
        weak_flags: build flags for its types, for versions whose strong typing does not cover all operators.
        hashes: SHA-256 of every file of it, external data included, by path within the job.
    """

    name: str
    file: str
    sha256: str
    weak_flags: tuple[str, ...]
    hashes: Mapping[str, str]


def job_script(models: Sequence[JobModel], settings: Mapping[str, Any]) -> str:
    """Return a script that measures `models`, the first of which is the reference network.

    Args:
        models: to measure.
        settings: the fields of `JobSettings`.
    """
    state_files = " ".join(_quoted_pattern(pattern) for pattern in _STATE_FILES)
    rest = [model.name for model in models[1:]]
    replacements = {
        "@MODELS@": " ".join(shlex.quote(model.name) for model in models),
        "@MEASURED@": " ".join(shlex.quote(name) for name in rest),
        "@REFERENCE@": shlex.quote(models[0].name),
        "@HASHES@": "\n".join(
            f"{sha256}  {file}" for model in models for file, sha256 in model.hashes.items()
        ),
        "@FILES@": "\n".join(
            f"    {shlex.quote(model.name)}) MODEL_FILE={shlex.quote(model.file)} ;;" for model in models
        ),
        "@WEAK_FLAGS@": "\n".join(
            f"    {shlex.quote(model.name)}) echo {shlex.quote(' '.join(model.weak_flags))} ;;"
            for model in models
        ),
        "@RUN_FLAGS@": "\n".join(
            f"{major}) RUN_FLAGS={shlex.quote(' '.join(flags))} ;;"
            for major, flags in RUN_FLAGS_BY_MAJOR.items()
        ),
        "@STRONG_MINOR@": str(STRONG_TYPING_COMPLETE[1]),
        "@BUILD_FLAGS@": shlex.join(_build_flags(settings)),
        "@DLA_FLAGS@": _dla_flag(settings),
        "@STATE_FILES@": state_files,
        "@LOCK@": f"${{{PATH_VARIABLE}:-{DEFAULT_PATH}}}",
    }
    for key in ("processes", "iterations", "duration_s", "warmup_ms", "timeout_s"):
        replacements[f"@{key.upper()}@"] = str(int(settings[key]))
    text = _TEMPLATE
    for mark, value in replacements.items():
        text = text.replace(mark, value)
    return text


def _dla_flag(settings: Mapping[str, Any]) -> str:
    return f"--useDLACore={int(settings['dla_core'])} " if settings["dla_core"] >= 0 else ""


def _build_flags(settings: Mapping[str, Any]) -> list[str]:
    flags = ["--skipInference", f"--builderOptimizationLevel={settings['optimization_level']}"]
    if not settings["tf32"]:
        flags.append("--noTF32")
    if settings["dla_core"] >= 0:
        flags += [f"--useDLACore={settings['dla_core']}", "--allowGPUFallback"]
    return flags


def _quoted_pattern(pattern: str) -> str:
    """Quote all but the stars, so that the shell expands them."""
    return "*".join(shlex.quote(part) if part else "" for part in pattern.split("*"))


_TEMPLATE = r"""#!/bin/sh
# Measures ONNX models with trtexec. Needs a POSIX shell, sha256sum, sed and TensorRT 10 or 11.
# Start it on the board:  sh run.sh        (TRTEXEC=/path/to/trtexec if it is not found)
# It may be stopped and started again; what was measured stays. Carry the whole directory back afterwards.
# shellcheck disable=SC2046,SC2086 # flags are meant to be split into words
set -eu
LC_ALL=C
export LC_ALL
umask 022
cd -- "$(dirname -- "$0")"

fail() {
    echo "run.sh: $*" >&2
    exit 1
}

if [ -z "${TRTEXEC:-}" ]; then
    TRTEXEC=$(command -v trtexec || true)
    for place in /usr/src/tensorrt/bin/trtexec /opt/tensorrt/bin/trtexec; do
        if [ -z "$TRTEXEC" ] && [ -x "$place" ]; then TRTEXEC=$place; fi
    done
fi
[ -x "${TRTEXEC:-}" ] || fail "trtexec not found; set TRTEXEC to its path (Jetson: package libnvinfer-bin)"
command -v sha256sum >/dev/null || fail "sha256sum not found"

sha256sum -c - <<'EOF' >/dev/null || fail "a model is not what was sent; copy the directory again"
@HASHES@
EOF

mkdir -p results engines
rm -f results/SHA256SUMS

# One measurement at a time on this machine; agents of hwnas use the same file.
if command -v flock >/dev/null; then
    LOCK=@LOCK@
    [ -e "$LOCK" ] || (umask 000; : >>"$LOCK") 2>/dev/null || true
    if [ -r "$LOCK" ]; then
        exec 9<"$LOCK"
        flock -n 9 || echo "waiting for another measurement to end" >&2
        flock -w 3600 9 || fail "another measurement holds $LOCK longer than an hour"
    fi
fi

if command -v timeout >/dev/null; then
    limited() { timeout @TIMEOUT_S@ "$@"; }
else
    limited() { "$@"; }
fi

"$TRTEXEC" --help >results/help.txt 2>&1 || true
BANNER=$(sed -n 's/.*\(\[TensorRT v[0-9.]*\]\( \[b[0-9]*\]\)\{0,1\}\).*/\1/p' results/help.txt | sed -n 1p)
rm -f results/help.txt
case $BANNER in
'[TensorRT v'*.*.*) VERSION=$(echo "$BANNER" | sed 's/^\[TensorRT v\([0-9]*\)\.\([0-9]*\).*/\1 \2/') ;;
'[TensorRT v'*) VERSION=$(echo "$BANNER" | sed 's/^\[TensorRT v\([0-9][0-9]\)\([0-9][0-9]\).*/\1 \2/') ;;
*) fail "$TRTEXEC does not say its version as trtexec does" ;;
esac
MAJOR=${VERSION% *}
MINOR=${VERSION#* }
case $MINOR in 0[0-9]) MINOR=${MINOR#0} ;; esac

# The same meaning in every version: no CUDA graph, no spinning, no transfers. Defaults changed in 11.0.
case $MAJOR in
@RUN_FLAGS@
*) fail "TensorRT $MAJOR is not supported by this job; its flags are pinned for other versions only" ;;
esac

if [ -e results/trtexec.txt ] && [ "$(cat results/trtexec.txt)" != "$BANNER" ]; then
    fail "results hold figures of $(cat results/trtexec.txt), but this is $BANNER; remove results and engines"
fi
echo "$BANNER" >results/trtexec.txt

weak_flags() {
    case $1 in
@WEAK_FLAGS@
    esac
}

# Sets MODEL_FILE: external data lies beside it.
find_model() {
    case $1 in
@FILES@
    esac
}

# Copies the files through which Linux tells clocks, temperatures, alarms and power mode.
keep_state() {
    rm -rf "results/$1"
    for file in @STATE_FILES@; do
        if [ -r "$file" ] && [ -f "$file" ]; then
            mkdir -p "results/$1${file%/*}"
            cat "$file" >"results/$1$file" 2>/dev/null || rm -f "results/$1$file"
        fi
    done
    if command -v nvpmodel >/dev/null; then nvpmodel -q >"results/$1/nvpmodel.txt" 2>&1 </dev/null || true; fi
    if command -v nvidia-smi >/dev/null; then nvidia-smi -q >"results/$1/nvidia-smi.txt" 2>&1 || true; fi
    if command -v tegrastats >/dev/null; then
        tegrastats --interval 500 >"results/$1/tegrastats.txt" 2>&1 </dev/null &
        tegrastats_pid=$!
        sleep 2
        kill "$tegrastats_pid" 2>/dev/null || true
    fi
    mkdir -p "results/$1"
    uname -a >"results/$1/uname.txt"
}

build() {
    [ ! -e "results/$1.built" ] || [ ! -e "engines/$1.engine" ] || return 0
    echo "building $1" >&2
    find_model "$1"
    typing=strong
    strong=--stronglyTyped
    if [ "$MAJOR" -ge 11 ]; then strong=; fi
    if ! limited "$TRTEXEC" "--onnx=$MODEL_FILE" "--saveEngine=engines/$1.engine" \
        --timingCacheFile=engines/timing.cache @BUILD_FLAGS@ $strong \
        >"results/$1.build.log" 2>&1 </dev/null; then
        typing=weak
        if [ "$MAJOR" -ge 11 ] || [ "$MINOR" -ge @STRONG_MINOR@ ] ||
            ! limited "$TRTEXEC" "--onnx=$MODEL_FILE" "--saveEngine=engines/$1.engine" \
                --timingCacheFile=engines/timing.cache @BUILD_FLAGS@ $(weak_flags "$1") \
                >"results/$1.build.log" 2>&1 </dev/null; then
            sed -n 's/.*\[E\]//p' "results/$1.build.log" >"results/$1.failed"
            echo "building $1 failed; see results/$1.build.log" >&2
            return 1
        fi
    fi
    rm -f "results/$1.failed"
    {
        echo "typing=$typing"
        echo "engine_sha256=$(sha256sum <"engines/$1.engine" | cut -d ' ' -f 1)"
        echo "engine_bytes=$(wc -c <"engines/$1.engine" | tr -d ' ')"
    } >"results/$1.built"
}

# measure MODEL RUN: writes results/MODEL.RUN.json
measure() {
    [ ! -e "results/$1.$2.json" ] || return 0
    if limited "$TRTEXEC" "--loadEngine=engines/$1.engine" --iterations=@ITERATIONS@ --duration=@DURATION_S@ \
        --warmUp=@WARMUP_MS@ --device=0 @DLA_FLAGS@$RUN_FLAGS "--exportTimes=results/$1.$2.part" \
        >"results/$1.$2.log" 2>&1 </dev/null; then
        mv "results/$1.$2.part" "results/$1.$2.json"
    else
        sed -n 's/.*\[E\]//p' "results/$1.$2.log" >"results/$1.failed"
        echo "running $1 failed; see results/$1.$2.log" >&2
        return 1
    fi
}

[ -d results/state-start ] || keep_state state-start
for model in @MODELS@; do
    build "$model" || [ "$model" != @REFERENCE@ ] || fail "the reference network must build"
done

run=1
while [ "$run" -le @PROCESSES@ ]; do
    for model in @MEASURED@; do
        if [ -e "results/$model.failed" ] || [ -e "results/$model.$run.json" ]; then continue; fi
        echo "run $run of @PROCESSES@: $model" >&2
        # The reference anew beside every model, so that heat and clock drift meet both.
        rm -f "results/@REFERENCE@.$model.$run.json"
        measure @REFERENCE@ "$model.$run" || fail "the reference network must run"
        measure "$model" "$run" || true
    done
    run=$((run + 1))
done
keep_state state-end
# All of it, whole or not at all: the states say whether the board throttled, and what was built and failed
# decides about figures as much as the reports.
(cd results && find . -type f -exec sha256sum {} +) >SHA256SUMS.part
mv SHA256SUMS.part results/SHA256SUMS
echo "done; carry this directory back and run: hwnas bench --ingest DIR" >&2
"""
