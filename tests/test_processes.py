"""Children of the project do not outlive their parent, whatever they are doing."""

from __future__ import annotations

import ast
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from hwnas import processes
from hwnas.worker_pool import worker_pool
from tests.process_trees import have_ended, is_alive

SOURCES = Path(processes.__file__).parent


def wait_until(condition, timeout_s: float = 5.0) -> bool:
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


PARENT = """
import sys, time
from pathlib import Path
from hwnas import processes
{code}
while True:
    time.sleep(1)
"""
# A child that has a child of its own, in its process group.
WITH_CHILD = (
    "import subprocess, sys, time; other = subprocess.Popen(['sleep', '60']); "
    "open(sys.argv[1], 'a').write(str(other.pid) + chr(10)); {then}"
)


def children_of(code: str, tmp_path: Path, count: int) -> tuple[subprocess.Popen[bytes], list[int]]:
    """Start a parent and return it with the children that it and they report."""
    pids = tmp_path / "pids"
    pids.touch()
    source = PARENT.format(code=code)
    parent = subprocess.Popen([sys.executable, "-c", source, str(pids)], cwd=tmp_path)
    assert wait_until(lambda: len(pids.read_text().split()) == count, 20), pids.read_text()
    return parent, [int(pid) for pid in pids.read_text().split()]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize(
    "then",
    [
        "time.sleep(60)",
        "import signal, os; signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 64)); time.sleep(60)",
        "import signal, os; os.kill(os.getpid(), signal.SIGSTOP)",
        "import ctypes; ctypes.PyDLL(None).sleep(60)",  # holds the interpreter's lock
    ],
)
def test_a_child_and_its_group_die_with_the_parent(then: str, number: signal.Signals, tmp_path: Path) -> None:
    code = (
        f"child = processes.start([sys.executable, '-c', {WITH_CHILD.format(then=then)!r}, sys.argv[1]])\n"
        "open(sys.argv[1], 'a').write(str(child.pid) + chr(10))"
    )
    parent, pids = children_of(code, tmp_path, 2)
    assert all(is_alive(pid) for pid in pids)
    parent.send_signal(number)
    parent.wait()
    assert have_ended(pids)


def test_a_program_that_closes_descriptors_dies_too(tmp_path: Path) -> None:
    program = "import os, sys, time; os.closerange(3, 100); open(sys.argv[1], 'a').write(str(os.getpid())); time.sleep(60)"
    code = f"processes.start([sys.executable, '-c', {program!r}, sys.argv[1]], closes_descriptors=True)"
    parent, pids = children_of(code, tmp_path, 1)
    parent.kill()
    assert have_ended(pids[:1])


def test_a_module_is_tied_before_it_is_imported(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(
        "import os, sys, time\nopen(sys.argv[1], 'a').write(str(os.getpid()))\ntime.sleep(60)\n"
    )
    parent, pids = children_of("processes.start(processes.module_command('slow', sys.argv[1]))", tmp_path, 1)
    parent.kill()
    assert have_ended(pids[:1])


def test_a_child_whose_parent_is_gone_already_ends_itself() -> None:
    pipe = processes._Pipe()
    lifeline = pipe.new_reader()
    code = "from hwnas import processes; processes.attach(); print('went on')"
    command = [sys.executable, "-c", code]
    variable = {processes.VARIABLE: ":".join(str(part) for part in lifeline)}
    pipe._forget()  # what the kernel does with the ends of a parent that has died
    done = subprocess.run(
        command,
        env={**os.environ, **variable},
        pass_fds=(lifeline.descriptor,),
        start_new_session=True,
        capture_output=True,
        check=False,
    )
    os.close(lifeline.descriptor)
    assert (done.returncode, done.stdout) == (-signal.SIGKILL, b"")


def test_where_the_kernel_does_not_help_a_thread_waits(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    variable = {processes.VARIABLE: f"{reader}:{os.fstat(reader).st_ino}:0"}
    code = "from hwnas import processes; processes.attach(); print('on', flush=True); import time; time.sleep(60)"
    child = subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, **variable},
        pass_fds=(reader,),
        start_new_session=True,
        stdout=subprocess.PIPE,
    )
    os.close(reader)
    assert child.stdout is not None
    assert child.stdout.readline() == b"on\n"
    assert child.poll() is None
    os.close(writer)
    assert child.wait(5) == -signal.SIGKILL
    child.stdout.close()


def test_a_variable_inherited_from_elsewhere_is_ignored() -> None:
    with Path("/dev/null").open() as other:
        for value in (f"{other.fileno()}:{os.fstat(other.fileno()).st_ino}:1", "987:1:1"):
            os.environ[processes.VARIABLE] = value
            processes.attach()
            assert processes.VARIABLE not in os.environ


def test_a_child_outlives_the_thread_that_started_it() -> None:
    found: list[subprocess.Popen[bytes]] = []
    thread = threading.Thread(target=lambda: found.append(processes.start(["sleep", "60"])))
    thread.start()
    thread.join()
    time.sleep(0.2)
    assert found[0].poll() is None
    processes.kill_group(found[0])
    assert found[0].returncode == -signal.SIGKILL


