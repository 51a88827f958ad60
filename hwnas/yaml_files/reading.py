"""Reads every YAML file of the project, strictly; `hwnas.yaml_files.writing` writes those that are read back.

What is read is the core schema of YAML 1.2 without the parts that surprise or harm:

- Mappings have text keys, each given once. Merge keys (`<<`), tags beyond the core schema and several
  documents in one file are refused.
- Aliases are copies of what their anchor names, and all of them together have at most 10,000 values. What
  holds itself is refused.
- `true`, `false`, `null`, decimal, `0x` and `0o` integers of 64 bits, and floats (`1e-3` is one) are what the
  core schema says. A plain word that versions of YAML read differently is refused: `yes`, `on`, `1:30`,
  `0x_`, `017`, `1_000`, `2026-11-29`. In quotes it is text. Numbers of the core schema that YAML 1.1 takes
  for text are no such words, but numbers: `1e-3`, `0o17`, `-.5`.
- Size, depth and the length of numbers are limited.

Messages name file, line and key and never repeat what could be a password, see `hwnas.text.shown`.

Python 3.8 syntax, and PyYAML is imported where it is used: this module travels to boards.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from typing import Any, Dict, List, Mapping, NoReturn, Optional, Sequence, Tuple, Type, Union

from hwnas.errors import ConfigError, HwnasError
from hwnas.files import PathLike, read_plain_file, reason_of
from hwnas.text import excerpt, may_hold_secret, shown
from hwnas.yaml_files.words import AMBIGUOUS, BOOL, FLOAT, INT, NULL, OCTAL

MAX_BYTES = 1 << 20
MAX_DEPTH = 32
MAX_ALIASED_VALUES = 10_000
_MAX_NUMBER_LENGTH = 64
_MAX_BYTES_IN_PYTHON = 1 << 16
CORE_TAG = "tag:yaml.org,2002:"

Location = Tuple[Union[int, str], ...]
"""Keys and, in lists, positions that lead to a value."""

_NOT_PRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
# Python's names of bytes that are not UTF-8 in the name of a file; other surrogates name nothing.
_FORBIDDEN_IN_TEXT = re.compile("[\0\ud800-\udc7f\udd00-\udfff]")
_COMMENT_FOR_VALUE = re.compile(r"(?:[:,][ \t]+|[\[{][ \t]*)#\w")
_LINES_BEFORE = 10  # in which a comment can have hidden what the parser misses
_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]|\\U0000[dD][89a-fA-F]")


@dataclass(frozen=True)
class YamlDocument:
    """What a YAML file holds: `None`, truth values, numbers, text, lists and dicts with text keys.

    Attributes:
        path: of the file.
        value: what it holds; None for an empty file.
        lines: line, from 1, of every key and list item.
    """

    path: str
    value: Any
    lines: Mapping[Location, int] = field(repr=False)

    def line_of(self, location: Sequence[Union[int, str]]) -> int:
        """Return the line, from 1, of the deepest part of `location` that the file holds."""
        for length in range(len(location), 0, -1):
            line = self.lines.get(tuple(location[:length]))
            if line is not None:
                return line
        return self.lines.get((), 1)

    def at(self, location: Sequence[Union[int, str]]) -> str:
        """Return `FILE:LINE`, with which a message about a value begins; the name of what is no file."""
        return f"{self.path}:{self.line_of(location)}" if self.lines else os.path.basename(self.path)


def read_yaml(
    path: PathLike,
    *,
    error: Type[HwnasError] = ConfigError,
    max_bytes: int = MAX_BYTES,
    if_missing: str = "",
) -> YamlDocument:
    """Read a YAML file.

    Args:
        path: of the file.
        error: what is raised if it cannot be read.
        max_bytes: that it may have.
        if_missing: what the message adds where there is no such file.

    Raises:
        HwnasError: `error`, if the file is missing, not a plain file, too large, not UTF-8, not YAML, or
            holds what this module refuses; the message gives line and key.
    """
    name = os.fspath(path)
    try:
        content = read_plain_file(name, max_bytes)
    except OSError as problem:
        hint = f" {if_missing}" if if_missing and isinstance(problem, FileNotFoundError) else ""
        raise error(f"{name} cannot be read: {reason_of(problem)}.{hint}") from problem
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        line = content.count(b"\n", 0, problem.start) + 1
        raise error(
            f"{name}:{line}: expected UTF-8, found a byte that is not; save the file as UTF-8."
        ) from None
    return parse_yaml(text, name, error=error)


def parse_yaml(text: str, name: str, *, error: Type[HwnasError] = ConfigError) -> YamlDocument:
    """Read the text of a YAML file; `name` is how messages call the file.

    Raises:
        HwnasError: as `read_yaml`.
    """
    wrong = _NOT_PRINTABLE.search(text)
    if wrong:
        line = text.count("\n", 0, wrong.start()) + 1
        raise error(
            f"{name}:{line}: the character U+{ord(wrong.group()):04X} has no place in YAML; remove it."
        )
    import yaml

    composer = _Composer(name, error)
    try:
        for event in yaml.parse(text, Loader=_parser_for(text, name, error)):
            composer.take(event)
    except yaml.MarkedYAMLError as problem:
        mark = problem.problem_mark or problem.context_mark
        line = mark.line + 1 if mark is not None else 1
        hint = _hint_on_comments(text, line)
        raise error(f"{name}:{line}: not valid YAML: {_reason(problem)}.{hint}") from None
    except yaml.YAMLError:
        raise error(f"{name}: not valid YAML.") from None
    # An empty document has no value whose line could be noted.
    return YamlDocument(name, composer.value, {(): 1, **composer.lines})


def path_from(text: str, file: PathLike) -> str:
    """Return the absolute path that `text` means in a YAML file; `~` is the home directory.

    Args:
        text: the path as the file states it.
        file: the YAML file, whose directory relative paths count from.
    """
    directory = os.path.dirname(os.path.abspath(os.fspath(file)))
    return os.path.realpath(os.path.join(directory, os.path.expanduser(text)))


def _parser_for(text: str, name: str, error: Type[HwnasError]) -> Any:
    """Return PyYAML's parser in C where there is one; that in Python is ten times slower."""
    import yaml

    # The parser in C refuses the escapes with which names of files are written that are not UTF-8.
    if yaml.__with_libyaml__ and not _SURROGATE_ESCAPE.search(text):
        return yaml.CSafeLoader
    if yaml.__with_libyaml__ and len(text) > _MAX_BYTES_IN_PYTHON:
        raise error(
            f"{name} escapes characters that are not Unicode and is too long for that; write them plainly."
        )
    return yaml.SafeLoader


