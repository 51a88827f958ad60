"""Keeps what torch's exporter makes anew for every export; a search exports every candidate.

The table of translations, which torch reads from its sources, says how each of its operators is written in
ONNX: to make it takes about 0.5 s, longer than the rest of the export of a small network. The list of
operators that are made of others takes a third of that rest.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

import torch

_LISTING = "_collect_all_valid_cia_ops"
_DISPATCH_KEY = "CompositeImplicitAutograd"

_exporting = threading.RLock()
_tables: dict[tuple[Any, ...], Any] = {}
_operators: dict[frozenset[str], Any] = {}


@contextlib.contextmanager
def translations_made_once() -> Iterator[None]:
    """Give exports of this thread within the block the table of an earlier one.

    It patches an internal of torch; with a release that lacks it, the table is made every time. Exports
    within the block must not add translations of their own.
    """
    try:
        from torch.onnx._internal.exporter._registration import ONNXRegistry
    except ImportError:
        yield
        return
    with _exporting:  # before the patched place is read: another thread may have patched it
        made = ONNXRegistry.__dict__.get("from_torchlib")
        if made is None:
            yield
            return
        owner = threading.get_ident()

        def from_torchlib(kind: type[Any], *arguments: Any, **options: Any) -> Any:
            make = made.__get__(None, kind)
            if threading.get_ident() != owner:
                return make(*arguments, **options)
            key = (arguments, *sorted(options.items()))
            if key not in _tables:
                _tables[key] = make(*arguments, **options)
            return _tables[key]

        ONNXRegistry.from_torchlib = classmethod(from_torchlib)  # type: ignore[method-assign,assignment]
        try:
            yield
        finally:
            ONNXRegistry.from_torchlib = made  # type: ignore[method-assign]


@contextlib.contextmanager
def operators_listed_once() -> Iterator[None]:
    """Give exports of this thread within the block the list of composite operators of an earlier one.

    torch lists them twice for every export, from all that it knows. Operators that are registered meanwhile
    are listed, too. It patches an internal of torch; with a release that lacks it, the list is made every
    time.
    """
    from torch.export import decomp_utils, exported_program

    registered = getattr(torch._C, "_dispatch_get_registrations_for_dispatch_key", None)  # noqa: SLF001
    with _exporting, contextlib.ExitStack() as undo:
        owner = threading.get_ident()
        for module in (decomp_utils, exported_program):
            make = vars(module).get(_LISTING)
            if make is None or registered is None:
                continue

            def listed(make: Callable[[], Any] = make) -> Any:
                if threading.get_ident() != owner:
                    return make()
                key = frozenset(registered(_DISPATCH_KEY))
                if key not in _operators:
                    _operators.clear()
                    _operators[key] = make()
                return _operators[key]

            undo.callback(setattr, module, _LISTING, make)
            setattr(module, _LISTING, listed)
        yield
