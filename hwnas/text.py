"""Text from outside, made fit to be shown: nothing in it moves a cursor, hides or reorders what is read."""

from __future__ import annotations

import unicodedata

SHOWN_CHARACTERS = 200
"""So much of a value that is wrong stands in an error; the rest helps nobody."""

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


def plural(word: str) -> str:
    """Return the regular plural of an English noun: points, classes, boxes, categories."""
    if word.endswith(("s", "x", "z", "ch", "sh")):
        return f"{word}es"
    if word.endswith("y") and word[-2:-1] not in {"a", "e", "i", "o", "u", ""}:
        return f"{word[:-1]}ies"
    return f"{word}s"


def shown(value: object, limit: int = SHOWN_CHARACTERS) -> str:
    """Return how a value looks in an error: as Python writes it, visible, on one line and shortened.

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