def _reason(problem: Any) -> str:
    """Return PyYAML's words, but none of the file's, which could be a secret."""
    words = (str(problem.problem or problem.context or "") or "unknown reason").splitlines()[0]
    quoted = re.compile(r"'[^']*'|\"[^\"]*\"")
    return quoted.sub(lambda match: match.group() if _IS_SYNTAX.fullmatch(match.group()) else "a word", words)


def _hint_on_comments(text: str, line: int) -> str:
    """Return what to do about a value such as `#808080`, which hides the bracket after it; else nothing.

    Args:
        text: of the file.
        line: from 1, where the parser gave up: not before what it missed.
    """
    lines = text.splitlines()[:line]
    for number in range(len(lines), max(0, len(lines) - _LINES_BEFORE), -1):
        if _COMMENT_FOR_VALUE.search(lines[number - 1]):
            return (
                f" In YAML, # begins a comment: put the value that begins with it in line {number} in quotes."
            )
    return ""


_UNFINISHED, _UNKNOWN = object(), object()
_IS_SYNTAX = re.compile(r"'<[a-z ]+>'|'.{1,3}'")


@dataclass
class _Frame:
    """A mapping or list that is being read."""

    value: Any
    anchor: Optional[str] = None
    key: Optional[str] = None
    seen: Dict[str, int] = field(default_factory=dict)


