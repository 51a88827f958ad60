"""Where a network is to run, written as a URL."""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import get_close_matches
from urllib.parse import SplitResult, parse_qsl, quote, urlsplit

from hwnas.config import DEFAULT_BACKEND, DEFAULT_TARGET
from hwnas.errors import ConfigError
from hwnas.latency.backend_class import backend_class
from hwnas.text import excerpt

_KEYS = ("backend", "threads", "cores", "python")
_MAX_DIGITS = 9
_NAME = r"\w[\w.-]*"
_HOST = re.compile(
    rf"(?:(?P<user>{_NAME})@)?(?P<name>{_NAME}|\[[0-9A-Fa-f:.]+\])(?::(?P<port>[0-9]{{1,5}}))?", re.ASCII
)
# What follows a user's name before the host, or a key that says so, is never repeated.
_PASSWORD = re.compile(
    r"((?:^|//)[^:/?@]*:)(?!//).*(?=@)|((?:passw\w*|pwd|secret|token)=)[^&]*", re.DOTALL | re.IGNORECASE
)
_PYTHON = re.compile(r"[\w/][\w./+-]*", re.ASCII)


@dataclass(frozen=True)
class Target:
    """A machine, the backend on it, and the processor time that a network gets there.

    Attributes:
        transport: `local` for this machine, `ssh` for another.
        host: `user@name:port` as written, empty for `local`.
        backend: name in the entry-point group `hwnas.backends`.
        threads: number of threads that the backend may use for one inference, at least 1.
        cores: processor numbers to pin to; empty lets the agent take the last `threads` of those it may use.
        options: options of the backend, as (name, value) pairs sorted by name, such as (("provider",
            "..."),).
        python: interpreter on the board that has numpy and the backend, for `ssh`; empty for `python3`.
    """

    transport: str
    host: str = ""
    backend: str = DEFAULT_BACKEND
    threads: int = 1
    cores: tuple[int, ...] = ()
    options: tuple[tuple[str, str], ...] = ()
    python: str = ""

    @classmethod
    def parse(cls, url: str) -> Target:
        """Read a target such as `local?backend=onnxruntime-cpu&threads=1`.

        `cores=2,3` or `cores=2-3` names the processors to pin to. Further keys are options that the backend
        declares, such as `backend=onnxruntime&provider=CUDAExecutionProvider`.

        Raises:
            ConfigError: if the transport or a key is unknown, or a value is out of range.
            PluginError: if there is a key that only the backend could know, but no such backend is installed.
        """
        if not isinstance(url, str):
            raise ConfigError(f"A target is text such as {DEFAULT_TARGET!r}, but got {excerpt(url)}.")
        parts = _parts(url)
        transport = parts.scheme or parts.path
        if transport not in {"local", "ssh"} or (transport == "local" and (parts.netloc or parts.scheme)):
            raise ConfigError(
                f"A target is written like {DEFAULT_TARGET!r} or 'ssh://user@board?backend=tensorrt', but "
                f"got {_shown(url)}. Start it with 'local' or 'ssh://'."
            )
        if transport == "ssh" and (
            not is_host(parts.netloc) or parts.path not in {"", "/"} or parts.fragment
        ):
            raise ConfigError(
                f"An ssh target is written 'ssh://user@host:port?backend=...', but got {_shown(url)}. Names "
                "hold letters, digits, '.', '-' and '_'; passwords, keys and detours belong into "
                "~/.ssh/config."
            )
        values = _values(url, parts.query)
        _check_python(url, transport, values.get("python", ""))
        threads = _whole_number(url, "threads", values.get("threads", "1"))
        cores = _cores(url, values["cores"]) if "cores" in values else ()
        if threads < 1:
            raise ConfigError(f"'threads' must be at least 1, but is {threads} in {_shown(url)}.")
        if cores and len(cores) < threads:
            raise ConfigError(
                f"{threads} threads need as many cores, but {_shown(url)} names {len(cores)}; add some."
            )
        options = tuple(sorted((key, value) for key, value in values.items() if key not in _KEYS))
        return cls(
            transport,
            parts.netloc,
            values.get("backend", DEFAULT_BACKEND),
            threads,
            cores,
            options,
            values.get("python", ""),
        )

    @property
    def url(self) -> str:
        """The target in its canonical form; `parse` gives an equal one back."""
        start = "local" if self.transport == "local" else f"ssh://{self.host}"
        cores = "&cores=" + ",".join(str(core) for core in self.cores) if self.cores else ""
        options = "".join(f"&{quote(key)}={quote(value)}" for key, value in self.options)
        python = f"&python={quote(self.python)}" if self.python else ""
        return f"{start}?backend={quote(self.backend)}&threads={self.threads}{cores}{options}{python}"


