"""A directory is held by one process, and free again when that is gone."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from hwnas.directory_holding import held_directory
from hwnas.errors import ConfigError

HOLDER = """
import sys
from pathlib import Path
from hwnas.directory_holding import held_directory
with held_directory(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_directory_is_held_once_and_let_go_by_a_killed_process(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with (
            pytest.raises(ConfigError, match=r"Another process works in .* give another `out=`"),
            held_directory(tmp_path),
        ):
            pass
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    with held_directory(tmp_path):
        assert list(tmp_path.iterdir()) == []
    with held_directory(tmp_path):
        pass
