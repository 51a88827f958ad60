from __future__ import annotations

from typing import Any

import pytest

from hwnas.bundle.candidates import Candidate, candidates_of, front_of_candidates
from hwnas.cli.export import candidates_table


def quality(value: float) -> dict[str, Any]:
    return {"metric": "mIoU", "value": value}


def precision(value: float, ratio: float | None, *, holds: bool = True, remarks: tuple[str, ...] = ()) -> Any:
    speed = None if ratio is None else {"ratio": ratio}
    evaluation = {"quality": quality(value)}
    return {
        "file": "x.onnx",
        "evaluation": evaluation,
        "speed": speed,
        "holds": holds,
        "remarks": list(remarks),
    }


def manifest(name: str, latency_ms: float, precisions: dict[str, Any], value: float = 0.5) -> dict[str, Any]:
    latency = {"latency_ms": latency_ms}
    return {
        "architecture_id": name,
        "latency": latency,
        "quality": quality(value),
        "precisions": precisions,
    }


def test_the_front_mixes_precisions_of_different_networks() -> None:
    small = manifest("small", 10.0, {"fp32": precision(0.50, None), "int8": precision(0.495, 0.5)})
    large = manifest("large", 20.0, {"fp32": precision(0.60, None), "int8": precision(0.59, 0.45)})
    found = front_of_candidates([*candidates_of(small), *candidates_of(large)])
    names = [(each.architecture_id, each.precision) for each in found]
    # int8 of the large network beats fp32 of the small one in both.
    assert names == [("small", "int8"), ("large", "int8"), ("large", "fp32")]
    assert [each.latency_ms for each in found] == pytest.approx([5.0, 9.0, 20.0])
    assert [each.error for each in found] == pytest.approx([0.505, 0.41, 0.40])


def test_precisions_that_break_limits_or_were_not_clocked_are_not_on_the_front() -> None:
    entries = {
        "fp32": precision(0.50, None),
        "fp16": precision(0.50, None),
        "int8": precision(0.30, 0.3, holds=False, remarks=("loses 20.00 points",)),
    }
    found = candidates_of(manifest("one", 10.0, entries))
    assert [each.precision for each in found] == ["fp32", "int8"]
    assert found[1].remarks == ("loses 20.00 points",)
    assert [each.precision for each in front_of_candidates(found)] == ["fp32"]


def test_a_bundle_of_fp32_alone_is_one_candidate() -> None:
    (only,) = candidates_of(manifest("one", 10.0, {"fp32": {"file": "model.onnx"}}, value=0.4))
    assert only == Candidate("one", "fp32", "mIoU", 0.6, 10.0, holds=True)
    assert only.to_json()["remarks"] == []
    older = manifest("one", 10.0, {}, value=0.4)
    del older["precisions"]
    assert candidates_of(older) == [only]


def test_the_table_says_which_are_on_the_front(capsys: pytest.CaptureFixture[str]) -> None:
    from rich.console import Console

    entries = {"fp32": precision(0.50, None), "int8": precision(0.3, 0.5, holds=False)}
    found = candidates_of(manifest("one", 10.0, entries))
    Console(width=120).print(candidates_table(found, front_of_candidates(found)))
    lines = [line for line in capsys.readouterr().out.splitlines() if "one" in line]
    assert "int8" in lines[0]
    assert "broken" in lines[0]
    assert lines[0].rstrip(" │").endswith("no")
    assert lines[1].rstrip(" │").endswith("yes")
