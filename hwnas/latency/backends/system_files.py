"""Reads the small text files through which Linux tells about itself; None where there is nothing."""

from __future__ import annotations

import math
import os
import stat
from typing import List, Optional

MAX_CHARACTERS = 1 << 22
"""Longest text that is taken; `/proc/self/maps` of a process with many libraries has the most."""


def read_text(*parts: str) -> Optional[str]:
    """Return the stripped text of a file, None if it is missing, empty, too long or not readable.

    The files may have been copied from elsewhere: pipes and devices, which need not end, are not read.
    """
    path = os.path.join(*parts)
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            return None
        with open(path, errors="replace") as stream:
            text = stream.read(MAX_CHARACTERS + 1)
    except (OSError, ValueError):  # the latter for a null character in the path
        return None
    return None if len(text) > MAX_CHARACTERS else text.strip("\0 \t\r\n") or None


def read_number(*parts: str) -> Optional[float]:
    """Return the finite number in a file, None if there is none."""
    text = read_text(*parts)
    try:
        number = float(text) if text is not None else math.nan
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def entries(*parts: str) -> List[str]:
    """Return the sorted paths in a directory, none if it is missing."""
    directory = os.path.join(*parts)
    try:
        return [os.path.join(directory, name) for name in sorted(os.listdir(directory))]
    except OSError:
        return []
