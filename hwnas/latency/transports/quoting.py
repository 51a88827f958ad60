"""A command line that means the same to every login shell: sh, bash, zsh, fish, csh and tcsh.

SSH hands a command to the user's login shell as one text, and these agree on little. They do agree on
`sh -c '...'` where nothing between the quotes is a quote, an exclamation mark, a backslash or a line end; all
else is for `sh`, which every system has.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

_BARE = re.compile(r"[A-Za-z0-9_./=:,+@%-]+")
_IN_QUOTES = re.compile(r"[ #&()*,;<>?\[\]^{|}~A-Za-z0-9_./=:+@%-]*")
# Words that stand in no quotes are sent as hexadecimal digits, and Python starts itself again with them.
_AGAIN = (
    "import os, sys; os.execv(sys.executable, "
    "[sys.executable] + [os.fsdecode(bytes.fromhex(word[1:])) for word in sys.argv[1:]])"
)


def remote_command(python: str, arguments: Sequence[str]) -> str:
    """Return what runs a Python with arguments that reach it as they are, whatever the login shell.

    The shell stays until Python has ended: so the client learns which signal ended it, as 128 and its number.

    Args:
        python: name or path of the interpreter, of letters, digits and `/._+-`.
        arguments: any text without null characters.
    """
    words = [python, *(_quoted(argument) for argument in arguments)]
    if None in words:
        words = [python, "-c", f'"{_AGAIN}"', *("x" + os.fsencode(each).hex() for each in arguments)]
    line = " ".join(word for word in words if word is not None)
    return f"sh -c '{line}; exit $?'"


def _quoted(word: str) -> str | None:
    """Return a word for `sh`, None if it takes quotes that other shells misread."""
    if _BARE.fullmatch(word):
        return word
    return f'"{word}"' if _IN_QUOTES.fullmatch(word) else None
