from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hwnas.config import (
    FullRecipeSection,
    ProtocolSection,
    RecipeSection,
    RunConfig,
    load_config,
    parse_config,
    save_config,
)
from hwnas.errors import ConfigError
from hwnas.search_spaces.base import restrict_choices
from hwnas.tasks.lidar_settings import LidarSettings, parse_settings


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "run.yaml"
    path.write_text(text)
    return path


def problem(tmp_path: Path, text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load_config(write(tmp_path, text))
    return str(caught.value)


def test_an_empty_file_means_the_defaults(tmp_path: Path) -> None:
    assert load_config(write(tmp_path, "")) == RunConfig()


def test_the_resolved_copy_reads_back_equal(tmp_path: Path) -> None:
    config = parse_config(
        {
            "task": {"name": "mine", "data": "/somewhere", "classes": ["a", "b"]},
            "space": {"choices": {"flag": [True, False], "width": [512, 1024], "rate": [0.5], "kind": ["x"]}},
            "budget": {"latency_ms": 12},
            "training": {"full": {"pick": 3}},
        }
    )
    save_config(config, tmp_path / "resolved.yaml")
    again = load_config(tmp_path / "resolved.yaml")
    assert again == config
    values = again.space.choices
    assert [type(value) for gene in values for value in values[gene]] == [bool, bool, int, int, float, str]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("search:\n  trails: 5\n", r"run.yaml:2: unknown key 'search.trails'. Did you mean 'trials'\?"),
        ("serch: {}\n", r"run.yaml:1: unknown key 'serch'. Did you mean 'search'\? Valid in the top level"),
        ("training:\n  full:\n    stepz: 1\n", r"run.yaml:3: unknown key 'training.full.stepz'"),
        ("search:\n  seed: 1\n  trials: 0\n", r"run.yaml:3: `search.trials` is 0: .*greater than or equal"),
        ("budget: {latency_ms: .nan}\n", r"run.yaml:1: `budget.latency_ms` is nan"),
        ("training: {full: {pick: some}}\n", r"`training.full.pick` is 'some': .*'all' or 'knee'"),
        ("space:\n  choices:\n    width: [512, {}]\n", r"run.yaml:3: `space.choices.width.1` is {}"),
        ("space: {choices: {width: []}}\n", r"`space.choices.width` is \[\]"),
        ("search: {trials: 1}\nsearch: {seed: 1}\n", r"run.yaml:2: key 'search' was already given in line 1"),
        ("- a\n", "must hold a mapping"),
        ("a: [\n", "not valid YAML"),
        ("target: ' '\n", "a target looks like"),
    ],
)
def test_a_mistake_is_named_with_its_line(tmp_path: Path, text: str, expected: str) -> None:
    import re

    assert re.search(expected, problem(tmp_path, text)), problem(tmp_path, text)


def test_tuples_of_callers_are_lists() -> None:
    config = parse_config(
        {"space": {"choices": {"width": (512, 1024)}}, "budget": {"constraints": ("parameters_m <= 5",)}}
    )
    assert config.space.choices == {"width": [512, 1024]}
    assert len(config.budget.constraints) == 1


def test_a_missing_file_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="hwnas init"):
        load_config(tmp_path / "run.yaml")


def test_paths_count_from_the_run_file_with_and_without_a_dot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory, elsewhere = tmp_path / "runs", tmp_path / "elsewhere"
    for place in (directory, elsewhere):
        (place / "scans").mkdir(parents=True)
    monkeypatch.chdir(elsewhere)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    text = "task: {data: %s, label_map: %s, pretraining_data: ~/more}\n"
    for data, label_map in (("scans", "maps/x.yaml"), ("./scans", "./maps/x.yaml")):
        (directory / "run.yaml").write_text(text % (data, label_map))
        for path in (directory / "run.yaml", Path("../runs/run.yaml")):
            config = load_config(path)
            assert config.task.settings == {
                "data": str(directory.resolve() / "scans"),
                "label_map": str(directory.resolve() / "maps" / "x.yaml"),
                "pretraining_data": str((tmp_path / "home" / "more").resolve()),
            }
            save_config(config, elsewhere / "resolved.yaml")
            assert load_config(elsewhere / "resolved.yaml").task == config.task


def test_a_label_map_by_name_is_no_path(tmp_path: Path) -> None:
    (tmp_path / "merged-8").mkdir()
    settings = load_config(write(tmp_path, "task: {data: ., label_map: merged-8}\n")).task.settings
    assert settings == {"data": str(tmp_path.resolve()), "label_map": "merged-8"}


