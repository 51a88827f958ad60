"""What JSON can hold, for values whose keys a plug-in, a board or a data set decides.

Python 3.8 syntax: this module travels to boards.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Union

JsonValue = Union[None, bool, int, float, str, Sequence["JsonValue"], Mapping[str, "JsonValue"]]

JsonObject = Mapping[str, JsonValue]
"""Values by their names."""
