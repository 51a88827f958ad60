"""The documentation site. `scripts/docs` builds it; CONTRIBUTING.md says why with Sphinx."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

from hwnas import __version__

project = "hwnas"
author = "the hwnas authors"
release = version = __version__
copyright = "the hwnas authors, Apache-2.0"  # noqa: A001 - Sphinx's name

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "reference_pages",
]
exclude_patterns = ["_ext"]
default_role = "code"  # docstrings write `name` as Markdown does
smartquotes = False
nitpicky = True
nitpick_ignore_regex = [("py:.*", r".*")]  # of types in signatures only what is documented here is linked

nb_execution_mode = "off"  # scripts/run_notebooks.py keeps what they print, and the tests run them
nb_merge_streams = True
suppress_warnings = ["mystnb.unknown_mime_type"]  # of plotly, which is there as HTML, too

myst_heading_anchors = 4
myst_enable_extensions = ["colon_fence", "deflist"]

add_module_names = False
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
napoleon_numpy_docstring = False

html_theme = "furo"
html_title = f"hwnas {version}"
html_static_path: list[str] = []
html_show_sphinx = False
html_copy_source = False
html_show_sourcelink = False
copybutton_prompt_text = r"\$ "
copybutton_prompt_is_regexp = True

linkcheck_timeout = 20
linkcheck_retries = 2
linkcheck_anchors = False
