"""Keeps the exporter's table of translations, which torch reads anew from its sources for every export.

It says how each operator of torch is written in ONNX. To make it takes about 0.5 s, longer than the rest of
the export of a small network; a search exports every candidate.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

_exporting = threading.RLock()
_tables: dict[tuple[Any, ...], Any] = {}


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
