#!/usr/bin/env python3
"""Damages the files of a finished run in seeded ways and looks at what a user is told.

    .venv/bin/python scripts/damage_runs.py --variations 20

A real search and full training of small networks are made first; the latency table is one that ships. Every
variation damages one file of a fresh copy, then everything that a file is read for is done: opening the study
as a driver does on --resume, reading fronts, records and results, loading the table. Then it was:

- refused: an error of hwnas names the file;
- recovered: all results are as before, and a remark says what was lost or damaged;
- same: all results are as before; a log may have fewer lines;
- CHANGED: a result is another one, without a word. There must be none; the script fails otherwise.

Prints Markdown, with `--json` one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from hwnas.config import parse_config
from hwnas.errors import HwnasError, StudyError
from hwnas.latency.predict.table import load_table
from hwnas.report.content import load_content
from hwnas.search.driver import search
from hwnas.search.front import ParetoFront
from hwnas.search.full_training import train_front
from hwnas.search.objectives import objectives_of_run
from hwnas.search.resume.recovery import recover
from hwnas.search.run_directory import RunDirectory, read_record
from hwnas.search.run_log import read_events
from hwnas.search.storage.place import place_of_run
from hwnas.search.strategies import distributions_of
from hwnas.search.study import SearchStudy
from hwnas.search_spaces.base import make_search_space
from hwnas.tasks.base import make_task
from hwnas.testing.tiny_site import write_tiny_site
from hwnas.training.checkpoint import read_tensors
from tests.search.conftest import run_settings

Damage = Callable[[bytes, random.Random], bytes]
"""Makes the damaged content of a file out of its content."""


def flip_digit(content: bytes, rng: random.Random) -> bytes:
    """Replace one digit by another one."""
    places = [place for place, byte in enumerate(content) if chr(byte).isdigit()]
    place = rng.choice(places)
    other = rng.choice([digit for digit in b"0123456789" if digit != content[place]])
    return content[:place] + bytes([other]) + content[place + 1 :]


def flip_bit(content: bytes, rng: random.Random) -> bytes:
    """Flip one bit."""
    place = rng.randrange(len(content))
    return content[:place] + bytes([content[place] ^ (1 << rng.randrange(8))]) + content[place + 1 :]


def cut(content: bytes, rng: random.Random) -> bytes:
    """Keep the beginning."""
    return content[: rng.randrange(len(content))]


def cut_at_line(content: bytes, rng: random.Random) -> bytes:
    """Keep some lines."""
    lines = content.splitlines(keepends=True)
    return b"".join(lines[: rng.randrange(len(lines))])


def drop_line(content: bytes, rng: random.Random) -> bytes:
    """Leave one line out."""
    lines = content.splitlines(keepends=True)
    del lines[rng.randrange(len(lines))]
    return b"".join(lines)


def swap_lines(content: bytes, rng: random.Random) -> bytes:
    """Exchange two lines that follow each other."""
    lines = content.splitlines(keepends=True)
    if len(lines) < 2:
        return content
    first = rng.randrange(len(lines) - 1)
    lines[first : first + 2] = lines[first : first + 2][::-1]
    return b"".join(lines)


def zero_block(content: bytes, rng: random.Random) -> bytes:
    """Replace a block by zeros, as a disk does that lost a write."""
    start = rng.randrange(len(content))
    end = min(len(content), start + 512)
    return content[:start] + bytes(end - start) + content[end:]


FILES = (
    "study.journal",
    "trials/*/trial.json",
    "front.json",
    "trained.json",
    "checkpoints/*/result.json",
    "checkpoints/*/weights.safetensors",
    "events.jsonl",
    "table.json",
)

DAMAGES: dict[str, Damage] = {
    "a digit": flip_digit,
    "a bit": flip_bit,
    "cut off": cut,
    "cut off at a line": cut_at_line,
    "a line missing": drop_line,
    "two lines swapped": swap_lines,
    "512 zeros": zero_block,
}


def made_run(directory: Path) -> RunDirectory:
    """Search and train in full, with networks that train in a moment."""
    site = directory / "site"
    site.mkdir()
    write_tiny_site(site)
    sys.path.insert(0, str(site))
    os.environ["PYTHONPATH"] = os.pathsep.join([str(site), str(ROOT)])
    run = RunDirectory(directory / "run")
    search(parse_config(run_settings(search__trials=6)), run.path)
    train_front(run.path)
    return run


def results_of(directory: Path) -> tuple[dict[str, Any], list[str]]:
    """Return everything that a user reads out of a run and a table, and the remarks that come with it."""
    run = RunDirectory(directory / "run")
    config = run.load_config()
    task = make_task(config.task.name, config.task.settings)
    space = make_search_space(config.space.name, task.contract, config.space.choices)
    objectives = objectives_of_run(config, task, space)
    study = SearchStudy(place_of_run(run, config), must_exist=True)
    try:
        if not study.identity:
            raise StudyError(f"{run.study_journal} has lost its beginning.")  # as a driver says
        recovered = recover(run, study, objectives, distributions_of(space))
        study.fail_stale()
        trials = study.summaries()
        pareto_front = ParetoFront(run, objectives)
        pareto_front.update(trials)
        front = pareto_front.record(trials)
        identity = study.identity
    finally:
        study.close()
    trained = run.read_trained()
    events = read_events(run)
    results = {
        "identity": identity,
        "hypervolume": front["hypervolume"],
        "members": front["members"],
        "trials": [_without_times(trial) for trial in front["trials"]],
        "front": run.read_front(),
        "trained": trained,
        "checkpoints": [read_record(path, "") for path in sorted(run.path.glob("checkpoints/*/result.json"))],
        "weights": [
            {name: tensor.tolist() for name, tensor in read_tensors(path).items()}
            for path in sorted(run.path.glob("checkpoints/*/weights.safetensors"))
        ],
        "report": [(member.search_quality, member.trained) for member in load_content(run).members],
        "table": load_table(directory / "table.json").to_json(),
    }
    remarks = recovered.remarks("the study")
    if events.num_unreadable:
        remarks.append(f"{events.num_unreadable} damaged lines of {run.events.name} are left out")
    results["events"] = [event["message"] for event in events.events]
    return json.loads(json.dumps(results)), remarks


def _without_times(trial: dict[str, Any]) -> dict[str, Any]:
    """Return a trial without what a recovery cannot know: seconds, and what led to a failure."""
    kept = {key: value for key, value in trial.items() if key not in {"seconds", "elapsed_s"}}
    return {"number": trial["number"], "state": "FAIL"} if trial["state"] == "FAIL" else kept


def outcome_of(directory: Path, expected: dict[str, Any]) -> tuple[str, str]:
    """Return how a damage ended, and what was said."""
    try:
        results, remarks = results_of(directory)
    except HwnasError as error:
        return "refused", f"{type(error).__name__}: {error}"
    # A log may lose lines, but none may say something else.
    differing = [key for key, value in results.items() if key != "events" and value != expected[key]]
    differing += ["events"] if set(results["events"]) - set(expected["events"]) else []
    said = " ".join(remarks)
    if differing and not ("did not" in said and set(differing) <= {"trials", "hypervolume", "members"}):
        return "CHANGED", f"{differing}: {said}"
    return ("recovered" if remarks else "same"), said


def damaged(directory: Path, variations: int, seed: int) -> dict[str, dict[str, Counter[str]]]:
    """Damage every file in every way, so often; return how it ended, by file and damage."""
    made_run(directory)
    shutil.copy(next((ROOT / "latency_tables").glob("*1-thread.json")), directory / "table.json")
    expected, remarks = results_of(directory)
    if remarks:
        raise SystemExit(f"The run is not sound before it is damaged: {remarks}")
    whole = {
        path: path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file() and "site" not in path.parts
    }
    found: dict[str, dict[str, Counter[str]]] = {}
    for pattern in FILES:
        paths = sorted(path for path in whole if path.match(pattern))
        for name, damage in DAMAGES.items():
            rng = random.Random(f"{seed} {pattern} {name}")  # noqa: S311
            counts = found.setdefault(pattern, {}).setdefault(name, Counter())
            for _ in range(variations):
                path = rng.choice(paths)
                content = damage(whole[path], rng)
                if content == whole[path]:
                    continue
                path.write_bytes(content)
                kind, said = outcome_of(directory, expected)
                counts[kind] += 1
                if kind == "CHANGED":
                    print(f"{path}: {name}: {said}", file=sys.stderr)
                for other, original in whole.items():
                    if not other.exists() or other.read_bytes() != original:
                        other.write_bytes(original)
            print(pattern, name, dict(counts), file=sys.stderr)
    return found


def as_markdown(found: dict[str, dict[str, Counter[str]]]) -> str:
    """Return a table: a row a file, a column an outcome."""
    lines = ["| file | damages tried | refused | recovered | same | CHANGED |", "|---|---|---|---|---|---|"]
    for pattern, of_damage in found.items():
        counts: Counter[str] = sum(of_damage.values(), Counter())
        cells = [str(counts[kind]) for kind in ("refused", "recovered", "same", "CHANGED")]
        lines.append(f"| `{pattern}` | {counts.total()} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--variations", type=int, default=20, help="of every damage to every kind of file")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print JSON instead of Markdown")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        found = damaged(Path(scratch), options.variations, options.seed)
    print(json.dumps(found) if options.json else as_markdown(found))
    if any(counts["CHANGED"] for of_damage in found.values() for counts in of_damage.values()):
        raise SystemExit("Results changed without a word.")


if __name__ == "__main__":
    main()