def test_paths_of_every_section_count_from_the_file(tmp_path: Path) -> None:
    text = (
        "search:\n"
        "  strategy: {name: gradient, relaxed: a}\n"
        "  estimator: {name: learned, cache: b, over: weight-sharing, settings: {supernet: c}}\n"
        "  estimator_report: d\n  warm_start: [e, /f]\n  initial_architectures: g.txt\n"
        "measuring: {table: h.json}\n"
    )
    config, here = load_config(write(tmp_path, text)), str(tmp_path.resolve())
    search = config.search
    assert search.strategy.options == {"relaxed": f"{here}/a"}
    assert search.estimator.options == {
        "cache": f"{here}/b",
        "over": "weight-sharing",
        "settings": {"supernet": f"{here}/c"},
    }
    assert (search.estimator_report, search.warm_start, search.initial_architectures) == (
        f"{here}/d",
        [f"{here}/e", "/f"],
        f"{here}/g.txt",
    )
    assert config.measuring.table == f"{here}/h.json"
    assert load_config(write(tmp_path, "measuring: {table: auto}\n")).measuring.table == "auto"


def test_a_missing_input_is_named_with_what_was_tried(tmp_path: Path) -> None:
    path = write(tmp_path, "target: x\ntask:\n  data: scans\nsearch: {estimator_report: nothing}\n")
    assert load_config(path, must_exist=()).task.settings["data"] == str(tmp_path.resolve() / "scans")
    with pytest.raises(
        ConfigError, match=r"run.yaml:3: `task.data` is 'scans', which means '/.*/scans': there is no"
    ):
        load_config(path, must_exist=("task",))
    (tmp_path / "scans").mkdir()
    load_config(path, must_exist=("task",))
    with pytest.raises(
        ConfigError,
        match=r"run.yaml:4: `search.estimator_report` is 'nothing', which means '/.*Paths count from",
    ):
        load_config(path, must_exist=("task", "search"))


def test_what_looks_like_a_path_must_be_declared_as_one(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"run.yaml:1: `search.strategy.restarts` is './x', which looks like a"
    ):
        load_config(write(tmp_path, "search: {strategy: {name: random, restarts: ./x}}\n"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "task:\n  data: {a: b}\n",
            "run.yaml:2: `task.data` is a mapping of 1 key: Input should be a valid string",
        ),
        ("task: {name: lidar-segmentation,\n  widths: ['512']}\n", "run.yaml:2: `task.widths.0` is '512'"),
        ("task: {strict: 1}\n", "run.yaml:1: `task.strict` is 1"),
        ("task: {wdths: [512]}\n", "unknown key 'task.wdths'. Did you mean 'widths'"),
        ("task: {projection: {metod: ring}}\n", "unknown key 'task.projection.metod'. Did you mean 'method'"),
        ("search: {trials: true}\n", "`search.trials` is true"),
        ("search: {trials: 5.0}\n", "`search.trials` is 5.0"),
        (
            "search: {trials: '5'}\n",
            "`search.trials` is '5': Input should be a valid integer, without quotes",
        ),
        ("budget: {latency_ms: '5'}\n", "`budget.latency_ms` is '5'"),
        ("target: 5\n", "`target` is 5: Input should be a valid string; put text in quotes"),
        (
            "study: null\nstorage: {a: 'postgresql://u:SECRETPW@h/x'}\n",
            "run.yaml:2: `storage` holds a mapping",
        ),
        (
            "search:\n  trials: 1\n  fidelities: {steps: [9, 5]}\n",
            "run.yaml:3: search.fidelities: steps must grow",
        ),
    ],
)
def test_values_of_another_type_are_refused_with_their_line(tmp_path: Path, text: str, expected: str) -> None:
    assert expected in problem(tmp_path, text)


def test_a_missing_path_that_could_be_a_secret_is_not_repeated(tmp_path: Path) -> None:
    path = write(tmp_path, f"task: {{data: '{URL}'}}\nsearch: {{estimator_report: 'u:{SECRET}@h'}}\n")
    for sections in (("task",), ("search",)):
        with pytest.raises(ConfigError, match="there is no such file") as caught:
            load_config(path, must_exist=sections)
        assert SECRET not in str(caught.value)


SECRET = "SECRETPW"
URL = f"postgresql+psycopg://u:{SECRET}@h/x"


