"""The class of a registered backend, checked before anything runs on a target."""

from __future__ import annotations

from typing import Any

from hwnas.latency.backends.base import Backend
from hwnas.plugins import check_interface, find_plugin, load_plugin, wrong

GROUP = "hwnas.backends"


def backend_class(name: str) -> Any:
    """Return the class that is registered as the backend `name`.

    Raises:
        PluginError: if there is none, it cannot be imported, or lacks what `Backend` asks for.
    """
    plugin = find_plugin(GROUP, name)
    found: Any = load_plugin(GROUP, name)
    if not isinstance(found, type):
        raise wrong(plugin, plugin.attribute, "be a class", f"is {type(found).__name__}")
    check_interface(plugin, found, Backend)
    options = found.OPTIONS  # type: ignore[attr-defined]  # it is there, as checked
    if not all(isinstance(key, str) and isinstance(text, str) for key, text in dict(options).items()):
        raise wrong(plugin, "OPTIONS", "map names of options to what they mean", f"is {options!r}")
    return found
