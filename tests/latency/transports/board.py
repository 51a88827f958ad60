"""A board on this machine: a real OpenSSH server on loopback with a user, home and Python of its own."""

from __future__ import annotations

import contextlib
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import psutil
import pytest

PACKAGES = ("numpy", "numpy.libs", "onnxruntime")
SSHD = shutil.which("sshd", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")


@dataclass
class Board:
    """A running server. `url` reaches it with `HWNAS_SSH_CONFIG` set to `ssh_config`."""

    root: Path
    user: str
    port: int
    server: subprocess.Popen | None = None
    made_user: bool = False
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def home(self) -> Path:
        return self.root / "home"

    @property
    def python(self) -> Path:
        return self.root / "venv" / "bin" / "python"

    @property
    def ssh_config(self) -> Path:
        return self.root / "ssh_config"

    @property
    def known_hosts(self) -> Path:
        return self.root / "known_hosts"

    @property
    def lock(self) -> Path:
        return self.home / "measuring.lock"

    @property
    def url(self) -> str:
        return f"ssh://board?backend=onnxruntime-cpu&threads=1&python={self.python}"

    def start(self) -> None:
        """Start the server and wait until it answers.

        Raises:
            RuntimeError: if it runs already, or does not start.
        """
        if self.server is not None:
            raise RuntimeError("the board runs already")
        lines = [
            f"Port {self.port}",
            "ListenAddress 127.0.0.1",
            f"HostKey {self.root}/host_key",
            "PidFile none",
            f"AuthorizedKeysFile {self.root}/authorized_keys",
            "StrictModes no",
            "UsePAM no",
            "PasswordAuthentication no",
            "KbdInteractiveAuthentication no",
            "SetEnv " + " ".join(f"{name}={value}" for name, value in self._session().items()),
        ]
        (self.root / "sshd_config").write_text("\n".join(lines) + "\n")
        command = [str(SSHD), "-D", "-e", "-f", str(self.root / "sshd_config")]
        with (self.root / "sshd.log").open("ab") as log:
            self.server = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=log)
        deadline = time.monotonic() + 20
        while not self._answers():
            if self.server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((self.root / "sshd.log").read_text())
            time.sleep(0.05)

    def _session(self) -> dict[str, str]:
        home = {} if self.made_user else {"HOME": str(self.home)}
        return {"HWNAS_MEASURING_LOCK": str(self.lock), **home, **self.environment}

    def _answers(self) -> bool:
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", self.port)) == 0

    def processes(self) -> list[psutil.Process]:
        """All that runs below the server, the server left out."""
        assert self.server is not None
        below = psutil.Process(self.server.pid).children(recursive=True)
        return [process for process in below if not _name(process).startswith("sshd")]

    def agents(self) -> list[psutil.Process]:
        """Measuring processes, the watchdogs above them left out."""
        # What is known of a process is what it was when it was listed: it may have ended since.
        found = [p for p in psutil.process_iter(["cmdline", "ppid"]) if self._is_agent(p)]
        return [process for process in found if process.info["ppid"] in {other.pid for other in found}]

    def _is_agent(self, process: psutil.Process) -> bool:
        words = process.info["cmdline"] or []
        return str(self.python) in words and any(word.endswith(".pyz") for word in words)

    def cut(self) -> None:
        """Cut every connection; what they started is left to itself."""
        for part in self._servers_of_connections():
            with contextlib.suppress(psutil.NoSuchProcess):
                part.kill()

    def fall_silent(self) -> list[psutil.Process]:
        """Suspend the server's end of every connection; return what is to be killed in the end."""
        stopped = self._servers_of_connections()
        for part in stopped:
            with contextlib.suppress(psutil.NoSuchProcess):
                part.suspend()
        return stopped

    def is_idle(self, within_s: float = 10.0) -> bool:
        """Return whether everything that ran for a connection ends soon."""
        deadline = time.monotonic() + within_s
        while self.processes():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)
        return True

    def _servers_of_connections(self) -> list[psutil.Process]:
        assert self.server is not None
        below = psutil.Process(self.server.pid).children(recursive=True)
        return [process for process in below if _name(process).startswith("sshd")]

    def stop(self) -> None:
        """Power off: nothing that runs there survives."""
        if self.server is None:
            return
        everything = psutil.Process(self.server.pid).children(recursive=True)
        for process in [*everything, psutil.Process(self.server.pid)]:
            try:
                process.send_signal(signal.SIGKILL)
            except psutil.NoSuchProcess:
                continue
        self.server.wait()
        psutil.wait_procs(everything, timeout=10)
        self.server = None

    def remove(self) -> None:
        self.stop()
        if self.made_user:
            subprocess.run(["userdel", self.user], check=False, capture_output=True)
        shutil.rmtree(self.root, ignore_errors=True)


