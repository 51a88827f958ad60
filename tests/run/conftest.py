from __future__ import annotations

from tests.search.conftest import tiny_plugin, tiny_site

__all__ = ["tiny_plugin", "tiny_site"]
