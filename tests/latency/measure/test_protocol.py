from __future__ import annotations

import json

import pytest

from hwnas.errors import ConfigError
from hwnas.latency.measure.protocol import MeasuringProtocol


def test_presets_survive_json() -> None:
    for protocol in (MeasuringProtocol.search(), MeasuringProtocol.final()):
        assert MeasuringProtocol.from_json(json.loads(json.dumps(protocol.to_json()))) == protocol


def test_final_is_stricter() -> None:
    search, final = MeasuringProtocol.search(), MeasuringProtocol.final()
    assert final.processes > search.processes
    assert final.max_s > search.max_s
    assert final.min_samples > search.min_samples
    assert min(search.processes, final.processes) >= 3


@pytest.mark.parametrize(
    ("name", "value"), [("processes", 0), ("confidence", 1.0), ("max_s", float("nan")), ("min_samples", 0)]
)
def test_impossible_settings(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=name):
        MeasuringProtocol(**{name: value})
