"""How many messages a subscriber never got: as the middleware says, and as their numbers show."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_NUMBER, _PUBLISHER = "publication_sequence_number", "publisher_gid"


class MessageLosses:
    """Counts what was published and never taken.

    The middleware tells of messages that were lost on their way, but not of those that newer ones replaced in
    its queue before they were taken. Publishers number their messages; gaps show both.
    """

    def __init__(self) -> None:
        self._last: dict[bytes, int] = {}
        self._gaps = self._reported = self._counted = 0

    def reported(self, count: int) -> int:
        """Take what the middleware says is lost, too; return how many messages that adds to those counted."""
        self._reported += count
        return self._added()

    def arrived(self, facts: Mapping[str, Any], num_publishers: int) -> int:
        """Take a message that arrived; return how many are missing before it that were not counted yet.

        Args:
            facts: what rclpy says of the message. Without a number nothing is known.
            num_publishers: on the topic; 0 of one that is not seen for a moment. Where messages do not say
                which of several is theirs (before Kilted), nothing is known either.
        """
        number, publisher = facts.get(_NUMBER), facts.get(_PUBLISHER)
        if not number or (publisher is None and num_publishers > 1):
            self._last.clear()
            return 0
        key = b"" if publisher is None else bytes(publisher["data"])
        before = self._last.get(key)
        self._last[key] = number
        if before is not None and number > before:  # otherwise a publisher begins, or begins anew
            self._gaps += number - before - 1
        return self._added()

    def _added(self) -> int:
        """Return what was not returned before: the middleware's losses are gaps, too."""
        added = max(self._gaps, self._reported) - self._counted
        self._counted += added
        return added