class _Composer:
    """Makes values of the parser's events, without recursion."""

    def __init__(self, name: str, error: Type[HwnasError]) -> None:
        self.value: Any = None
        self.lines: Dict[Location, int] = {}
        self._name = name
        self._error = error
        self._frames: List[_Frame] = []
        self._documents = 0
        self._anchored: Dict[str, Any] = {}
        self._aliased = 0

    def take(self, event: Any) -> None:
        import yaml

        line = event.start_mark.line + 1 if event.start_mark is not None else 1
        if isinstance(event, yaml.DocumentStartEvent):
            self._documents += 1
            if self._documents > 1:
                self._refuse(line, "a second document begins here; a file holds one")
        elif isinstance(event, yaml.AliasEvent):
            self._put(self._copied(event, line), line)
        elif isinstance(event, yaml.ScalarEvent):
            value = self._value_of(event, line)
            if event.anchor is not None:
                self._anchored[event.anchor] = value
            self._put(value, line)
        elif isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
            self._open(event, line)
        elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
            frame = self._frames.pop()
            if frame.anchor is not None:
                self._anchored[frame.anchor] = frame.value

    def _open(self, event: Any, line: int) -> None:
        is_mapping = type(event).__name__ == "MappingStartEvent"
        if event.tag not in (None, "!", CORE_TAG + ("map" if is_mapping else "seq")):
            self._refuse(line, "tags (!) of this kind are not read; remove it, or quote the text")
        if len(self._frames) >= MAX_DEPTH:
            self._refuse(line, f"nested more than {MAX_DEPTH} levels deep")
        value: Any = {} if is_mapping else []
        self._add(value, line)
        self._frames.append(_Frame(value, event.anchor))
        if event.anchor is not None:
            self._anchored[event.anchor] = _UNFINISHED

    def _copied(self, event: Any, line: int) -> Any:
        """Return a copy of what an alias means."""
        value = self._anchored.get(str(event.anchor), _UNKNOWN)
        if value is _UNKNOWN:
            self._refuse(line, "an alias (*) stands here whose anchor (&) does not; put text in quotes")
        if value is _UNFINISHED:
            self._refuse(line, "an alias (*) stands for what it is a part of; write the value out")
        return self._copy(value, len(self._frames), line)

    def _copy(self, value: Any, depth: int, line: int) -> Any:
        self._aliased += 1
        if self._aliased > MAX_ALIASED_VALUES:
            self._refuse(line, f"aliases (*) stand for more than {MAX_ALIASED_VALUES:,} values")
        if not isinstance(value, (dict, list)):
            return value
        if depth >= MAX_DEPTH:
            self._refuse(line, f"nested more than {MAX_DEPTH} levels deep")
        if isinstance(value, list):
            return [self._copy(item, depth + 1, line) for item in value]
        return {key: self._copy(item, depth + 1, line) for key, item in value.items()}

    def _put(self, value: Any, line: int) -> None:
        """Take a finished value, or a key where one is due."""
        frame = self._frames[-1] if self._frames else None
        if frame is None or not isinstance(frame.value, dict) or frame.key is not None:
            self._add(value, line)
            return
        key = value
        if not isinstance(key, str):
            self._refuse(line, f"the key {shown(key)} is not text; put it in quotes")
        if key in frame.seen:
            self._refuse(
                line, f"key {shown(key)} was already given in line {frame.seen[key]}; keep one of them"
            )
        frame.seen[key], frame.key = line, key
        self.lines[self._location()] = line

    def _add(self, value: Any, line: int) -> None:
        if not self._frames:
            self.value, self.lines[()] = value, line
            return
        frame = self._frames[-1]
        if isinstance(frame.value, list):
            frame.value.append(value)
            self.lines[self._location()] = line
        elif frame.key is None:
            self._refuse(line, "a mapping or list cannot be a key; expected text")
        else:
            frame.value[frame.key], frame.key = value, None

    def _location(self, *, is_next: bool = False) -> Location:
        """Return where the last value was put, or where the next goes."""
        parts: List[Union[int, str]] = []
        for number, frame in enumerate(self._frames):
            if isinstance(frame.value, list):
                is_last = number + 1 == len(self._frames)
                parts.append(len(frame.value) - (0 if is_next and is_last else 1))
            elif frame.key is not None:
                parts.append(frame.key)
            elif number + 1 < len(self._frames):  # the frame above is the value of the last key
                parts.append(next(reversed(frame.seen)))
        return tuple(parts)

    def _value_of(self, event: Any, line: int) -> Any:
        text, tag = event.value, event.tag
        if tag is None and event.implicit[0]:
            return self._plain(text, line)
        kind = "str" if tag in (None, "!") else str(tag)[len(CORE_TAG) :]
        if tag not in (None, "!") and (not str(tag).startswith(CORE_TAG) or kind not in _KINDS):
            self._refuse(line, "tags (!) of this kind are not read; remove it, or quote the text")
        if kind == "str":
            return self._text(text, line)
        pattern, what = _KINDS[kind]
        if not pattern.fullmatch(text):
            self._refuse(line, f"!!{kind} stands before {shown(text)}, which is not {what}")
        found = self._plain(text, line)
        return float(found) if kind == "float" else found

    def _plain(self, text: str, line: int) -> Any:
        """Return what a word without quotes means in the core schema."""
        if NULL.fullmatch(text):
            return None
        if BOOL.fullmatch(text):
            return text.lower() == "true"
        is_number = INT.fullmatch(text) or (FLOAT.fullmatch(text) and not OCTAL.fullmatch(text))
        if is_number:
            return self._number(text, line)
        for pattern, meaning, remedy in AMBIGUOUS:
            if pattern.fullmatch(text):
                word = excerpt(text, _MAX_NUMBER_LENGTH + 2)
                self._refuse(
                    line,
                    f"{word} without quotes is {meaning} in some versions of YAML and not in others; "
                    f"{remedy}, or put text in quotes",
                )
        return self._text(text, line)

    def _number(self, text: str, line: int) -> Union[int, float]:
        if len(text) > _MAX_NUMBER_LENGTH:
            self._refuse(
                line, f"a number of {len(text)} characters is too long; put it in quotes if it is text"
            )
        if INT.fullmatch(text):
            number = int(text, 8 if text[:2] == "0o" else 16 if text[:2] == "0x" else 10)
            if not -(1 << 63) <= number < 1 << 63:
                self._refuse(line, f"{text} does not fit into 64 bits; put it in quotes if it is text")
            return number
        value = float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
        if value in (float("inf"), float("-inf")) and "inf" not in text.lower():
            self._refuse(line, f"{text} is larger than any float; write .inf if that is meant")
        return value

    def _text(self, text: str, line: int) -> str:
        wrong = _FORBIDDEN_IN_TEXT.search(text)
        if wrong:
            self._refuse(line, f"the character U+{ord(wrong.group()):04X} has no place in text; remove it")
        return text

    def _refuse(self, line: int, what: str) -> NoReturn:
        location = self._location(is_next=True)
        key = ".".join(str(part) for part in location)
        where = f"`{key}`: " if location and len(key) <= 80 and not may_hold_secret(key) else ""
        raise self._error(f"{self._name}:{line}: {where}{what}.")


_KINDS = {
    "str": (re.compile(""), "text"),
    "null": (NULL, "null"),
    "bool": (BOOL, "true or false"),
    "int": (INT, "an integer"),
    "float": (FLOAT, "a number"),
}
