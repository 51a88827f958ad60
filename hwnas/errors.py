"""Errors that a user can act on.

Every message says what was expected, what was found and what to do about it.
The command line prints the message without a traceback and exits with `exit_code`.
Python 3.8 syntax: this module travels to boards.
"""

from __future__ import annotations

import errno
import os
from difflib import get_close_matches
from typing import Iterable, Optional


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ` Did you mean 'NAME'?` with the nearest known name, for the end of a message; or nothing."""
    spellings = {one.lower(): one for one in known}
    near = get_close_matches(name.lower(), list(spellings), n=1)
    return f" Did you mean {spellings[near[0]]!r}?" if near else ""


class HwnasError(Exception):
    """Base of all errors raised on purpose; anything else is a defect in hwnas."""

    exit_code = 1


class ConfigError(HwnasError):
    """A run file, a setting or a command-line option is wrong."""

    exit_code = 2


class DataError(HwnasError):
    """A data set, a scan or a label file cannot be used as it is."""

    exit_code = 3


class PointCloudError(DataError):
    """A point-cloud message is malformed, or holds no points that can be used."""


class ArchitectureError(HwnasError):
    """An architecture does not belong to the search space that was asked to use it."""


class TrainingError(HwnasError):
    """Training cannot go on, for instance because the loss is not a number."""


class TrainingInterruptedError(TrainingError):
    """A training was stopped on request; its checkpoint is saved, and training again goes on from there."""


class MeasurementError(HwnasError):
    """A latency could not be measured, or what was measured is not a latency."""

    exit_code = 4


class ModelFileError(MeasurementError):
    """A model file, or a file beside it that holds its weights, cannot be used as it is."""


class TargetLostError(MeasurementError):
    """The target or the process that measures there is gone: cut off, killed or rebooted.

    The model is not to blame; measuring again after a reconnect may work.
    """


class TargetReplyError(TargetLostError):
    """The target sent an invalid reply: too large, malformed, or for another request.

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
    """A bundle does not hold what its manifest states."""

    exit_code = 8


class PluginError(HwnasError):
    """A plug-in is missing, registered twice, fails to load, or breaks its contract."""

    exit_code = 9


class EstimatorContractError(PluginError):
    """An estimator returned what it does not declare; asking it again would end the same way."""


class FileAccessError(HwnasError):
    """The operating system refuses a file or directory: the disk is full, a path cannot be used."""

    exit_code = 10


_REMEDIES = {
    errno.ENOSPC: (
        "the disk is full",
        "Make room (`df -h` shows where), then give the same command again; what was finished is kept.",
    ),
    errno.EDQUOT: (
        "the disk quota of this user is used up",
        "Free some of it, then give the same command again; what was finished is kept.",
    ),
    errno.EFBIG: (
        "the file would be larger than this process may write",
        "Raise the limit (`ulimit -f`), or use another file system.",
    ),
    errno.EROFS: ("the file system is read-only", "Mount it writable, or name another place."),
    errno.EACCES: ("permission is denied", "Check the permissions of the path and of what is above it."),
    errno.EPERM: ("the operation is not permitted", "Check the permissions and attributes of the path."),
    errno.EEXIST: (
        "something is there already where a directory is to be made",
        "Move it away, or name another place.",
    ),
    errno.ENOTDIR: (
        "a file is in the way where a directory must be",
        "Move it away, or name another place.",
    ),
    errno.EISDIR: ("a directory is in the way where a file must be", "Move it away, or name another place."),
    errno.ENOTEMPTY: ("a directory is in the way that is not empty", "Move it away, or name another place."),
    errno.ENAMETOOLONG: (
        "the name is too long for the file system",
        "Names may have 255 bytes on most, whole paths 4095; choose shorter ones.",
    ),
    errno.ENOENT: ("it does not exist", "Check how the path is written, and make the directory it is in."),
    errno.ELOOP: ("symbolic links lead in a circle", "Repair the links."),
    errno.EMFILE: ("this process has too many files open", "Raise the limit: `ulimit -n 4096`."),
    errno.ENFILE: ("the system has too many files open", "End other programs."),
    errno.EIO: ("the device reports an error", "Check the disk (`dmesg`), and use another one."),
    errno.ESTALE: ("the file server lost the file", "Mount it again."),
    errno.ENOMEM: ("memory has run out", "End other programs, or ask for fewer workers."),
    errno.EINVAL: ("it is not a kind of file that can be used so", "Name a regular file."),
    errno.ETXTBSY: ("the file is being executed", "End the program, or name another file."),
    errno.EBUSY: ("the path is in use by the system", "Name another place."),
}


def file_access_error(error: OSError) -> Optional[FileAccessError]:
    """Return what a user can do about an error of the operating system with a file; None for any other.

    Args:
        error: with the path, see `hwnas.files.naming`; writes to an open file have none by themselves.
    """
    path = error.filename2 or error.filename
    if isinstance(error, (ConnectionError, TimeoutError, ChildProcessError, ProcessLookupError)):
        return None
    known = _REMEDIES.get(error.errno or 0)
    if known is None and path is None:
        return None
    what, remedy = known or (error.strerror or str(error), "Name another place.")
    if path is None and "temporary directory" in str(error.strerror):  # by `tempfile`
        what, remedy = str(error.strerror), "Make room there, or name a directory with room in TMPDIR."
    where = repr(os.fsdecode(path)) if isinstance(path, (str, bytes)) else "A file"
    if path is None and error.errno == errno.ENOENT and _is_working_directory_gone():
        where, what = "The working directory", "it was removed"
        remedy = "Change to a directory that exists, then give the same command again."
    return FileAccessError(f"{where} cannot be used: {what}. {remedy}")


def _is_working_directory_gone() -> bool:
    try:
        os.getcwd()
    except FileNotFoundError:
        return True
    return False
