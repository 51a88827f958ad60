"""The report of made-up runs: complete, self-contained, safe, and drawn by a real browser."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hwnas.bundle.candidates import Candidate
from hwnas.cli.main import make_app
from hwnas.errors import ConfigError, StudyError
from hwnas.estimators.report import EstimatorReport
from hwnas.files import write_checked_json
from hwnas.rank_correlation import RankCorrelation
from hwnas.report.build import build_report, is_report
from hwnas.report.content import load_content
from hwnas.report.figures import hypervolume_figure, latency_axis
from hwnas.report.page import Illustrations, render_page
from hwnas.run.run import Run
from hwnas.search.run_directory import RunDirectory
from hwnas.search.run_log import RunLog
from tests.report.made_up_run import BUDGET_MS, CLASSES, write_run, write_trained
from tests.tasks.lidar_data import write_scans

VOID = {"meta", "img", "br", "link", "input", "hr"}
HOSTILE = "</script><img src=x onerror=alert(1)>"


class Reader(HTMLParser):
    """Collects what a page says and loads, and checks that elements nest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.styles = ""
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "style":
            self.styles += data
        elif not self.open or self.open[-1] != "script":
            self.text += data

    def count(self, tag: str, **attributes: str) -> int:
        return sum(
            name == tag and all(found.get(key.strip("_")) == value for key, value in attributes.items())
            for name, found in self.elements
        )


