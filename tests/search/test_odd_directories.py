from pathlib import Path

import pytest
from typer.testing import CliRunner

from hwnas.cli.main import make_app
from hwnas.config import load_config
from hwnas.errors import ConfigError, StudyError
from hwnas.report.build import build_report
from hwnas.search.driver import search
from hwnas.search.full_training import train_front

pytestmark = pytest.mark.usefixtures("tiny_plugin", "forked_workers")


def test_a_run_in_a_directory_whose_name_is_not_utf_8(write_run, tmp_path):
    here = Path((bytes(tmp_path) + b"/caf\xe9").decode(errors="surrogateescape"))
    here.mkdir()
    run_file = Path(write_run(search__trials=1))
    moved = here / "run.yaml"
    moved.write_bytes(run_file.read_bytes())
    search(load_config(moved), here / "run")
    found = train_front(here / "run")
    assert len(found.trained["members"]) == 1
    page = build_report(here / "run").read_text("utf-8")
    assert "members" in page
    search(load_config(moved).model_copy(), here / "run", resume=True)


@pytest.mark.parametrize("options", [[], ["--resume"], ["--out", "elsewhere"]])
def test_a_directory_without_a_run_is_not_called_one(tmp_path, options):
    (tmp_path / "notes.txt").write_text("no run")
    result = CliRunner().invoke(make_app(), ["search", str(tmp_path), *options])
    assert isinstance(result.exception, StudyError)
    assert "there is no run in it" in str(result.exception)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_directory_of_a_run_needs_resume(tmp_path):
    (tmp_path / "run.yaml").write_text("")
    result = CliRunner().invoke(make_app(), ["search", str(tmp_path)])
    assert isinstance(result.exception, ConfigError)
    assert "is the directory of a run: add --resume" in str(result.exception)