def is_host(text: str) -> bool:
    """Return whether `text` is `name`, `user@name` or either with `:port`, and cannot pass for an option."""
    found = _HOST.fullmatch(text)
    return found is not None and (found["port"] is None or 0 < int(found["port"]) < 65536)


def split_host(host: str) -> tuple[str, str, str]:
    """Return user, name and port of a host that `is_host`; empty where it does not say."""
    found = _HOST.fullmatch(host)
    if found is None:
        raise ConfigError(f"A host is written 'user@name:port', but got {host!r}.")
    return found["user"] or "", found["name"].strip("[]"), found["port"] or ""


def _shown(url: str) -> str:
    """Return a target for a message, without what could be a password."""
    return excerpt(_PASSWORD.sub(lambda found: f"{found[1] or found[2]}...", url))


def _parts(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError as error:  # of brackets around no address, and of letters that pass for others
        reason = "" if _PASSWORD.search(url) else f" ({error})"  # which repeats a part of it
        raise ConfigError(
            f"A target is written like {DEFAULT_TARGET!r} or 'ssh://user@host:port?backend=...', but "
            f"{_shown(url)} cannot be read{reason}. Write the host as a name, or an IPv6 address in "
            "brackets, such as '[::1]'."
        ) from None


def _check_python(url: str, transport: str, python: str) -> None:
    if python and transport != "ssh":
        raise ConfigError(f"'python' names the interpreter on an ssh target; leave it out of {_shown(url)}.")
    if python and not _PYTHON.fullmatch(python):
        raise ConfigError(
            f"'python' must be a path or name of letters, digits and '/._+-', but is {python!r} in "
            f"{_shown(url)}."
        )


def _values(url: str, query: str) -> dict[str, str]:
    """Return the settings of a query, each known and given once."""
    pairs = parse_qsl(query, keep_blank_values=True)
    known = _known_keys(pairs)
    values: dict[str, str] = {}
    for key, value in pairs:
        if key not in known:
            near = get_close_matches(key, known, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise ConfigError(f"{key!r} in target {_shown(url)} is unknown; known are {known}.{hint}")
        if key in values:
            raise ConfigError(f"{key!r} stands twice in target {_shown(url)}; keep one.")
        if not value:
            raise ConfigError(f"{key!r} has no value in target {_shown(url)}; give one or leave it out.")
        values[key] = value
    return values


def _known_keys(pairs: list[tuple[str, str]]) -> list[str]:
    """Return the keys that a target may have; the backend is imported only if there are others than ours."""
    if all(key in _KEYS for key, _ in pairs):
        return list(_KEYS)
    backend = backend_class(dict(pairs).get("backend", DEFAULT_BACKEND))
    return [*_KEYS, *getattr(backend, "OPTIONS", {})]


def _whole_number(url: str, key: str, text: str) -> int:
    if not text.isdecimal() or len(text) > _MAX_DIGITS:
        raise ConfigError(f"{key!r} must be a whole number, but is {excerpt(text)} in {_shown(url)}.")
    return int(text)


def _cores(url: str, text: str) -> tuple[int, ...]:
    """Read `0,2-3` as (0, 2, 3)."""
    cores: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        start = _whole_number(url, "cores", first)
        end = _whole_number(url, "cores", last) if last else start
        if not start <= end < 4096:
            raise ConfigError(f"'cores' must ascend and stay below 4096, but is {text!r} in {_shown(url)}.")
        cores.update(range(start, end + 1))
    return tuple(sorted(cores))
