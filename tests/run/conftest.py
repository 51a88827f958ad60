from __future__ import annotations

from tests.search.conftest import forked_workers, tiny_plugin, tiny_site

__all__ = ["forked_workers", "tiny_plugin", "tiny_site"]
