from pathlib import Path

import pytest

from hwnas.config import load_config
from hwnas.report.build import build_report
from hwnas.search.driver import search
from hwnas.search.full_training import train_front

pytestmark = pytest.mark.usefixtures("tiny_plugin")


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
