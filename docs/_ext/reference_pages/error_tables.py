"""Exit codes and error classes, from `hwnas.errors`."""

from __future__ import annotations

import inspect

from hwnas import errors
from reference_pages.markdown import code, prose, table

SIGNALS = (
    (0, "", "Everything went well."),
    (129, "", "The terminal hung up (SIGHUP)."),
    (130, "", "Interrupted (Ctrl-C, SIGINT). The same command goes on; `search` with `--resume`."),
    (143, "", "Terminated (SIGTERM)."),
)


def error_classes() -> list[type[errors.HwnasError]]:
    """Return the errors of the project, each after what it is a kind of."""
    found = [
        each for _, each in inspect.getmembers(errors, inspect.isclass) if issubclass(each, errors.HwnasError)
    ]
    return sorted(found, key=lambda each: (each.exit_code, len(each.__mro__), each.__name__))


def exit_codes() -> str:
    """Return a table of exit codes with the errors that end so."""
    rows = [(code, name, meaning) for code, name, meaning in SIGNALS]
    rows += [
        (each.exit_code, code(each.__name__), _summary(each))
        for each in error_classes()
        if each.exit_code
        not in {base.exit_code for base in each.__mro__[1:] if issubclass(base, errors.HwnasError)}
    ]
    return table(
        ("exit code", "error", "meaning"), [(str(code), name, text) for code, name, text in sorted(rows)]
    )


def error_list() -> str:
    """Return every error class with what it says of itself."""
    rows = [
        (
            code(each.__name__),
            code(each.__bases__[0].__name__),
            str(each.exit_code),
            prose(each.__doc__ or ""),
        )
        for each in error_classes()
    ]
    return table(("class", "is a", "exit code", "meaning"), rows)


def _summary(error: type) -> str:
    return prose(error.__doc__ or "").split("\n\n")[0]
