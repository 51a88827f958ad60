"""Nothing that hwnas runs tells anybody about it: no look-up, no connection, no identifier on the disk."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import hwnas
from hwnas.bundle.export import export_bundle
from hwnas.bundle.trained_member import TrainedMember
from hwnas.onnxruntime_loading import VARIABLE, load_onnxruntime
from tests.bundle.small_lidar import FixedMeter, SmallSpace, SmallTask, make_scan, write_run

PACKAGE = Path(hwnas.__file__).parent
CALLS = "socket,connect,sendto,sendmsg,openat,open,creat,mkdir,mkdirat,rename,renameat,renameat2"
WRITES = re.compile(r"O_WRONLY|O_RDWR|O_CREAT|^(mkdir|rename|creat)")


def test_onnxruntime_is_imported_in_one_place() -> None:
    found = []
    for path in PACKAGE.rglob("*.py"):
        source = path.read_text()
        for node in ast.walk(ast.parse(source)) if "onnxruntime" in source else ():
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module or ""]
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") in {
                "import_module",
                "__import__",
            }:
                names = [str(getattr(argument, "value", "")) for argument in node.args]
            found += [path.name for name in names if name.partition(".")[0] == "onnxruntime"]
    assert found == []


def test_the_environment_is_as_before_and_a_decision_of_the_user_stays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = []
    monkeypatch.setattr("importlib.import_module", lambda name: seen.append((name, os.environ.get(VARIABLE))))
    monkeypatch.delenv(VARIABLE, raising=False)
    load_onnxruntime()
    assert VARIABLE not in os.environ
    monkeypatch.setenv(VARIABLE, "0")
    load_onnxruntime("onnxruntime.quantization")
    assert os.environ[VARIABLE] == "0"
    assert seen == [("onnxruntime", "1"), ("onnxruntime.quantization", "0")]


def isolated() -> list[str]:
    """The command that runs another without a network, its calls traced; or skip, with the reason."""
    for tool in ("unshare", "strace"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed: see scripts/prepare_test_programs")
    network = ["unshare", "-n"] if os.geteuid() == 0 else ["unshare", "-r", "-n"]
    command = [*network, "strace", "-f", "-qq", "-e", f"trace={CALLS}"]
    tried = subprocess.run([*command, "-o", "/dev/null", "true"], capture_output=True, check=False)
    if tried.returncode:
        pytest.skip(f"no network namespace or no tracing here: {tried.stderr.decode().strip()[-200:]}")
    return command


class Traced:
    """What a command did."""

    def __init__(self, arguments: list[str], directory: Path, **variables: str) -> None:
        self.home, self.trace = directory / "home", directory / "trace"
        own = {directory / name for name in ("home", "tmp", "work")}
        for path in own:
            path.mkdir(parents=True, exist_ok=True)
        environment = {name: value for name, value in os.environ.items() if name not in {"CI", VARIABLE}}
        environment.pop("GITHUB_ACTIONS", None)
        environment.update(
            HOME=str(self.home), TMPDIR=str(directory / "tmp"), PYTHONDONTWRITEBYTECODE="1", **variables
        )
        environment.pop("XDG_CACHE_HOME", None)
        self.done = subprocess.run(
            [*isolated(), "-o", str(self.trace), sys.executable, *arguments],
            cwd=directory / "work",
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        lock = os.environ["HWNAS_MEASURING_LOCK"]
        self.allowed = (str(directory), lock, "/dev/", "/proc/self/", "pipe:")

    def lines(self) -> list[str]:
        """Each call, without its process number."""
        return [line.split(maxsplit=1)[1] for line in self.trace.read_text(errors="replace").splitlines()]

    def network(self) -> list[str]:
        """Calls that reach for a network, or for the names of hosts."""
        return [
            line
            for line in self.lines()
            if (re.match(r"(socket|connect|sendto|sendmsg)\(", line) and "AF_UNIX" not in line)
            or re.search(r'"/etc/(resolv.conf|hosts)"', line)
        ]

    def written_elsewhere(self) -> list[str]:
        """Calls that would write outside of the directories of the command."""
        found = []
        for line in self.lines():
            path = re.search(r'"([^"]*)"', line)
            is_relative = path is not None and not path[1].startswith("/")  # to a directory of its own
            if path and WRITES.search(line) and not is_relative and not path[1].startswith(self.allowed):
                found.append(line)
        return found


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = write_run(tmp_path_factory.mktemp("telemetry") / "run", widths=(8,))
    member = TrainedMember.from_json(json.loads((run / "trained.json").read_text())["members"][0], run)
    task = SmallTask({})
    return export_bundle(task, SmallSpace(task.contract, {}), member, run / "b", meter=FixedMeter())


def test_infer_and_bench_ask_nobody_and_write_nothing_elsewhere(bundle: Path, tmp_path: Path) -> None:
    points, intensity, _ = make_scan(1)
    scan = tmp_path / "scan.bin"
    scan.write_bytes(np.column_stack([points, intensity]).astype("<f4").tobytes())
    for arguments in (
        ["infer", str(bundle), str(scan), "-o", "labels"],
        ["bench", str(bundle), "--quick"],
    ):
        traced = Traced(["-m", "hwnas", *arguments], tmp_path / arguments[0])
        assert traced.done.returncode == 0, traced.done.stderr
        assert traced.network() == []
        assert traced.written_elsewhere() == []
        assert [path for path in traced.home.rglob("*") if "icrosoft" in str(path)] == []
        assert list(traced.home.iterdir()) == []


def test_a_program_that_uses_the_package_keeps_its_environment(bundle: Path, tmp_path: Path) -> None:
    program = (
        "import os, sys, time; from hwnas.bundle.runtime import Runner; Runner(sys.argv[1]); time.sleep(1); "
        f"print(os.environ.get({VARIABLE!r}))"
    )
    traced = Traced(["-c", program, str(bundle)], tmp_path)
    assert traced.done.stdout == "None\n", traced.done.stderr
    assert traced.network() == []
    assert list(traced.home.iterdir()) == []


def test_what_onnxruntime_would_do_otherwise_is_noticed(bundle: Path, tmp_path: Path) -> None:
    """Where a user has decided for telemetry, this test sees it: so it would see it everywhere."""
    import onnxruntime

    program = "import sys; from hwnas.bundle.runtime import Runner; Runner(sys.argv[1])"
    traced = Traced(["-c", program, str(bundle)], tmp_path, **{VARIABLE: "0"})
    has_telemetry = tuple(int(part) for part in onnxruntime.__version__.split(".")[:2]) >= (1, 29)
    assert bool(list(traced.home.iterdir())) is has_telemetry
