"""Names that tell files of labels from scans with the same ending."""

from __future__ import annotations

import re
from pathlib import PurePath

_LABELS = re.compile(r"(.*[._-])?(labels?|lidarseg|panoptic|semantic|semseg)", re.IGNORECASE)


def is_named_like_labels(path: PurePath) -> bool:
    """Return whether a file is named like one of labels, or a directory in its path is.

    Such are `labels/0.npy`, `0.label.npy` and `0_lidarseg.bin`.

    Args:
        path: as seen from the directory that holds the data.
    """
    return any(_LABELS.fullmatch(name) for name in (*path.parent.parts, path.stem))
