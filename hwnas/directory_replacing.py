"""Puts a directory into the place of another, so that there is a whole one at every moment."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

_AT_FDCWD, _RENAME_EXCHANGE = -100, 2
# What is answered where the kernel or the file system cannot exchange two names.
_CANNOT = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EPERM)


def replace_directory(made: Path, path: Path) -> None:
    """Move a directory to a place where nothing or another directory is; of that one nothing is left there.

    Where both can be exchanged at once (renameat2(2) of Linux), the one before is then where the new one was.
    Elsewhere it waits beside its place, as `NAME.former-...`, until the new one is there; a kill in between
    leaves it under that name.

    Args:
        made: the new one; on the same file system.
        path: its place.

    Raises:
        OSError: if it cannot be moved; then what was there is there again.
    """
    if not os.path.lexists(path):
        made.rename(path)
        return
    if _exchange(made, path):
        return
    former = Path(tempfile.mkdtemp(prefix=f"{path.name}.former-", dir=path.parent))
    try:
        path.rename(former)
        made.rename(path)
    except BaseException:
        if not os.path.lexists(path):
            former.rename(path)
        raise
    finally:
        if os.path.lexists(path):
            shutil.rmtree(former, ignore_errors=True)


def _exchange(one: Path, other: Path) -> bool:
    """Let two names change places at once; return False where that cannot be done.

    Raises:
        OSError: if it is refused for another reason.
    """
    renameat2 = _renameat2()
    if renameat2 is None:
        return False
    result = renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE)
    if result == 0:
        return True
    code = ctypes.get_errno()
    if code in _CANNOT:
        return False
    raise OSError(code, os.strerror(code), str(one), None, str(other))


@cache
def _renameat2() -> Any:
    """Return the function of the C library; None where it has none."""
    if sys.platform != "linux":
        return None
    function = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if function is not None:
        function.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)
    return function
