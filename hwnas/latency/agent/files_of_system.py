"""Reads the small text files through which Linux tells about itself; None where there is nothing."""

from __future__ import annotations

import os
from typing import List, Optional


def read_text(*parts: str) -> Optional[str]:
    """Return the stripped text of a file, None if it is missing, empty or not readable."""
    try:
        with open(os.path.join(*parts), errors="replace") as stream:
            return stream.read().strip("\0 \t\r\n") or None
    except OSError:
        return None


def read_number(*parts: str) -> Optional[float]:
    """Return the number in a file, None if there is none."""
    text = read_text(*parts)
    try:
        return float(text) if text is not None else None
    except ValueError:
        return None


def entries(*parts: str) -> List[str]:
    """Return the sorted paths in a directory, none if it is missing."""
    directory = os.path.join(*parts)
    try:
        return [os.path.join(directory, name) for name in sorted(os.listdir(directory))]
    except OSError:
        return []