@pytest.mark.parametrize(
    "text",
    [
        f"storage: ['{URL}']\n",
        f"storage: {{a: '{URL}'}}\n",
        f"storage: {SECRET}\n",
        f"storage: 'password={SECRET}'\n",
        f"study: ['{URL}']\n",
        f"study: '{URL}'\n",
        f"study: '{URL}\n",
        f"'{URL}': 1\n",
        f"'{URL}': 1\n'{URL}': 2\n",
        f"{URL}: [\n",
        f"objective: '{URL}'\n",
        f"budget: {{constraints: ['{URL}']}}\n",
        f"budget: {{constraints: ['u:{SECRET}@h']}}\n",
        f"search: {{trials: '{URL}'}}\n",
        f"search: {{trials: !!int '{URL}'}}\n",
        f"storage: !{URL} x\n",
        f"storage: *{SECRET}\n",
        f"search: {{'{URL}': 1}}\n",
        f"search: {{strategy: ['{URL}']}}\n",
        f"training: {{full: {{pick: '{URL}'}}}}\n",
        f"training: '{URL}'\n",
        f"task: {{data: ['{URL}']}}\n",
        f"task: {{data: x, '{URL}': 1}}\n",
        f"- '{URL}'\n",
        f"{URL}\n",
    ],
)
def test_no_message_repeats_a_password(tmp_path: Path, text: str) -> None:
    import traceback

    with pytest.raises(ConfigError) as caught:
        load_config(write(tmp_path, text))
    assert SECRET not in str(caught.value)
    assert str(caught.value).startswith(str(tmp_path / "run.yaml"))
    shown = "".join(traceback.format_exception(caught.value)).replace(text, "")
    assert SECRET not in shown.split("The above exception")[-1]


def test_sections_mirror_what_they_configure() -> None:
    from hwnas.latency.measure.protocol import MeasuringProtocol
    from hwnas.training.recipe import Recipe

    assert RecipeSection().recipe_fields() == Recipe.proxy().to_json()
    assert FullRecipeSection().recipe_fields() == Recipe.full().to_json()
    assert list(ProtocolSection.model_fields) == [f.name for f in dataclasses.fields(MeasuringProtocol)]


def test_init_writes_a_run_file_that_states_the_defaults(tmp_path: Path) -> None:
    import typer

    from hwnas.cli import init

    app = typer.Typer()
    init.register(app)
    result = CliRunner().invoke(app, [str(tmp_path / "new")])
    assert result.exit_code == 0, result.output
    written = load_config(tmp_path / "new" / "run.yaml").to_json()
    task = written.pop("task")
    data = str((tmp_path / "new" / "data").resolve())
    assert (task.pop("name"), task["data"]) == ("lidar-segmentation", data)
    assert parse_settings(task) == LidarSettings(data=data)
    assert written == {key: value for key, value in RunConfig().to_json().items() if key != "task"}
    again = CliRunner().invoke(app, [str(tmp_path / "new")])
    assert isinstance(again.exception, ConfigError)


def test_an_estimator_is_a_name_or_a_section_whose_paths_count_from_the_file(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("search: {estimator: training}\n")
    assert load_config(path).search.estimator.name == "training"
    path.write_text("search: {estimator: {name: weight-sharing, supernet: ./net, limit: 3}}\n")
    estimator = load_config(path).search.estimator
    assert estimator.name == "weight-sharing"
    assert estimator.options == {"supernet": str(tmp_path.resolve() / "net"), "limit": 3}
    path.write_text(
        "search: {prescreening: {}, first_estimator: {name: weight-sharing, supernet: ./net}, warm_start: [./a, /b]}\n"
    )
    search = load_config(path).search
    assert search.first_estimator.options == {"supernet": str(tmp_path.resolve() / "net")}
    assert search.warm_start == [str(tmp_path.resolve() / "a"), "/b"]


def test_final_measurements_have_options_and_builds_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("measuring: {final: {max_s: 9, builds: 2, options: {optimization_level: 5}}}\n")
    final = load_config(path).measuring.final
    assert final.overrides() == {"max_s": 9.0}
    assert (final.builds, final.options) == (2, {"optimization_level": 5})


@pytest.mark.parametrize("values", ["[256, 256]", "[256, 512, 256]", "[true, true]", "[a, a]"])
def test_choices_state_each_value_once(tmp_path: Path, values: str) -> None:
    message = problem(tmp_path, f"space:\n  choices:\n    input_width: {values}\n")
    assert "run.yaml:2" in message
    assert "input_width has the value" in message
    assert "more than once" in message


def test_equal_values_of_other_types_are_other_choices(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, "space:\n  choices:\n    gene: [1, true]\n"))
    assert config.space.choices == {"gene": [1, True]}


def test_a_value_that_the_space_lacks_is_named_with_its_key() -> None:
    with pytest.raises(
        ConfigError, match=r"takes values of \[257\].* Correct space.choices.input_width in the run"
    ):
        restrict_choices({"input_width": (257,)}, {"input_width": [256]})
    with pytest.raises(ConfigError, match=r"'input_widht' in space.choices of the run file.*'input_width'\?"):
        restrict_choices({"input_width": (257,)}, {"input_widht": [256]})
