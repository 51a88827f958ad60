"""What happened in a run, once for programs and once for people."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from hwnas.search.run_directory import RunDirectory
from hwnas.search.storage import append_lines
from hwnas.text import visible


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
        append_lines(self._run.events, json.dumps(record) + "\n")
        one_line = visible(" ".join(message.splitlines()), keep="")
        append_lines(self._run.log, f"{now} {one_line}\n")
