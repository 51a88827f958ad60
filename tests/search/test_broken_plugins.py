"""Plug-ins that break their contract are refused by name before anything is measured or trained."""

from __future__ import annotations

import os
import re
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from hwnas.bundle.runtime.processor import ProcessorContext, make_processor
from hwnas.config import load_config
from hwnas.data.scan_files.raw_scans import read_raw_scan
from hwnas.errors import ConfigError, HwnasError, PluginError
from hwnas.estimators.base import EstimatorContext, make_estimator
from hwnas.io_spec import IoSpec, NetworkContract, dense_logits
from hwnas.latency.backend_class import backend_class
from hwnas.plugins import GROUPS, find_plugin, load_plugin
from hwnas.search.driver import search
from hwnas.search.executors.base import ExecutorContext, WorkerSetup, make_executor
from hwnas.search.plugin_checks import CHECKS, check_plugin
from hwnas.search.run_directory import RunDirectory
from hwnas.search_spaces.base import make_search_space
from hwnas.tasks.base import make_task
from hwnas.testing.tiny import TinySpace, TinyTask
from hwnas.training.trainers import TrainerSpec

pytestmark = pytest.mark.usefixtures("forked_workers")

WriteRun = Callable[..., Path]
Install = Callable[[str, str], None]

SPACE = """
import hwnas_tiny_plugin
from hwnas_tiny_plugin import *

class Space(TinySpace):
    name = "broken"
    def blocks(self, architecture):
        return [BlockSignature("whole", ((2, HEIGHT, WIDTH),), (CLASSES, HEIGHT, WIDTH))]
    {}

def make(contract, restrictions):
    return Space(contract, {{}})
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Installs a distribution `acme` 2.1 that registers `broken` in a group as `make` of a module."""

    def install(group: str, source: str) -> None:
        site = tmp_path / "acme-site"
        info = site / "acme-2.1.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 2.1\n")
        (info / "entry_points.txt").write_text(f"[{group}]\nbroken = acme_plugin:make\n")
        (site / "acme_plugin.py").write_text(source)
        monkeypatch.syspath_prepend(str(site))
        path = os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH")]))
        monkeypatch.setenv("PYTHONPATH", path)  # of workers
        sys.modules.pop("acme_plugin", None)

    return install


@pytest.mark.parametrize(
    ("change", "method", "message"),
    [
        ("encode = None", "encode", "be a function, but is NoneType"),
        ("def build(self): ...", "build", r"take \(architecture\), but it takes \(\)"),
        ("def decode(self, choices): return dict(choices)", "decode", "Architecture, but returned dict"),
        ("def decode(self, choices): raise KeyError('x')", "decode", "raised KeyError: 'x'"),
        ("def encode(self, architecture): return np.zeros(4)", "encode", "tell networks apart"),
        ("def encode(self, architecture): return np.full(4, np.nan)", "encode", "finite numbers"),
        ("def build(self, architecture): return 'net'", "build", "Module, but returned str"),
        ("def build(self, architecture): return nn.Conv2d(2, 7, 1)", "build", r"gives \[\(1, 7, 8, 16\)\]"),
        ("def build(self, architecture): return nn.Conv2d(3, 3, 1)", "build", "raised RuntimeError"),
        ("def blocks(self, architecture): return ['a']", "blocks", r"returned \['str'\]"),
        ("def kernels(self, architectures, block): return np.zeros((2, 3)), [0, 0]", "kernels", "float64"),
        ("choices = {}", "choices", "at least one gene"),
    ],
)
@pytest.mark.usefixtures("tiny_plugin")
def test_a_broken_space_is_named_before_anything_starts(
    install: Install, write_run: WriteRun, tmp_path: Path, change: str, method: str, message: str
) -> None:
    if change == "choices = {}":
        change = "def __init__(self, *_):\n        self.choices = {}"
    install("hwnas.search_spaces", SPACE.format(change))
    config = load_config(write_run(space__name="broken", space__choices={}))
    with pytest.raises(PluginError, match=f"`{method}` must .*{message}") as caught:
        search(config, tmp_path / "out")
    if method != "kernels":
        assert "'broken' of hwnas.search_spaces (acme 2.1, acme_plugin:make)" in str(caught.value)
    assert not list(RunDirectory(tmp_path / "out").path.glob("trials/*"))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("return 7", "`make` must return an Optuna sampler, but returned int"),
        ("raise IndexError('none')", "`make` must make a sampler .* raised IndexError: none"),
        ("return Sampler()", "`Sampler` must propose one value .* raised ValueError: no idea"),
    ],
)
@pytest.mark.usefixtures("tiny_plugin")
def test_a_broken_strategy_is_named(
    install: Install, write_run: WriteRun, tmp_path: Path, body: str, message: str
) -> None:
    source = f"""
    import optuna
    class Sampler(optuna.samplers.RandomSampler):
        def sample_independent(self, *_):
            raise ValueError("no idea")
    def make(context):
        {body}
    """
    install("hwnas.strategies", textwrap.dedent(source))
    config = load_config(write_run(search__strategy="broken"))
    with pytest.raises(PluginError, match=message) as caught:
        search(config, tmp_path / "out")
    assert "acme 2.1" in str(caught.value)


