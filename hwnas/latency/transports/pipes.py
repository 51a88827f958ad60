"""Pipes to a process that may send anything: reads are limited in bytes and time, writes in time."""

from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Callable

MAX_MESSAGES_BYTES = 64 << 20
"""A process that writes more to its standard error is ended."""
KEPT_MESSAGES_BYTES = 4000
_PIECE_BYTES = 1 << 16
_DRAIN_PIECES = 64


class LineTooLongError(Exception):
    """A line has more bytes than it may have."""


class LineReader:
    """Reads lines from a descriptor; keeps at most one line and a piece of the next in memory."""

    def __init__(self, descriptor: int) -> None:
        """Read from `descriptor`, which stays its owner's to close."""
        self._descriptor = descriptor
        self._unread = bytearray()
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLIN | select.POLLHUP)

    def read_line(self, limit_bytes: int, deadline: float) -> bytes:
        """Return the next line without its end.

        Args:
            limit_bytes: that it may have.
            deadline: by `time.monotonic`, for the whole line: single bytes now and then do not extend it.

        Raises:
            LineTooLongError: if it has more.
            TimeoutError: if it does not end in time.
            EOFError: if the other end closed the pipe before the line ended.
        """
        searched = 0
        while True:
            end = self._unread.find(b"\n", searched)
            if 0 <= end <= limit_bytes:
                line = bytes(self._unread[:end])
                del self._unread[: end + 1]
                return line
            if end > limit_bytes or len(self._unread) > limit_bytes:
                raise LineTooLongError
            searched = len(self._unread)
            left_ms = (deadline - time.monotonic()) * 1000
            if left_ms <= 0 or not self._poll.poll(left_ms):
                raise TimeoutError
            piece = os.read(self._descriptor, _PIECE_BYTES)
            if not piece:
                raise EOFError
            self._unread += piece


def write_within(descriptor: int, content: bytes, deadline: float) -> None:
    """Write all of `content` to a descriptor that does not block.

    Raises:
        TimeoutError: if the other end does not take it by `deadline` (`time.monotonic`).
        OSError: if the other end is gone.
    """
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    left = memoryview(content)
    while left:
        try:
            left = left[os.write(descriptor, left[:_PIECE_BYTES]) :]
        except BlockingIOError:
            left_ms = (deadline - time.monotonic()) * 1000
            if left_ms <= 0 or not poll.poll(left_ms):
                raise TimeoutError from None


class MessageTail:
    """Takes in what a process writes to its standard error, and keeps the end of it.

    A thread reads all the time, so that the process never blocks on messages that nobody wants.
    """

    def __init__(self, descriptor: int, on_flood: Callable[[], None]) -> None:
        """Begin to read.

        Args:
            descriptor: of the pipe; this object closes it.
            on_flood: called once if more than `MAX_MESSAGES_BYTES` came.
        """
        os.set_blocking(descriptor, False)
        self._descriptor = descriptor
        self._on_flood = on_flood
        self._tail = b""
        self._size = 0
        self._is_open = True
        self._lock = threading.Lock()
        self._woken, self._wake = os.pipe()
        self._thread = threading.Thread(target=self._read_on, name="hwnas-messages", daemon=True)
        self._thread.start()

    @property
    def is_flood(self) -> bool:
        """Whether more came than may come."""
        return self._size > MAX_MESSAGES_BYTES

    def text(self) -> str:
        """Return the end of what came, up to now."""
        for _ in range(_DRAIN_PIECES):
            if not self._take():
                break
        return self._tail.decode(errors="replace").strip()

    def close(self) -> None:
        """Stop reading; calling it twice is harmless."""
        if not self._is_open:
            return
        self._is_open = False
        os.write(self._wake, b"x")
        self._thread.join()
        for descriptor in (self._descriptor, self._woken, self._wake):
            os.close(descriptor)

    def _read_on(self) -> None:
        poll = select.poll()
        poll.register(self._descriptor, select.POLLIN | select.POLLHUP)
        poll.register(self._woken, select.POLLIN)
        while self._is_open:
            poll.poll()
            if self._is_open and self._take() == b"":
                return

    def _take(self) -> bytes | None:
        """Take one piece; return None where nothing is there at the moment, nothing at the end."""
        with self._lock:
            try:
                piece = os.read(self._descriptor, _PIECE_BYTES)
            except BlockingIOError:  # another thread took it
                return None
            was_flood = self.is_flood
            self._tail = (self._tail + piece)[-KEPT_MESSAGES_BYTES:]
            self._size += len(piece)
            is_new_flood = self.is_flood and not was_flood
        if is_new_flood:
            self._on_flood()
        return piece
