"""What happened in a run, once for programs and once for people."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from hwnas.appending import append_lines
from hwnas.search.run_directory import RunDirectory
from hwnas.search.storage.lines import checked_line, checksum_of_line
from hwnas.text import visible


@dataclass(frozen=True)
class RunEvents:
    """What happened in a run, see `RunLog.event`.

    Attributes:
        events: in order.
        num_unreadable: lines that are damaged, or torn by a kill, and left out.
    """

    events: tuple[Mapping[str, Any], ...]
    num_unreadable: int


def read_events(run: RunDirectory) -> RunEvents:
    """Return what `events.jsonl` says; nothing where it is missing."""
    events, num_unreadable = [], 0
    for line in run.events.read_bytes().splitlines(keepends=True) if run.events.is_file() else ():
        try:
            checksum_of_line(line)
            events.append(json.loads(line))
        except ValueError:
            num_unreadable += 1
    return RunEvents(tuple(events), num_unreadable)


class RunLog:
    """Appends to `events.jsonl` and `log.txt`; a line torn by a kill is cut off by the next one."""

    def __init__(self, run: RunDirectory) -> None:
        """Name the run; its directory must exist before the first event."""
        self._run = run

    def event(self, kind: str, message: str, **fields: Any) -> None:
        """Record one event.

        Args:
            kind: short name, such as `trained`.
            message: a sentence for people.
            fields: plain JSON values for programs.
        """
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        record = {"time": now, "event": kind, "message": message, **fields}
        append_lines(self._run.events, checked_line(record)[0].decode("utf-8"))
        one_line = visible(" ".join(message.splitlines()), keep="")
        append_lines(self._run.log, f"{now} {one_line}\n")