def test_a_broken_executor_is_named(install: Install, tmp_path: Path) -> None:
    install("hwnas.executors", "class Lazy:\n    size = 1\ndef make(context):\n    return Lazy()\n")
    context = ExecutorContext(WorkerSetup({}, {}, {}, 1), 1, tmp_path, {})
    with pytest.raises(PluginError, match=r"acme 2\.1.*`__enter__` must be a method .*there is none"):
        make_executor("broken", context)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("make = 5", "`make` must be a class, but is int"),
        ("class make:\n    OPTIONS = {}\n", "`bind` must be a method as in Backend, but there is none"),
    ],
)
def test_a_broken_backend_is_named(install: Install, source: str, message: str) -> None:
    install("hwnas.backends", source)
    with pytest.raises(PluginError, match=rf"acme 2\.1.*{message}"):
        backend_class("broken")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("def estimate(self, architecture): ...", r"`estimate` must take \(architecture, seed, directory\)"),
        (
            "def estimate(self, architecture, *, seed, directory):\n        return Estimate(1.0, 1.0)",
            "EvaluatedEstimate.*declares to return an evaluation",
        ),
    ],
)
@pytest.mark.usefixtures("tiny_plugin")
def test_a_broken_estimator_is_named(
    install: Install, write_run: WriteRun, tmp_path: Path, body: str, message: str
) -> None:
    source = f"""
from hwnas.estimators.base import Estimate
class Mine:
    name = "mine"
    returns = "evaluation"
    {body}
def make(context):
    return Mine()
"""
    install("hwnas.estimators", source)
    config = load_config(write_run(search__estimator="broken", search__trials=1))
    with pytest.raises(PluginError, match=message):
        search(config, tmp_path / "out")


@pytest.mark.parametrize(
    ("group", "make"),
    [
        ("hwnas.tasks", lambda: make_task("broken", {})),
        ("hwnas.trainers", lambda: TrainerSpec("broken").make(TinyTask(), TinySpace())),
        (
            "hwnas.processors",
            lambda: make_processor("broken", ProcessorContext({}, IoSpec((), ()), "task", "a test")),
        ),
        (
            "hwnas.search_spaces",
            lambda: make_search_space("broken", NetworkContract(2, 8, (16,), dense_logits(3))),
        ),
        ("hwnas.estimators", lambda: make_estimator("broken", EstimatorContext(TinyTask(), TinySpace()))),
    ],
)
@pytest.mark.parametrize(
    ("source", "error", "message"),
    [
        ("def make(*_):\n    return {}['data']", PluginError, r"'broken' of {group} \(acme 2.1, .*`make` must make .*KeyError: 'data'"),
        ("def make(*_):\n    return object()", PluginError, r"'broken' of {group} \(acme 2.1, .*must be a (method|value) as in \w+, but there is none"),
        ("from hwnas.errors import ConfigError\ndef make(*_):\n    raise ConfigError('no data')", ConfigError, "^no data$"),
    ],
    ids=["raises", "makes something else", "refuses"],
)  # fmt: skip
def test_what_a_factory_does_wrong_is_named(
    install: Install,
    group: str,
    make: Callable[[], object],
    source: str,
    error: type[HwnasError],
    message: str,
) -> None:
    install(group, source)
    with pytest.raises(error, match=message.format(group=group)):
        make()


@pytest.mark.parametrize(
    ("group", "make", "base"),
    [
        ("hwnas.tasks", lambda: make_task("broken", {}), "TinyTask"),
        (
            "hwnas.search_spaces",
            lambda: make_search_space("broken", NetworkContract(2, 8, (16,), dense_logits(3))),
            "TinySpace",
        ),
    ],
)
def test_what_calls_itself_otherwise_is_named(
    install: Install, group: str, make: Callable[[], object], base: str
) -> None:
    install(group, f"from hwnas.testing.tiny import {base}\ndef make(*_):\n    return {base}()")
    with pytest.raises(PluginError, match=r"`name` must be 'broken', as registered, but is 'tiny'"):
        make()


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("def make(path, options):\n    return 1 / 0", "`make` must return the RawScan of .*a.broken.*ZeroDivisionError"),
        ("def make(path, options):\n    return [1, 2]", "`make` must return the RawScan of .*a.broken.*returned list"),
    ],
)  # fmt: skip
def test_a_reader_at_fault_is_named(install: Install, tmp_path: Path, source: str, message: str) -> None:
    install("hwnas.data_formats", source)
    reader = load_plugin("hwnas.data_formats", "broken")
    with pytest.raises(PluginError, match=f"acme_plugin:make of hwnas.data_formats: {message}"):
        read_raw_scan(reader, tmp_path / "a.broken", {})


@pytest.mark.parametrize(
    ("group", "source", "message"),
    [
        ("hwnas.data_formats", "def make(path): ...", r"take \(path, options\)"),
        ("hwnas.data_formats", "make = 3", "be a function, but is int"),
        ("hwnas.tasks", "make = 3", "be a function, but is int"),
        ("hwnas.search_spaces", "raise OSError('no licence')", "raised OSError: no licence"),
        ("hwnas.estimators", "def make(context):\n    return 3", "`estimate` must be a method"),
    ],
)
def test_checks_name_what_is_broken(install: Install, group: str, source: str, message: str) -> None:
    install(group, source)
    checked = check_plugin(find_plugin(group, "broken"))
    assert checked.status == "broken"
    assert re.search(message, checked.problem), checked.problem


def test_every_group_is_tried() -> None:
    assert set(CHECKS) == set(GROUPS)
