"""Errors that a user can act on.

Every message says what was expected, what was found and what to do about it.
The command line prints the message without a traceback and exits with `exit_code`.
Python 3.8 syntax: this module travels to boards.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import Iterable


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ` Did you mean 'NAME'?` with the nearest known name, for the end of a message; or nothing."""
    near = get_close_matches(name, list(known), n=1)
    return f" Did you mean {near[0]!r}?" if near else ""


class HwnasError(Exception):
    """Base of all errors raised on purpose; anything else is a defect in hwnas."""

    exit_code = 1


class ConfigError(HwnasError):
    """A run file, a setting or a command-line option is wrong."""

    exit_code = 2


class DataError(HwnasError):
    """A data set, a scan or a label file cannot be used as it is."""

    exit_code = 3


class ArchitectureError(HwnasError):
    """An architecture does not belong to the search space that was asked to use it."""


class TrainingError(HwnasError):
    """Training cannot go on, for instance because the loss is not a number."""


class MeasurementError(HwnasError):
    """A latency could not be measured, or what was measured is not a latency."""

    exit_code = 4


class TargetLostError(MeasurementError):
    """The target or the process that measures there is gone: cut off, killed or rebooted.

    The model is not to blame; measuring again after a reconnect may work.
    """


class TargetReplyError(TargetLostError):
    """The target answered what no answer may be: too much, of another form, or to another question.

    Whatever it says afterwards is not to be relied on, so its process is ended; a fresh one may do better.
    """


class TargetSilentError(MeasurementError):
    """The target did not answer in time; the model may hang there."""


class TargetUnreachableError(TargetLostError):
    """No connection to the target comes about; nothing was asked of it."""


class TooSlowError(MeasurementError):
    """A network cannot keep up with the rate that it is to be measured at: it has no such figure."""


class LatencyTableError(MeasurementError):
    """A latency table is damaged, or was measured on something else."""


class StudyError(HwnasError):
    """A study cannot be opened, resumed or continued."""

    exit_code = 5


class ExportError(HwnasError):
    """A network cannot be exported as asked."""

    exit_code = 6


class BundleError(HwnasError):
    """A bundle is incomplete, changed, or made for something else."""

    exit_code = 7


class VerificationError(HwnasError):
    """A bundle does not hold what its manifest promises."""

    exit_code = 8


class PluginError(HwnasError):
    """A plug-in is missing, registered twice, or fails to load."""

    exit_code = 9