def _name(process: psutil.Process) -> str:
    """Return its name, as that of a server if it has ended meanwhile: nothing of it is left to find."""
    try:
        return process.name()
    except psutil.NoSuchProcess:
        return "sshd"


def make_board() -> Board:
    """Return a running board, or skip the test with what is missing for it."""
    if SSHD is None or shutil.which("ssh") is None:
        pytest.skip("no OpenSSH server: apt-get install openssh-server")
    root = Path(tempfile.mkdtemp(prefix="hwnas-board-", dir="/tmp"))
    root.chmod(0o755)
    is_root = os.getuid() == 0 and shutil.which("useradd") is not None
    user = f"hwnas-board-{secrets.token_hex(4)}" if is_root else pwd.getpwuid(os.getuid()).pw_name
    board = Board(root, user, _free_port(), made_user=is_root)
    try:
        if is_root:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
            options = ["--system", "--no-create-home", "--home-dir", str(board.home), "--shell", "/bin/sh"]
            _add_user(["useradd", *options, "--password", "*", user])
        _make_home(board)
        _make_python(board)
        _make_keys(board)
        board.start()
    except BaseException:
        board.remove()
        raise
    return board


def _add_user(command: list[str]) -> None:
    for _ in range(20):
        if subprocess.run(command, check=False, capture_output=True).returncode == 0:
            return
        time.sleep(0.5)  # another test process is changing the list of users
    subprocess.run(command, check=True)


def _free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return int(server.getsockname()[1])


def _make_home(board: Board) -> None:
    board.home.mkdir(mode=0o700)
    if board.made_user:
        entry = pwd.getpwnam(board.user)
        os.chown(board.home, entry.pw_uid, entry.pw_gid)


def _make_python(board: Board) -> None:
    """Make a virtual environment with numpy and onnxruntime alone, in an interpreter the user may run."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    choices = [os.environ.get("HWNAS_BOARD_PYTHON"), str(Path(sys.executable).resolve())]
    choices += [f"/usr/bin/{version}", f"/usr/local/bin/{version}"]
    usable = [path for path in choices if path and _runs_as(board.user, path)]
    if not usable:
        pytest.skip(f"no {version} that other users may run: name one in HWNAS_BOARD_PYTHON")
    subprocess.run([usable[0], "-m", "venv", "--without-pip", str(board.root / "venv")], check=True)
    (packages,) = (board.root / "venv" / "lib").glob("python*/site-packages")
    for name in PACKAGES:
        spec = find_spec("numpy" if name == "numpy.libs" else name)
        assert spec is not None
        source = Path(str(spec.origin)).parent.parent / name
        if source.exists():
            (packages / name).symlink_to(source)
    found = _as(board.user, [str(board.python), "-c", "import numpy, onnxruntime"])
    if found.returncode != 0:
        pytest.skip(f"numpy and onnxruntime cannot be read by other users: {found.stderr[-300:]!r}")


def _runs_as(user: str, python: str) -> bool:
    return _as(user, [python, "-c", "import venv"]).returncode == 0


def _as(user: str, command: list[str]) -> subprocess.CompletedProcess:
    # Not the caller's environment: the board must find its packages without it.
    try:
        return subprocess.run(
            command,
            user=user if os.getuid() == 0 else None,
            cwd="/",
            env={"PATH": os.environ["PATH"]},
            capture_output=True,
            check=False,
        )
    except OSError as error:
        return subprocess.CompletedProcess(command, 127, stderr=str(error).encode())


def _make_keys(board: Board) -> None:
    for name in ("host_key", "user_key"):
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(board.root / name)]
        subprocess.run(command, check=True)
    shutil.copy(board.root / "user_key.pub", board.root / "authorized_keys")
    host_key = (board.root / "host_key.pub").read_text().strip()
    board.known_hosts.write_text(f"[127.0.0.1]:{board.port} {host_key}\n")
    board.ssh_config.write_text(
        f"Host board\n HostName 127.0.0.1\n Port {board.port}\n User {board.user}\n"
        f" IdentityFile {board.root}/user_key\n IdentitiesOnly yes\n IdentityAgent none\n"
        f" UserKnownHostsFile {board.known_hosts}\n GlobalKnownHostsFile /dev/null\n"
    )
