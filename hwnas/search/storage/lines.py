"""Lines of JSON that end with a checksum, for files that grow: their damage must not pass unnoticed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

_DIGITS = 16
MARK = b',"checksum":"'
"""What a checksum follows in a line."""
_END = b'"}\n'


def checked_line(value: Mapping[str, Any], before: bytes = b"") -> tuple[bytes, bytes]:
    """Return a JSON object as a line, and its checksum.

    Args:
        value: not empty.
        before: checksum of the line that it must follow; empty where the order does not matter.
    """
    body = json.dumps(value, separators=(",", ":")).encode("utf-8")[:-1]
    checksum = _digest(before, body)
    return body + MARK + checksum + _END, checksum


def checksum_of_line(line: bytes, before: bytes = b"") -> bytes:
    """Return the checksum of a line that `checked_line` made.

    Raises:
        ValueError: if the line was changed, or follows another one than it must.
    """
    body, _, rest = line.rpartition(MARK)
    checksum = _digest(before, body)
    if rest != checksum + _END:
        raise ValueError("is damaged, or the one before it is missing")
    return checksum


def _digest(before: bytes, body: bytes) -> bytes:
    return hashlib.sha256(before + body).hexdigest()[:_DIGITS].encode("ascii")
