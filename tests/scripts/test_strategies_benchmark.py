"""The benchmark of strategies on made-up tables: what it prints, keeps, leaves out and refuses."""

from __future__ import annotations

import importlib
import itertools
import json
import math
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

DIRECTORY = Path(__file__).parents[2] / "scripts" / "benchmarks"
NAMES = ("accuracy.csv", "latency.csv")
Line = dict[str, str]


@pytest.fixture(scope="module")
def script() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(DIRECTORY))
        module = importlib.import_module("strategies")
        patch.setattr(module, "quiet", lambda: None)
        yield module
    for name in ("strategies", "accuracy_table", "peers"):
        sys.modules.pop(name, None)


def written(path: Path, lines: list[Line], encoding: str = "utf-8") -> None:
    rows = [",".join(lines[0]), *(",".join(line.values()) for line in lines)]
    path.write_text("\n".join(rows) + "\n", encoding=encoding)


def made_up(operations: tuple[str, ...]) -> tuple[list[Line], list[Line]]:
    """Return accuracies and latencies of all cells with these operations on each edge."""
    rng = random.Random(0)
    accuracies, latencies = [], []
    for index, digits in enumerate(itertools.product(*operations)):
        wide, skips = digits.count("3"), digits.count("1")
        accuracy = 50 + 5 * wide + 2 * skips + rng.random()
        accuracies.append(
            {
                "index": f"{index}",
                "ops": "".join(digits),
                "c100_val_s1": f"{accuracy:.3f}",
                "c100_val_s2": f"{accuracy + 0.5 * rng.random():.3f}",
                "c10_val_s1": f"{accuracy + 10:.3f}",
            }
        )
        box, phone = (1 + wide + 0.5 * skips + 0.1 * rng.random(), 5 + 2 * wide + 0.1 * rng.random())
        latencies.append({"index": f"{index}", "box one": f"{box:.4f}", "phone": f"{phone:.4f}"})
    return accuracies, latencies


LARGE = made_up(("013", "013", "013", "013", "13", "13"))  # 324 cells
SMALL = made_up(("013", "13", "13", "3", "13", "03"))  # 48 cells


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("large")
    for name, lines in zip(NAMES, LARGE, strict=True):
        written(directory / name, lines)
    return directory


Edit = Callable[[list[Line], list[Line]], object]


def small(directory: Path, edit: Edit | None = None, encoding: str = "utf-8") -> Path:
    accuracies, latencies = ([dict(line) for line in lines] for lines in SMALL)
    if edit is not None:
        edit(accuracies, latencies)
    directory.mkdir(exist_ok=True)
    for name, lines in zip(NAMES, (accuracies, latencies), strict=True):
        written(directory / name, lines, encoding)
    return directory


def options(directory: Path, *more: str, **changed: str) -> list[str]:
    accuracy, latency = (str(directory / name) for name in NAMES)
    given = {"accuracy": accuracy, "latency": latency, "devices": "box one", "seeds": "1"}
    given |= {"evaluations": "4,8", "strategies": "random"} | changed
    pairs = [(f"--{name.replace('_', '-')}", value) for name, value in given.items()]
    return [*itertools.chain.from_iterable(pairs), "--json", *more]


def run(arguments: list[str]) -> tuple[dict[str, Any], str]:
    """Return the last line of what a run prints, and its messages."""
    command = [sys.executable, str(DIRECTORY / "strategies.py"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=500)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1]), done.stderr


