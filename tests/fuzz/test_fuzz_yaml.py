"""A short run over damaged YAML files; `scripts/fuzz_yaml.py` does thousands, see `docs/results/fuzz.md`."""

from collections import Counter
from pathlib import Path

import pytest

from hwnas.data.datasets.dataset_config import DatasetConfig
from hwnas.data.datasets.reading import ScanFiles
from hwnas.data.datasets.splits import split_sequences
from hwnas.data.label_maps import load_label_map
from hwnas.data.sensors import load_sensor
from hwnas.errors import ConfigError, DataError, HwnasError
from hwnas.plugins import load_plugin
from tests.fuzz import yaml_run
from tests.fuzz.yaml_cases import CHANGES, SECRET, yaml_case
from tests.fuzz.yaml_run import fuzz_yaml


def test_every_file_is_accepted_or_refused_in_words(tmp_path: Path) -> None:
    findings = fuzz_yaml(tmp_path, cases=150, seed=11)
    assert findings.problems == []
    assert findings.num_cases == 150
    outcomes = sum(findings.counts.values(), Counter())
    # Both must have been met, or the cases do not reach what they are meant for.
    assert outcomes["accepted"] > 5
    assert outcomes["refused"] > 50


def test_names_in_the_wrong_place_repeat_no_password(tmp_path: Path) -> None:
    secret = f"u:{SECRET}@h"
    scans = [ScanFiles(name, name, f"{name}.bin", f"{name}.label") for name in ("a", "b")]
    config = DatasetConfig(splits={"train": [secret]})
    for read in (
        lambda: load_label_map(secret),
        lambda: load_plugin("hwnas.data_formats", secret),
        lambda: split_sequences(scans, config),
        lambda: load_sensor(secret),
    ):
        with pytest.raises(HwnasError, match="which is not repeated here") as caught:
            read()
        assert SECRET not in str(caught.value)


def test_cases_are_the_same_again_and_of_every_kind() -> None:
    cases = [yaml_case(1, number) for number in range(400)]
    assert cases == [yaml_case(1, number) for number in range(400)]
    assert {case.change for case in cases} == set(CHANGES)
    assert {case.reader for case in cases} == {"run", "dataset", "label map", "sensor"}
    assert any(SECRET.encode() in case.content for case in cases)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ConfigError("{file}:1: wrong"), None),
        (DataError("{file}:1: wrong\n{file}:2: wrong, too"), None),
        (ConfigError("wrong"), "does not name the file"),
        (ConfigError("{file}:1: wrong\nand more"), "does not name the file"),
        (ConfigError(f"{{file}}:1: {SECRET}"), "repeats a secret"),
        (KeyError("x"), "KeyError"),
        (RecursionError("deep"), "RecursionError"),
    ],
)
def test_bad_ends_are_noticed(tmp_path: Path, error: Exception, expected: str | None) -> None:
    file = tmp_path / "run.yaml"

    def read(_: Path) -> None:
        raise type(error)(str(error.args[0]).replace("{file}", str(file)))

    _, problem, _ = yaml_run._outcome(read, file)
    assert (problem is None) if expected is None else (expected in str(problem))
