"""Facts of a machine that lack something are refused where they come in, or the doctor needs nothing of it."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest

from hwnas.errors import TargetReplyError
from hwnas.latency.agent.inspection import inspect_machine
from hwnas.latency.doctor.checks import diagnose
from hwnas.latency.target import Target
from hwnas.latency.transports.replies import REQUEST, checked_reply

TARGET = Target("ssh", "user@orin", "tensorrt")
NO_GPU = {"error": "no NVIDIA driver"}
GPU = {"gpu": "Orin", "compute_capability": "8.7", "cuda_driver": "12.6"}


@pytest.fixture(scope="module")
def facts() -> dict[str, Any]:
    return json.loads(json.dumps(inspect_machine({})))


def keys_of(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    if isinstance(value, dict):
        for key, below in value.items():
            yield (*path, key)
            yield from keys_of(below, (*path, key))


def is_taken(facts: dict[str, Any]) -> bool:
    """Let facts come in as a board's answer, and diagnose them if they do."""
    line = json.dumps({"facts": facts, REQUEST: 1}).encode()
    try:
        reply = checked_reply("inspect", {}, 1, line, TARGET.url)
    except TargetReplyError:
        return False
    assert diagnose(TARGET, reply["facts"], "").findings
    return True


@pytest.mark.parametrize("gpu", [GPU, NO_GPU])
@pytest.mark.parametrize("l4t", ["36.4.3", None])
def test_no_key_that_lacks_or_is_null_ends_in_a_traceback(
    facts: dict[str, Any], gpu: dict[str, str], l4t: str | None
) -> None:
    whole = copy.deepcopy(facts)
    whole["gpu"], whole["identity"]["l4t"] = gpu, l4t
    whole["backends"] = {"tensorrt": {"versions": {"tensorrt": "10.3.0"}}, "torch": {"error": "no torch"}}
    whole["tensorrt"] = {"version": "10.3.0", "dla_cores": 2, "code_for": ["8.7"]}
    whole["rtx_capabilities"] = ["SM86"]
    assert is_taken(whole)
    taken = 0
    for *parents, key in list(keys_of(whole)):
        for lacks in (True, False):
            damaged = copy.deepcopy(whole)
            place = damaged
            for parent in parents:
                place = place[parent]
            if lacks:
                del place[key]
            else:
                place[key] = None
            taken += is_taken(damaged)
    assert taken < 2 * len(list(keys_of(whole))), "nothing was refused"
