from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from hwnas.io_spec import TensorSpec
from hwnas.latency.agent.end_to_end import STAGES, EndToEndClock, packed, unpacked
from hwnas.latency.backends.errors import AgentError
from hwnas.range_view.pipeline import RangeView
from tests.latency.made_up_scan import DEPLOYMENT, made_up_scan


class Recording:
    """A network whose classes are the signs of the first channel; remembers where inputs were put."""

    def __init__(self, width: int = 256) -> None:
        self.width = width
        self.calls: list[str] = []

    def inputs(self) -> tuple[TensorSpec, ...]:
        return (TensorSpec("image", (1, 5, 16, self.width)),)

    def bind(self, arrays: Mapping[str, Any]) -> None:
        self.calls.append("bind")
        self.image = arrays["image"]

    def write(self, arrays: Mapping[str, Any]) -> None:
        self.calls.append("write")
        self.image = arrays["image"]

    def run(self) -> None:
        self.calls.append("run")

    def outputs(self) -> dict[str, Any]:
        return {"logits": np.concatenate([self.image[:, :1], -self.image[:, :1]], axis=1)}


def scan_as_json(labels: np.ndarray[Any, Any] | None = None) -> dict[str, Any]:
    scan = made_up_scan()
    arrays = {"points": scan.points, "remission": scan.remission, "ring": None, "labels": labels}
    return json.loads(
        json.dumps({name: None if array is None else packed(array) for name, array in arrays.items()})
    )


def test_stages_add_up_and_memory_is_reserved_once() -> None:
    backend = Recording()
    clock = EndToEndClock(backend, DEPLOYMENT, scan_as_json())
    found = clock.clock(4)
    assert {len(samples) for samples in found.values()} == {4}
    for index in range(4):
        assert found["e2e_ms"][index] == pytest.approx(sum(found[stage][index] for stage in STAGES))
        assert all(found[stage][index] > 0 for stage in STAGES)
    assert backend.calls == ["bind", "run"] + ["write", "run"] * 4


def test_labels_come_back_to_every_point() -> None:
    scan = made_up_scan()
    view = RangeView.from_deployment(DEPLOYMENT)
    projected = view.project(scan.points, scan.remission, scan.ring)
    backend = Recording()
    backend.bind({"image": view.network_input(projected)})
    (logits,) = backend.outputs().values()
    labels = view.labels(view.label_image(logits, projected), projected)
    assert labels.shape == (len(scan),)
    assert set(np.unique(labels[:-1])) == {0, 1}
    assert labels[-1] == 255  # the last point lies at the sensor itself


def test_neighbours_vote_over_given_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    scan = made_up_scan()
    given = (scan.points[:, 0] > 0).astype(np.uint8)
    seen = []
    vote = RangeView.labels

    def remembered(view: RangeView, label_image: Any, projected: Any) -> Any:
        seen.append(label_image)
        return vote(view, label_image, projected)

    monkeypatch.setattr(RangeView, "labels", remembered)
    for labels in (None, given):
        EndToEndClock(Recording(), DEPLOYMENT, scan_as_json(labels)).run()
    of_network, of_scan = seen
    image = RangeView.from_deployment(DEPLOYMENT).project(scan.points, scan.remission).image
    for label_image in seen:
        np.testing.assert_array_equal(label_image == 255, ~image.valid)
    assert not np.array_equal(of_network, of_scan)
    has_ahead = image.channels[1] > 0
    np.testing.assert_array_equal(of_scan[image.valid], has_ahead[image.valid])


def test_arrays_survive_the_way_and_damage_is_said() -> None:
    array = np.arange(12, dtype=np.int32).reshape(3, 4)
    sent = json.loads(json.dumps(packed(array)))
    np.testing.assert_array_equal(unpacked(sent), array)
    with pytest.raises(AgentError, match="another SHA-256"):
        unpacked({**sent, "zlib": packed(array + 1)["zlib"]})
    with pytest.raises(AgentError, match="damaged"):
        unpacked({**sent, "zlib": "AAAA"})


def test_settings_that_do_not_fit_are_said() -> None:
    with pytest.raises(AgentError, match=r"takes images of \[16, 512\]"):
        EndToEndClock(Recording(width=512), DEPLOYMENT, scan_as_json())
    without = {key: value for key, value in DEPLOYMENT.items() if key != "knn"}
    with pytest.raises(AgentError, match="do not say how to label points"):
        EndToEndClock(Recording(), without, scan_as_json())