@pytest.fixture(scope="module")
def full_run(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    """A run with data and two trained members; its report is written."""
    directory = tmp_path_factory.mktemp("report")
    run = write_run(directory / "run", write_scans(directory / "data"))
    write_trained(run)
    assert build_report(run.path) == run.report
    return run


@pytest.fixture(scope="module")
def page(full_run: RunDirectory) -> Reader:
    return Reader(full_run.report.read_text(encoding="utf-8"))


def test_every_trial_is_there(page: Reader, full_run: RunDirectory) -> None:
    trials = full_run.read_front()["trials"]
    assert page.count("tr", class_="trial") == len(trials) == 17
    for member in full_run.read_trained()["members"]:
        assert Path(member["checkpoint"]).parent.name in page.text
    for name in CLASSES:
        assert name in page.text


def test_key_figures(page: Reader, full_run: RunDirectory) -> None:
    best = max(member["quality"]["value"] for member in full_run.read_trained()["members"])
    assert f"{100 * best:.1f} %" in page.text
    assert "12 trained" in page.text
    assert "3 over budget, 1 failed" in page.text
    assert f"{full_run.read_front()['hypervolume']:.4g}" in page.text


def test_settings_are_all_there(page: Reader, full_run: RunDirectory) -> None:
    for section in ("proxy", "full"):
        for name in full_run.load_config().to_json()["training"][section]:
            assert f"{section}.{name}" in page.text
    assert "A <fast> CPU" in page.text
    assert "torch" in page.text


def test_nothing_is_loaded_from_elsewhere(page: Reader) -> None:
    for tag, attributes in page.elements:
        for name in ("src", "href", "srcset", "data", "poster", "action", "xlink:href"):
            value = attributes.get(name)
            assert value is None or value.startswith("data:image/png;base64,"), (tag, name)
        assert "url(" not in (attributes.get("style") or "")
        assert tag not in {"link", "iframe", "object", "embed", "base"}
    assert "url(" not in page.styles
    assert "@import" not in page.styles
    policies = [found["content"] for tag, found in page.elements if tag == "meta" and "http-equiv" in found]
    assert len(policies) == 1
    assert "default-src 'none'" in policies[0]


def test_drawings_and_pictures(page: Reader) -> None:
    assert page.count("svg", class_="architecture") == 2
    # Two samples of the most accurate member, one of the other.
    assert page.count("img") == 3


def test_report_before_training_shows_the_front(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", write_scans(tmp_path / "data", scans=1))
    out = tmp_path / "other.html"
    assert build_report(run.path, out) == out
    assert not run.report.exists()
    page = Reader(out.read_text(encoding="utf-8"))
    assert "hwnas train" in page.text
    assert page.count("svg", class_="architecture") == len(run.read_front()["members"]) > 1
    assert page.count("img") == 0


def test_without_any_trained_candidate(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", tmp_path / "gone", num_trained=1)
    front = run.read_front()
    front |= {"members": [], "trials": [], "hypervolume_history": [], "hypervolume": 0.0}
    write_checked_json(run.front, front)
    assert "No candidate was trained yet" in Reader(build_report(run.path).read_text("utf-8")).text


def test_without_data_a_note_takes_the_place_of_pictures(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", tmp_path / "gone")
    write_trained(run)
    page = Reader(build_report(run.path).read_text(encoding="utf-8"))
    assert "There are no sample pictures" in page.text
    assert str(tmp_path / "gone") in page.text
    assert page.count("img") == 0
    assert page.count("svg", class_="architecture") == 2


def test_without_weights_a_note_takes_the_place_of_the_picture(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", write_scans(tmp_path / "data", scans=1))
    architectures = write_trained(run)
    (run.checkpoint(architectures[0].id) / "weights.safetensors").unlink()
    page = Reader(build_report(run.path).read_text(encoding="utf-8"))
    assert f"There is no sample picture of {architectures[0].id}" in page.text
    assert page.count("img") in {1, 2}


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", tmp_path / "gone", classes=(HOSTILE, *CLASSES[1:]))
    text = json.dumps(run.read_front(), ensure_ascii=False)
    renamed = text.replace('"activation"', json.dumps(HOSTILE)).replace("depthwise-separable", HOSTILE)
    front = json.loads(renamed)
    front["trials"][-1]["reason"] = HOSTILE
    write_checked_json(run.front, {**front, "members": front["members"][:0]})
    text = build_report(run.path).read_text(encoding="utf-8")
    page = Reader(text)
    assert HOSTILE in page.text
    assert page.count("img") == 0
    assert HOSTILE not in text


def test_hostile_class_names_stay_text(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", tmp_path / "gone", classes=(HOSTILE, *CLASSES[1:]))
    text = build_report(run.path).read_text(encoding="utf-8")
    assert HOSTILE in Reader(text).text
    assert HOSTILE not in text


def test_what_hides_or_reorders_text_is_shown(tmp_path: Path) -> None:
    odd = "road\u202etxt.\x1b[31m\udcff"
    run = write_run(tmp_path / "run", tmp_path / "gone", classes=(odd, *CLASSES[1:]))
    front = run.read_front()
    front["trials"][-1]["reason"] = odd
    front["trials"][0]["latency_remark"] = odd
    write_checked_json(run.front, front)
    text = build_report(run.path).read_text(encoding="utf-8")
    assert "road\\u202etxt.\\x1b[31m\\xff" in Reader(text).text
    assert not {"\u202e", "\x1b"} & set(text)


def test_a_foreign_page_is_not_replaced(full_run: RunDirectory, tmp_path: Path) -> None:
    out = tmp_path / "index.html"
    out.write_text("<html>my home page</html>")
    result = CliRunner().invoke(make_app(), ["report", str(full_run.path), "--out", str(out)])
    assert isinstance(result.exception, ConfigError)
    assert out.read_text() == "<html>my home page</html>"
    assert is_report(build_report(full_run.path, tmp_path / "own.html").read_bytes())


def test_a_foreign_page_in_the_run_is_not_replaced(full_run: RunDirectory, tmp_path: Path) -> None:
    run = Path(shutil.copytree(full_run.path, tmp_path / "run"))
    for write in (lambda: build_report(run), lambda: Run.open(run).report()):
        (run / "report.html").write_text("<html>my home page</html>")
        with pytest.raises(ConfigError, match=r"report\.html' would become a report"):
            write()
        assert (run / "report.html").read_text() == "<html>my home page</html>"
        (run / "report.html").unlink()
        assert is_report(write().read_bytes())
        assert is_report(write().read_bytes()), "its own report is replaced"
    with pytest.raises(StudyError, match=r"run\.yaml"):
        build_report(tmp_path / "none")


def test_a_directory_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"run\.yaml"):
        build_report(tmp_path)


def test_command(full_run: RunDirectory, tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    result = CliRunner().invoke(make_app(), ["report", str(full_run.path), "--out", str(out), "--json"])
    assert result.exit_code == 0
    assert json.loads(result.stdout) == {"report": str(out)}
    assert out.stat().st_size > 1_000_000


def browsed(page: Path, profile: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Open a page in a real browser and return what became of it; skip where there is none."""
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser is None:
        pytest.skip("no Chromium to open the report with: see scripts/prepare_test_programs")
    flags = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-sync",
    ]
    flags += ["--disable-background-networking", "--disable-component-update", "--virtual-time-budget=10000"]
    flags += [f"--user-data-dir={profile}", "--enable-logging=stderr", "--dump-dom", *options]
    return subprocess.run(
        [browser, *flags, page.as_uri()], capture_output=True, text=True, timeout=120, check=True
    )


@pytest.mark.parametrize("width", [900, 1400])
def test_nothing_is_off_screen(full_run: RunDirectory, tmp_path: Path, width: int) -> None:
    page = tmp_path / "page.html"
    asks = "addEventListener('load', () => { document.title = document.documentElement.scrollWidth; });"
    page.write_text(f"{full_run.report.read_text()}<script>{asks}</script>")
    done = browsed(page, tmp_path / "profile", f"--window-size={width},1200")
    found = re.search(r"<title>(\d+)</title>", done.stdout)
    assert found is not None, done.stderr
    assert int(found[1]) <= width


def test_a_browser_draws_it(full_run: RunDirectory, tmp_path: Path) -> None:
    done = browsed(full_run.report, tmp_path / "profile")
    body = done.stdout.split("</head>", 1)[1]
    assert len(re.findall(r'<svg class="main-svg"', body)) >= 2
    assert len(re.findall(r'class="scatterlayer', body)) >= 2
    # One marker for every trained, repeated and infeasible candidate at least.
    assert len(re.findall(r'<path class="point"', body)) >= 16
    # No button that uploads the figures.
    assert "Zoom in" in body
    assert "Share" not in body
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    assert console == []


def test_the_budget_is_inside_the_frame_on_a_logarithmic_axis(full_run: RunDirectory) -> None:
    text = full_run.report.read_text(encoding="utf-8")
    found = re.search(r'"xaxis":(\{.*?\}),"yaxis"', text[text.index('id="pareto-figure"') :])
    assert found is not None
    axis = json.loads(found[1])
    assert axis["type"] == "log"
    low, high = (10**end for end in axis["range"])
    latencies = [trial["latency_ms"] for trial in full_run.read_front()["trials"] if trial["latency_ms"]]
    assert low < min(*latencies, BUDGET_MS) < max(*latencies, BUDGET_MS) < high < 2 * max(latencies)


@pytest.mark.parametrize("unit", ["ms", "mJ"])
def test_axes_are_in_the_unit_of_the_objective(unit: str, full_run: RunDirectory) -> None:
    title = hypervolume_figure({**full_run.read_front(), "unit": unit}).layout.yaxis.title.text
    assert title == f"hypervolume, {unit}"
    assert latency_axis([1.0, 1.5], unit)["ticksuffix"] == f" {unit}"
    assert latency_axis([1.0, 1000.0], unit)["ticktext"][-1].endswith(f" {unit}")


def test_builds_of_engines_and_ranks_of_latencies_are_told(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", tmp_path / "no-data", num_trained=4)
    write_trained(run)
    trained = run.read_trained()
    trained["rank_agreement"] = {"members": 5, "kendall": 0.8, "spearman": 0.9}
    for member, spread in zip(trained["members"], (0.031, 0.007), strict=False):
        member["builds"] = {"made": [], "chosen": 1, "spread": spread}
    write_checked_json(run.trained, trained)
    build_report(run.path)
    page = Reader(run.report.read_text(encoding="utf-8"))
    assert "latencies of the search and the final ones: 0.80, over 5 networks" in page.text
    assert "the slowest takes up to 3.1% longer" in page.text


def test_precisions_of_bundles_are_on_one_front(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", tmp_path / "no-data", num_trained=4)
    architecture = write_trained(run)[0]
    candidates = (
        Candidate(architecture.id, "fp32", "mIoU", 0.4, 10.0, holds=True),
        Candidate(
            architecture.id, "int8", "mIoU", 0.7, 4.0, holds=False, remarks=("loses <b>30</b> points",)
        ),
    )
    content = load_content(run)
    members = tuple(
        replace(each, candidates=candidates if each.architecture == architecture else ())
        for each in content.members
    )
    page = Reader(render_page(replace(content, members=members), Illustrations(), {}))
    assert "One front covers all" in page.text
    assert "loses <b>30</b> points" in page.text


def test_the_estimator_report_is_shown_with_its_warnings(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", tmp_path / "data")
    build_report(run.path)
    assert Reader(run.report.read_text(encoding="utf-8")).count("section", id="estimator-report") == 0

    def reported(low: float, tau: float) -> str:
        report = EstimatorReport(
            "training-<20>-steps",
            RankCorrelation(tau, low, 0.71, 30),
            RankCorrelation(0.33, 0.12, 0.52, 30),
            RankCorrelation(0.21, -0.01, 0.41, 30),
            cost_s=6.75,
            gain_low=-0.1,
        )
        RunLog(run).event("estimator report", "found out before", estimator_report=report.to_json())
        build_report(run.path)
        page = Reader(run.report.read_text(encoding="utf-8"))
        assert page.count("section", id="estimator-report") == 1
        return page.text

    trusted = reported(0.35, 0.55)
    for shown in ("training-<20>-steps", "0.55", "0.35 to 0.71", "0.12 to 0.52", "-0.01 to 0.41", "6.75"):
        assert shown in trusted
    assert "no better than" not in trusted
    # The last session counts.
    doubtful = reported(-0.13, 0.14)
    assert "no better than chance" in doubtful
    assert "no better than counting FLOPs" in doubtful
    assert "0.35 to 0.71" not in doubtful


def test_what_a_verification_found_is_shown_unless_it_was_changed_since(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", write_scans(tmp_path / "data"))
    architecture, *_ = write_trained(run)
    path = run.bundle(architecture.id) / "verification.json"
    path.parent.mkdir(parents=True)
    write_checked_json(path, {"passed": False, "checks": []})
    assert [member.verified for member in load_content(run).members].count(False) == 1
    path.write_text(path.read_text().replace("false", "true"))
    with pytest.raises(StudyError, match=r"verification\.json.*damaged or edited.*Verify again"):
        load_content(run)
