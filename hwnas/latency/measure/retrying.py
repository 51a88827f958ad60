"""Measures again after the connection to a target was lost."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from hwnas.errors import TargetLostError, TargetUnreachableError

MAX_LOSSES = 3
"""A measurement that loses its target so often in a row is given up: it may be what brings it down."""
MAX_UNREACHABLE_S = 150.0
"""How long a lost target is waited for; boards take a minute or two to boot."""
_WAITS_S = (1.0, 2.0, 4.0, 8.0, 15.0)

_log = logging.getLogger(__name__)
_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


def again_when_lost(
    measure: Callable[_Arguments, _Result],
    *,
    max_losses: int = MAX_LOSSES,
    max_unreachable_s: float = MAX_UNREACHABLE_S,
    sleep: Callable[[float], None] = time.sleep,
) -> Callable[_Arguments, _Result]:
    """Return `measure` with patience: a lost target is waited for and measured anew from the beginning.

    The agents that a new attempt starts take the target's fingerprint again, so a board that came back
    different ends it with what differs.

    Args:
        measure: starts agents of its own in every call.
        max_losses: attempts that may end by losing a target that had been reached.
        max_unreachable_s: how long a target may stay out of reach after a loss.
        sleep: waits some seconds.
    """

    @wraps(measure)
    def patient(*args: _Arguments.args, **kwargs: _Arguments.kwargs) -> _Result:
        losses, tries, deadline = 0, 0, time.monotonic() + max_unreachable_s
        while True:
            try:
                return measure(*args, **kwargs)
            except TargetUnreachableError as error:
                tries += 1
                if time.monotonic() > deadline:
                    raise
                reason = str(error)
            except TargetLostError as error:
                losses, tries, deadline = losses + 1, 0, time.monotonic() + max_unreachable_s
                if losses >= max_losses:
                    raise type(error)(f"{error} This was the last of {losses} attempts.") from error
                reason = str(error)
            wait_s = _WAITS_S[min(tries, len(_WAITS_S) - 1)]
            _log.warning("%s Trying again in %g s.", reason, wait_s)
            sleep(wait_s)

    return patient
