"""What a target may answer. It may be misconfigured, damaged or hostile: nothing it says is used unchecked.

Sizes are checked before the JSON is parsed, since a list of empty lists takes thirty times the memory that
its text does; then the form, by a schema for each operation; then the counts, by what was asked for.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from hwnas.errors import TargetReplyError
from hwnas.latency.transports.reply_forms import (
    MAX_TEXT,
    Error,
    FixedRate,
    Heartbeat,
    Rule,
    Stored,
    Wanted,
    count_of,
    rule_of,
)
from hwnas.text import excerpt, shortened, visible

REQUEST = "request"
"""Key under which a reply repeats the number of its request."""
HEARTBEAT = "heartbeat"
"""Key of a message that says that a request is still being worked on."""
_SHORT_REASON = 20
MAX_DEPTH = 12
_BYTES_PER_SAMPLE = 32


def limit_bytes(operation: str, arguments: Mapping[str, Any]) -> int:
    """Return how many bytes the reply to a request may have."""
    rule = rule_of(operation)
    return rule.size_bytes + _BYTES_PER_SAMPLE * rule.count(arguments)


def checked_reply(
    operation: str, arguments: Mapping[str, Any], number: int, line: bytes, target: str
) -> dict[str, Any]:
    """Return a reply to a request: a message that it is worked on, an error, or the result.

    Args:
        operation: that was asked for.
        arguments: of it.
        number: of the request.
        line: of the answer.
        target: how errors name it.

    Raises:
        TargetReplyError: if it is no such reply, saying what was expected and what was found.
    """
    rule = rule_of(operation)
    where = f"{target} must answer {operation!r}"
    reply = _parsed(where, line, rule.nodes + rule.count(arguments))
    answered = reply.pop(REQUEST, None)
    if type(answered) is not int or answered != number:
        raise TargetReplyError(
            f"{where} with the number of the request, {number}, but wrote {excerpt(line)}. Its answers are "
            "out of order, or of another version of hwnas."
        )
    if HEARTBEAT in reply:
        _check_form(where, Heartbeat, reply)
        return reply
    if "error" in reply:
        _check_form(where, Error, reply)
        return {"error": _reason(where, reply)}
    _check_form(where, rule.form, reply)
    _check_counts(where, rule, arguments, reply)
    return reply


def checked_upload_reply(line: bytes, target: str) -> dict[str, Any]:
    """Return what the far end of an upload says: `path`, `send` or `error`; nothing for an empty line.

    Raises:
        TargetReplyError: if it is none of these.
    """
    if not line:
        return {}
    where = f"{target} must answer an upload"
    try:
        reply = _parsed(where, line, 10)
    except TargetReplyError as error:
        raise TargetReplyError(
            f"{error} Its login scripts may print; they must be silent when nobody sits at a terminal."
        ) from error
    if "error" in reply:
        _check_form(where, Error, reply)
        return {"error": _reason(where, reply)}
    _check_form(where, Wanted if "send" in reply else Stored, reply)
    return reply


def _reason(where: str, reply: Mapping[str, Any]) -> str:
    """Return why a request was refused, shortened; with our words where the target's say next to nothing."""
    reason = shortened(reply["error"].strip(), MAX_TEXT)
    if len(reason) >= _SHORT_REASON:
        return reason
    return f"{where}, but refused: {reason or 'no reason was given'}."


def _parsed(where: str, line: bytes, most_nodes: int) -> dict[str, Any]:
    # Every value but the first stands behind one of these; in a text they count too, which is few.
    if line.count(b",") + line.count(b"[") + line.count(b"{") > most_nodes:
        raise TargetReplyError(f"{where} with at most {most_nodes} values, but wrote {excerpt(line)}.")
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise TargetReplyError(
            f"{where} in JSON, but wrote {excerpt(line)}. The agent on the target does not fit this version "
            "of hwnas."
        ) from error
    if not isinstance(value, dict):
        raise TargetReplyError(f"{where} with a JSON object, but wrote {excerpt(line)}.")
    for key in ("error", HEARTBEAT):
        if isinstance(value.get(key), str):
            value[key] = visible(value[key])  # may name a file whose name is not UTF-8
    _check_values(where, value)
    return value


def _check_values(where: str, value: Any) -> None:
    """Refuse what JSON can hold but our files cannot, wherever it stands."""
    left: list[tuple[Any, int]] = [(value, 1)]
    while left:
        found, depth = left.pop()
        if isinstance(found, (dict, list)):
            if depth > MAX_DEPTH:
                raise TargetReplyError(
                    f"{where} with at most {MAX_DEPTH} levels, but wrote {excerpt(value)}."
                )
            inside = [*found, *found.values()] if isinstance(found, dict) else found
            left.extend((each, depth + 1) for each in inside)
        elif isinstance(found, float):
            if not math.isfinite(found):
                raise TargetReplyError(f"{where} with finite numbers, but wrote {found!r}.")
        elif isinstance(found, str):
            # A half of a surrogate pair cannot be written to any file.
            if not found.isascii() and any("\ud800" <= character <= "\udfff" for character in found):
                raise TargetReplyError(f"{where} with text of whole characters, but wrote {excerpt(found)}.")
        elif isinstance(found, int) and abs(found) >= 1 << 64:
            raise TargetReplyError(f"{where} with whole numbers of 64 bits, but wrote a longer one.")


def _check_form(where: str, form: type[BaseModel], reply: Mapping[str, Any]) -> None:
    try:
        form.model_validate(reply)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        expected = str(first["msg"]).replace("Input should be", "must be").replace("Input", "it")
        raise TargetReplyError(
            f"{where} in the form {form.__name__.strip('_')}, but {excerpt(place)} is "
            f"{excerpt(first['input'])}: {expected}."
        ) from error


def _check_counts(where: str, rule: Rule, arguments: Mapping[str, Any], reply: Mapping[str, Any]) -> None:
    wanted = count_of(arguments)
    wrong = {name: len(reply[name]) for name in rule.lists if len(reply[name]) != wanted}
    if wrong:
        raise TargetReplyError(f"{where} with {wanted} samples of each kind, but wrote {wrong}.")
    if rule.form is FixedRate and len(reply["samples_ms"]) != len(reply["lateness_ms"]):
        raise TargetReplyError(
            f"{where} with a lateness for every sample, but wrote {len(reply['samples_ms'])} samples and "
            f"{len(reply['lateness_ms'])} latenesses."
        )
