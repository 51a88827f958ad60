"""Tables for notebooks, by pandas where it is installed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from hwnas.errors import PluginError

if TYPE_CHECKING:
    import pandas as pd


def data_frame(rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Return a table with one row for each mapping of columns to values.

    Raises:
        PluginError: if pandas is not installed.
    """
    try:
        import pandas as pd
    except ImportError as error:
        raise PluginError(
            "A data frame needs pandas, which is not installed: `pip install 'hwnas[notebook]'`."
        ) from error
    return pd.DataFrame(list(rows))
