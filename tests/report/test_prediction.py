from __future__ import annotations

from pathlib import Path

from hwnas.files import write_checked_json
from hwnas.report.build import build_report
from hwnas.report.prediction import both_latencies, prediction_in_words
from tests.report.made_up_run import write_run


def test_predicted_and_measured_latencies_are_drawn(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", tmp_path / "no-data")
    front = run.read_front()
    trained = [trial for trial in front["trials"] if trial["state"] == "COMPLETE"][:10]
    for index, trial in enumerate(trained):
        ms = trial["latency_ms"] * (1.02 if index else 1.5)
        trial["predicted"] = {"latency_ms": ms, "interval_ms": [0.9 * ms, 1.1 * ms]}
    refused = next(trial for trial in front["trials"] if trial["state"] == "PRUNED")
    refused |= {"latency_ms": None, "cost": None, "measurements": {}}
    refused["predicted"] = {"latency_ms": 90.0, "interval_ms": [80.0, 100.0]}
    write_checked_json(run.front, front)

    assert len(both_latencies(front)) == 10
    words = prediction_in_words(front)
    assert "9 of 10 within 5 %" in words
    assert "9 inside their predicted interval" in words
    assert "1 networks were not measured" in words
    page = build_report(run.path).read_text("utf-8")
    assert "prediction-figure" in page
    assert "Predicted and measured latency" in page


def test_without_a_table_there_is_no_such_section(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", tmp_path / "no-data")
    assert "prediction-figure" not in build_report(run.path).read_text("utf-8")
