"""Whether what a run has written fits together."""

from __future__ import annotations

import json
from typing import Any

from hwnas.search.front import objectives_of_front
from hwnas.search.run_directory import RunDirectory
from tests.search.test_driver import implied_front


def consistent_front(run: RunDirectory) -> dict[str, Any]:
    """Return the front, which is as the study says; nothing is open, and nothing was trained twice."""
    front = run.read_front()
    assert front == implied_front(run, objectives_of_front(front))
    own = [trial for trial in front["trials"] if trial["duplicate_of"] is None]
    ids = [json.dumps(trial["architecture"], sort_keys=True) for trial in own if trial["state"] != "FAIL"]
    assert len(ids) == len(set(ids))
    assert "RUNNING" not in [trial["state"] for trial in front["trials"]]
    return front
