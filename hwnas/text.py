"""Text from outside, made fit to be shown: nothing in it moves a cursor, hides or reorders what is read.

Errors repeat what people wrote by `shown`, which repeats no password, and what files, boards and libraries
said by `excerpt`, which would be worth nothing without its addresses. Python 3.8 syntax: this module travels
to boards.
"""

from __future__ import annotations

import math
import re
import shlex
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any, Tuple

EXCERPT_CHARACTERS = 200
"""So much of what was received stands in an error; the rest helps nobody."""

_MOST_DECIMALS = 12
_SECRET = re.compile(r"://|:[^@]*@|(?:passw\w*|pwd|secret|token)\s*[=:]", re.IGNORECASE | re.DOTALL)

# Control characters (C0, C1, DEL), surrogates and unassigned code points; format characters (Cf) hold what
# switches the direction of writing and what is invisible; line and paragraph separators break lines.
_HIDDEN_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
# Joins emoji and letters of Indic and Persian scripts; shown alone it is harmless.
_HARMLESS = frozenset("\u200c\u200d")


def visible(text: str, keep: str = "\n\t") -> str:
    r"""Return `text` with what a terminal would obey, or nobody would see, written as escapes.

    Control characters and escape sequences become `\x1b` and the like, characters that change the direction
    of writing `\u202e`, and bytes of a file name that is not UTF-8 `\xff`. What it returns can always be
    encoded as UTF-8, and is returned unchanged when passed again.

    Args:
        text: from anywhere.
        keep: control characters that stay as they are.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        character
        if character in keep
        or character in _HARMLESS
        or unicodedata.category(character) not in _HIDDEN_CATEGORIES
        else _escape(ord(character))
        for character in text
    )


def argument(value: object) -> str:
    """Return a path or a name for a command that a message asks for, quoted where a shell needs it."""
    return shlex.quote(str(value))


def plural(word: str) -> str:
    """Return the regular plural of an English noun: points, classes, boxes, categories."""
    if word.endswith(("s", "x", "z", "ch", "sh")):
        return f"{word}es"
    if word.endswith("y") and word[-2:-1] not in {"a", "e", "i", "o", "u", ""}:
        return f"{word[:-1]}ies"
    return f"{word}s"


def shown(value: Any, longest: int = 120) -> str:
    """Return a value of a setting for a message: short, on one line, and without what could be a password.

    Text with an address in it, or with a word such as `password`, is named and not repeated. Of text that is
    longer than `longest` only the beginning is.
    """
    if isinstance(value, Mapping):
        return f"a mapping of {len(value)} key{'' if len(value) == 1 else 's'}" if value else "{}"
    if isinstance(value, (list, tuple)):
        text = f"[{', '.join(shown(item) for item in value[:8])}{', ...' if len(value) > 8 else ''}]"
        return text if len(text) <= 120 else f"a list of {len(value)}"
    if not isinstance(value, str):
        text = "null" if value is None else repr(value).lower() if isinstance(value, bool) else repr(value)
        return text if len(text) <= 120 else text[:100] + "..."
    if may_hold_secret(value):
        return "an address or a password, which is not repeated here"
    text = repr(value[:longest])
    return text if len(value) <= longest else f"{text[:100]}... ({len(value)} characters)"


def may_hold_secret(text: str) -> bool:
    """Return whether text could be an address with a password, or names a password."""
    return _SECRET.search(text) is not None


def excerpt(value: object, limit: int = EXCERPT_CHARACTERS) -> str:
    """Return the beginning of what was received: as Python writes it, visible, on one line and shortened.

    Addresses in it are repeated: what a board wrote in the wrong place is often a greeting with one. Values
    that people wrote are for `shown`.

    Args:
        value: from anywhere; of text and bytes that are very long only the beginning is looked at.
        limit: characters, at least 1.
    """
    if isinstance(value, (str, bytes)):
        value = value[: limit + 1]
    text = visible(repr(value), keep="")
    return text if len(text) <= limit else text[:limit] + "…"


def shortened(text: str, limit: int) -> str:
    """Return `text`, visible, with what stands behind `limit` characters left out, which is said."""
    kept = visible(text[:limit])
    return kept if len(text) <= limit else f"{kept}… ({len(text) - limit} more characters)"


def _escape(code: int) -> str:
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is no UTF-8, see PEP 383
        return f"\\x{code - 0xDC00:02x}"
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def counted(count: int, what: str) -> str:
    """Return a number and a noun in the number that goes with it: `1 scan`, `2,000 scans`."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def figure(value: float, digits: int = 3) -> str:
    """Return a figure with that many significant digits, and without an exponent: 456, 0.0123."""
    return f"{value:.{_decimals(value, digits)}f}"


def with_interval(value: float, interval: Sequence[float], digits: int = 3) -> Tuple[str, str, str]:
    """Return a figure and the ends of its interval, all with the same decimals.

    The figure has that many significant digits, and more where the ends would otherwise look alike.
    """
    low, high = interval
    decimals = _decimals(value, digits)
    while low < high and decimals < _MOST_DECIMALS and round(low, decimals) == round(high, decimals):
        decimals += 1
    shown, lower, upper = (f"{number:.{decimals}f}" for number in (value, low, high))
    return shown, lower, upper


def _decimals(value: float, digits: int) -> int:
    if not math.isfinite(value) or value == 0:
        return digits - 1
    magnitude = int(f"{value:.{digits - 1}e}".partition("e")[2])  # as it is once it is rounded
    return min(max(digits - 1 - magnitude, 0), _MOST_DECIMALS)


def one_line(value: object, *figures: str) -> str:
    """Return a result in a line for people, as the `repr` of what has too many fields to be read in a prompt.

    Args:
        value: the result; its class is named.
        figures: what one wants to see first; empty ones are left out.
    """
    return f"<{type(value).__name__}: {visible(', '.join(filter(None, figures)), keep='')}>"


def html_table(caption: str, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table for notebooks; all of its text is escaped."""
    head = "".join(f"<th>{escape(name)}</th>" for name in heads)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><caption>{escape(caption)}</caption><tr>{head}</tr>{body}</table>"