def test_run_returns_status_and_output_and_kills_what_takes_too_long() -> None:
    done = processes.run(["sh", "-c", "cat; echo no >&2; exit 3"], content=b"yes")
    assert (done.returncode, done.stdout, done.stderr) == (3, b"yes", b"no\n")
    started = time.monotonic()
    with pytest.raises(subprocess.TimeoutExpired):
        processes.run(["sh", "-c", "sleep 60; true"], timeout_s=0.2)
    assert time.monotonic() - started < 30
    kept = processes.run(["sh", "-c", "exit 7"], closes_descriptors=True)
    assert kept.returncode == 7
    same = processes.run(["sh", "-c", "ps -o sid= -p $$"], own_session=False)
    assert int(same.stdout) == os.getsid(0)


POOL = """
import os, sys, time
from hwnas.worker_pool import worker_pool
from tests.process_trees import have_ended, is_alive
open(sys.argv[1], 'a').write(str(os.getpid()) + chr(10))
if {forever}:
    time.sleep(60)
def work(_): time.sleep(60)
if __name__ == "__main__":
    with worker_pool(2) as pool:
        list(pool.map(work, range(2)))
"""


@pytest.mark.parametrize("forever", ["False", "__name__ != '__main__'"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_workers_of_a_pool_die_with_it_even_while_they_import(
    forever: str, number: signal.Signals, tmp_path: Path
) -> None:
    script, pids = tmp_path / "script.py", tmp_path / "pids"
    script.write_text(POOL.format(forever=forever))
    parent = subprocess.Popen([sys.executable, script, pids])
    assert wait_until(lambda: pids.exists() and len(pids.read_text().split()) == 3, 20)
    workers = [int(pid) for pid in pids.read_text().split()[1:]]
    assert all(is_alive(pid) for pid in workers)
    parent.send_signal(number)
    parent.wait()
    assert have_ended(workers)


@pytest.mark.usefixtures("spawned_pools")
def test_a_pool_kills_its_workers_when_its_block_fails() -> None:
    started = time.monotonic()
    with pytest.raises(ZeroDivisionError), worker_pool(2) as pool:  # noqa: PT012
        running = [pool.submit(time.sleep, 60) for _ in range(4)]
        assert wait_until(running[0].running)
        raise ZeroDivisionError
    assert time.monotonic() - started < 20
    with worker_pool(1, os.nice, (1,)) as pool:
        assert pool.submit(os.getpgrp).result() == pool.submit(os.getpid).result()


OURS = {"processes.py", "worker_pool.py", "scratch.py", "files.py", "latency/agent/watchdog.py"}
# What starts a process or makes a temporary directory that nobody would end or remove.
FORBIDDEN = {
    ("subprocess", "Popen"), ("subprocess", "run"), ("subprocess", "call"), ("subprocess", "check_call"),
    ("subprocess", "check_output"), ("subprocess", "getoutput"), ("os", "fork"), ("os", "system"),
    ("os", "popen"), ("os", "posix_spawn"), ("tempfile", "mkdtemp"), ("tempfile", "TemporaryDirectory"),
    ("tempfile", "mkstemp"), ("tempfile", "NamedTemporaryFile"), ("", "ProcessPoolExecutor"), ("torch", "multiprocessing"),
}  # fmt: skip


def calls_of(source: str) -> set[tuple[str, str]]:
    """Return `module.function` that is called or imported from, `("", name)` of plain calls, and imports."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            found.add(("", node.func.id))
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            if isinstance(node.func.value, ast.Name):
                found.add((node.func.value.id, node.func.attr))
        elif isinstance(node, ast.ImportFrom):
            found |= {(node.module or "", alias.name) for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {(alias.name, "") for alias in node.names}
    return found


def test_children_are_started_and_directories_made_in_one_place() -> None:
    others = []
    for path in SOURCES.rglob("*.py"):
        name = str(path.relative_to(SOURCES))
        source = path.read_text()
        if not re.search(
            "subprocess|tempfile|multiprocessing|ProcessPool|posix_spawn|fork|popen|system", source
        ):
            continue
        found = {
            call for call in calls_of(source) if call in FORBIDDEN or call[0].startswith("multiprocessing")
        }
        others += [(name, *call) for call in found if name not in OURS]
    # Its one directory holds what a replacement moves away, which must not be swept.
    assert others == [("directory_replacing.py", "tempfile", "mkdtemp")]


def test_a_group_is_killed_as_long_as_its_number_is_its_own() -> None:
    program = "import subprocess; print(subprocess.Popen(['sleep', '60']).pid, flush=True)"
    process = processes.start([sys.executable, "-c", program], stdout=subprocess.PIPE)
    assert process.stdout is not None
    left = int(process.stdout.readline())
    process.stdout.close()
    assert wait_until(lambda: processes.has_ended(process))
    assert is_alive(left)
    processes.kill_group(process)
    assert process.returncode == 0
    assert have_ended([left])
    assert processes.has_ended(process)
    processes.kill_group(process)