@pytest.fixture
def called(script: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """The same within this process."""

    def call(arguments: list[str]) -> tuple[dict[str, Any], str]:
        monkeypatch.setattr(sys, "argv", ["strategies.py", *arguments])
        script.main()
        printed = capsys.readouterr()
        return json.loads(printed.out.splitlines()[-1]), printed.err

    return call


@pytest.fixture
def refused(called, capsys: pytest.CaptureFixture[str]):
    def call(arguments: list[str]) -> str:
        with pytest.raises(SystemExit) as stopped:
            called(arguments)
        printed = capsys.readouterr()
        assert stopped.value.code == 2
        assert not printed.out
        message = printed.err.splitlines()[-1]
        assert message.startswith("strategies.py: error: ")
        return message

    return call


@pytest.mark.slow
def test_studies_are_scored_kept_and_the_same_in_several_processes(large: Path, tmp_path: Path) -> None:
    results = tmp_path / "results.json"
    wanted = {"devices": "box one,phone", "seeds": "2", "strategies": "random,tpe,surrogate"}
    arguments = options(large, **wanted, evaluations="6,12", results=str(results))
    reported, messages = run(arguments)
    assert set(reported) == {"random", "tpe", "surrogate"}
    for devices in reported.values():
        assert set(devices) == {"box one", "phone"}
        assert all(0 < ratios["6"] <= ratios["12"] <= 1 for ratios in devices.values())
    assert reported["surrogate"]["box one"]["12"] > reported["random"]["box one"]["12"]
    assert "[12/12] surrogate on phone, seed 1: " in messages
    again, messages = run(arguments)
    assert again == reported
    assert messages == f"12 of 12 studies are in {results}\n"
    in_two, messages = run(options(large, **wanted, evaluations="6,12", processes="2"))
    assert in_two == reported
    assert messages.count(", seed ") == 12


def test_a_run_goes_on_where_it_was_stopped(called, tmp_path: Path) -> None:
    results = tmp_path / "of mine"
    directory = small(tmp_path / "table")
    wanted = {"results": str(results), "devices": "box one,phone", "strategies": "random,tpe"}
    reported, _ = called(options(directory, **wanted))
    more, messages = called(options(directory, **wanted | {"seeds": "3"}))
    assert messages.startswith(f"4 of 12 studies are in {results}\n[5/12] ")
    fresh, _ = called(options(directory, **wanted | {"seeds": "3", "results": str(tmp_path / "fresh")}))
    assert more == fresh
    # Marks that were not scored are; what was found before stays.
    other, messages = called(options(directory, **wanted, evaluations="2,8"))
    assert messages.count(", seed ") == 4
    assert other["tpe"]["phone"]["8"] == reported["tpe"]["phone"]["8"]
    again, messages = called(options(directory, **wanted, evaluations="2,4,8"))
    assert ", seed " not in messages
    assert again["tpe"]["phone"] == other["tpe"]["phone"] | reported["tpe"]["phone"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fresh", "of mine", "table"]


def test_results_of_something_else_are_not_taken(called, tmp_path: Path) -> None:
    def renamed(_: list[Line], latencies: list[Line]) -> None:
        for line in latencies:
            line["box one 1"] = f"{float(line['phone']) + float(line['box one']):.3f}"

    def faster(_: list[Line], latencies: list[Line]) -> None:
        latencies[0]["box one"] = "0.5"

    def better(accuracies: list[Line], _: list[Line]) -> None:
        accuracies[-1]["c100_val_s2"] = "99"

    first = small(tmp_path / "first", renamed)
    shared = str(tmp_path / "shared.json")
    wanted: list[tuple[Path, dict[str, str]]] = [
        (first, {}),
        (first, {"devices": "box one 1"}),
        (first, {"devices": "box one", "first_seed": "1"}),
        (first, {"strategies": "tpe"}),
        (first, {"evaluations": "4"}),
        (first, {"floor": "6"}),
        (first, {"floor": "60.001"}),
        (first, {"seen": "c100_val_s2"}),
        (first, {"seen": "c10_val_s1"}),
        (small(tmp_path / "faster", faster), {}),
        (small(tmp_path / "better", better), {}),
    ]
    for directory, changed in wanted:
        fresh, _ = called(options(directory, **changed))
        reported, messages = called(options(directory, **changed, results=shared))
        assert reported == fresh
        assert "[1/1]" in messages
    for directory, changed in wanted:
        _, messages = called(options(directory, **changed, results=shared))
        assert messages == f"1 of 1 studies are in {shared}\n"


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{",
        '{"c100_val_s1 60 8 random box one 0": {"ratios": {"8": 0.5}}}',
        '{"format": "hwnas strategies on a table, 1", "studies": [1]}',
        '{"format": "hwnas strategies on a table, 1", "studies": {"a": {"ratios": {"8": NaN}, "proposal_s": 1}}}',
        b"\xff\xfe",
    ],
)
def test_files_that_hold_no_results_are_refused_and_kept(
    refused, tmp_path: Path, content: str | bytes
) -> None:
    results = tmp_path / "results.json"
    results.write_bytes(content if isinstance(content, bytes) else content.encode())
    before = results.read_bytes()
    message = refused(options(small(tmp_path / "table"), results=str(results)))
    assert str(results) in message
    assert "name another file as --results" in message
    assert results.read_bytes() == before


def test_results_that_cannot_be_written_are_refused_at_once(refused, tmp_path: Path) -> None:
    directory = small(tmp_path / "table")
    assert "name another file" in refused(options(directory, results=str(tmp_path)))
    assert "name another file" in refused(options(directory, results=str(tmp_path / "missing" / "results")))


def incomplete(accuracies: list[Line], latencies: list[Line]) -> None:
    """Leave ten architectures without figures on `box one`, among them the most accurate and the slowest."""
    accuracies[1]["c100_val_s1"] = ""
    accuracies[2]["c100_val_s1"] = "nan"
    accuracies[3]["c100_val_s2"] = " "  # only scored, by the other training
    latencies[3]["box one"] = "0"
    slowest = sorted(range(10, 48), key=lambda row: float(latencies[row]["box one"]))[-6:]
    for row, text in zip(slowest, ("", "  ", "nan", "inf", "-inf", "1e999"), strict=True):
        latencies[row]["box one"] = text
    del latencies[4:6]


@pytest.mark.slow
def test_what_the_table_lacks_is_left_out(
    script: ModuleType, called, refused, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr(script, "MAX_REPEATS", 20)
    directory = small(tmp_path / "table", incomplete)
    wanted = {"evaluations": "5,38", "strategies": "random,tpe,nsga2,surrogate"}
    reported, messages = called(options(directory, **wanted))
    assert messages.startswith(
        "box one: 10 of 48 architectures are left out: 2 lack the accuracy, 8 the latency.\n"
    )
    for devices in reported.values():
        assert 0 < devices["box one"]["5"] < devices["box one"]["38"] == 1
    assert "up to the 38 architectures" in refused(options(directory, evaluations="5,39"))
    _, messages = called(options(directory, devices="phone"))
    assert messages.startswith(
        "phone: 4 of 48 architectures are left out: 2 lack the accuracy, 2 the latency.\n"
    )
    table = script.load(*(directory / name for name in NAMES), ["box one"], "c100_val_s1", 60.0)
    usable = table.usable("box one")
    assert len(table.seen) == len(table.rows) == 48
    assert table.hypervolume("box one", list(range(48))) == table.hypervolume("box one", usable) > 0
    assert table.hypervolume("box one", [1, 2, 4]) == table.hypervolume("box one", []) == 0


def test_area_under_the_staircase(script: ModuleType) -> None:
    cells = {(f"{number}",): number for number in range(5)}
    accuracies = script.np.array([50.0, 70.0, 65.0, 90.0, 80.0])
    latencies = script.np.array([0.0, 2.0, 3.0, math.nan, 4.0])
    table = script.Table(cells, accuracies, accuracies, {"a": latencies}, 60.0)
    assert table.hypervolume("a", [4, 3, 2, 1, 0]) == 10 * 2
    assert table.hypervolume("a", [2]) == 5 * 1
    assert table.usable("a") == [0, 1, 2, 4]


def test_other_libraries_are_told_the_worst_of_what_the_table_lacks(
    script: ModuleType, called, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reported: list[tuple[str, float, float]] = []

    class InOrder:
        def __init__(self, space, evaluations, seed) -> None:
            reported.clear()
            self._left = [dict(zip(space, cell, strict=True)) for cell in itertools.product(*space.values())]

        def propose(self) -> dict[str, str]:
            return self._left.pop(0)

        def tell(self, choices, error, cost) -> None:
            reported.append((",".join(choices.values()), error, cost))

    monkeypatch.setitem(script.PEERS, "in-order", InOrder)
    directory = small(tmp_path / "table", incomplete)
    ratios, _ = called(options(directory, strategies="in-order", evaluations="38"))
    assert ratios["in-order"]["box one"]["38"] == 1
    table = script.load(*(directory / name for name in NAMES), ["box one"], "c100_val_s1", 60.0)
    largest = max(table.latency_ms["box one"][table.usable("box one")])
    assert len(reported) - 38 == sum((error, cost) == (1.0, largest) for _, error, cost in reported) > 5
    assert min(cost for _, _, cost in reported) == 1e-3


@pytest.mark.slow
def test_other_libraries_play_by_their_seed(tmp_path: Path) -> None:
    for module in ("pymoo", "syne_tune"):
        pytest.importorskip(module, reason="extra `benchmarks`")
    directory = small(tmp_path / "table", incomplete)
    arguments = options(directory, strategies="pymoo-nsga2,syne-tune-evolution", evaluations="4,12")
    reported, _ = run(arguments)
    for devices in reported.values():
        assert 0 < devices["box one"]["4"] <= devices["box one"]["12"] <= 1
    assert run([*arguments, "--processes", "2"])[0] == reported


@pytest.mark.slow
def test_other_libraries_are_needed_only_where_named(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules.update(dict.fromkeys(['pymoo', 'syne_tune', 'matplotlib'])); "
        f"sys.path.insert(0, {str(DIRECTORY)!r}); import strategies; strategies.main()"
    )
    arguments = options(small(tmp_path / "table"), strategies="random,pymoo-nsga2")
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 2, done.stderr
    assert done.stderr.splitlines()[-1].endswith("install hwnas[benchmarks].")
    assert "'pymoo-nsga2'" in done.stderr


def test_a_byte_order_mark_and_lost_zeros_change_nothing(called, tmp_path: Path) -> None:
    def without_zeros(accuracies: list[Line], _: list[Line]) -> None:
        for line in accuracies:
            line["ops"] = line["ops"].lstrip("0")

    reported, _ = called(options(small(tmp_path / "plain")))
    marked, messages = called(options(small(tmp_path / "marked", without_zeros, "utf-8-sig")))
    assert marked == reported
    assert "left out" not in messages


def test_a_device_may_have_a_comma_in_its_name(called, tmp_path: Path) -> None:
    directory = small(tmp_path / "table")
    path = directory / NAMES[1]
    path.write_text(path.read_text().replace("box one", '"box, old"'))
    reported, _ = called(options(directory, devices='"box, old",phone,phone'))
    assert set(reported["random"]) == {"box, old", "phone"}


def of_accuracy(row: int, column: str, text: str) -> Edit:
    return lambda accuracies, _: accuracies[row].update({column: text})


def of_latency(row: int, column: str, text: str) -> Edit:
    return lambda _, latencies: latencies[row].update({column: text})


def without_unit(_: list[Line], latencies: list[Line]) -> None:
    for line in latencies:
        line["box one"] = ""


@pytest.mark.parametrize(
    ("edit", "parts"),
    [
        (of_latency(7, "box one", "fast"), ["latency.csv", "'box one' of index 7", "'fast'", "at least 0"]),
        (of_latency(7, "box one", "-2"), ["'box one' of index 7", "'-2'"]),
        (of_latency(7, "box one", "10,7"), ["3 fields in row 8", "latency.csv"]),
        (of_latency(7, "index", "6"), ["index once", "'6'", "latency.csv"]),
        (of_accuracy(7, "c100_val_s1", "?"), ["accuracy.csv", "'c100_val_s1' of index 7", "from 0 to 100"]),
        (of_accuracy(7, "c100_val_s1", "101"), ["'101'"]),
        (of_accuracy(7, "c100_val_s2", "?"), ["'c100_val_s2' of index 7"]),
        (of_accuracy(7, "ops", "012345"), ["six digits", "index 7", "'012345'"]),
        (of_accuracy(7, "ops", ""), ["six digits", "index 7"]),
        (of_accuracy(7, "ops", SMALL[0][6]["ops"]), ["operations once", SMALL[0][6]["ops"]]),
        (without_unit, ["over 60 per cent in 'c100_val_s1'", "'box one'", "none of 0"]),
    ],
)
def test_tables_that_cannot_be_used_are_refused(
    refused, tmp_path: Path, edit: Edit, parts: list[str]
) -> None:
    message = refused(options(small(tmp_path / "table", edit)))
    for part in parts:
        assert part in message


def test_files_that_are_no_tables_are_refused(refused, tmp_path: Path) -> None:
    directory = small(tmp_path / "table")
    assert "missing.csv" in refused(options(directory, latency=str(tmp_path / "missing.csv")))
    assert str(tmp_path) in refused(options(directory, accuracy=str(tmp_path)))
    other = tmp_path / "other.csv"
    other.write_bytes(b"index,box one\n0,\xff\n")
    assert "UTF-8" in refused(options(directory, latency=str(other)))
    other.write_bytes(b"")
    assert "column 'index'" in refused(options(directory, latency=str(other)))
    other.write_text("index;ops;c100_val_s1\n0;000000;50\n")
    assert "it has index;ops;c100_val_s1" in refused(options(directory, accuracy=str(other)))
    other.write_text("index,ops,c100_val_s1\n")
    assert "none of 0" in refused(options(directory, accuracy=str(other)))


@pytest.mark.parametrize(
    ("changed", "parts"),
    [
        ({"devices": "box one,pixel"}, ["device 'pixel'", "box one, phone"]),
        ({"devices": "boxone"}, ["Did you mean 'box one'?"]),
        ({"devices": ""}, ["--devices", "''"]),
        ({"devices": "phone,,box one"}, ["--devices", "'phone,,box one'"]),
        ({"seen": "c100_val_s3"}, ["column 'c100_val_s3'", "c100_val_s2"]),
        ({"seeds": "0"}, ["--seeds", "from 1 on", "'0'"]),
        ({"seeds": "two"}, ["--seeds", "'two'"]),
        ({"first_seed": "-1"}, ["--first-seed", "'-1'"]),
        ({"processes": "0"}, ["--processes", "'0'"]),
        ({"evaluations": "8,4"}, ["--evaluations", "increasing", "'8,4'"]),
        ({"evaluations": "4,4"}, ["--evaluations", "'4,4'"]),
        ({"evaluations": "0,4"}, ["--evaluations", "'0,4'"]),
        ({"evaluations": "4,"}, ["--evaluations", "'4,'"]),
        ({"evaluations": "4,a"}, ["--evaluations", "'4,a'"]),
        ({"evaluations": ""}, ["--evaluations", "''"]),
        ({"evaluations": "4,49"}, ["up to the 48 architectures", "got 49"]),
        ({"strategies": "random,surogate"}, ["'surogate'", "pymoo-nsga2", "Did you mean 'surrogate'?"]),
        ({"strategies": ","}, ["--strategies"]),
        ({"floor": "nan"}, ["--floor", "'nan'"]),
        ({"floor": "high"}, ["--floor", "'high'"]),
        ({"floor": "99"}, ["over 99 per cent", "none of 48"]),
        ({"plot": "missing/plot.svg"}, ["--plot"]),
    ],
)
def test_wrong_arguments_are_refused_before_anything_is_played(
    script: ModuleType, refused, tmp_path: Path, monkeypatch, changed: dict[str, str], parts: list[str]
) -> None:
    monkeypatch.setattr(script, "play", lambda *_: pytest.fail("was played"))
    message = refused(options(small(tmp_path / "table"), **changed))
    for part in parts:
        assert part in message
