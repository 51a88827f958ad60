"""Images in many networks at once, one array element a network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.signedinteger[Any]]
Mask = npt.NDArray[np.bool_]
Index = npt.NDArray[np.signedinteger[Any]]


@dataclass(frozen=True)
class Images:
    """One image in each of n networks.

    Attributes:
        networks: numbers of the networks, [n].
        ids: numbers of the images; two references to one image share it, [n].
        channels: as the network means them, [n].
        height: rows, [n].
        width: columns, [n].
    """

    networks: Index
    ids: Index
    channels: Ints
    height: Ints
    width: Ints

    def take(self, where: Mask | Index) -> Images:
        """Return some of them."""
        return Images(
            self.networks[where], self.ids[where], self.channels[where], self.height[where], self.width[where]
        )

    def put(self, where: Mask | Index, other: Images) -> Images:
        """Return these, with those at `where` replaced."""

        def merged(own: Ints, new: Ints) -> Ints:
            result = own.copy()
            result[where] = new
            return result

        return Images(
            self.networks,
            merged(self.ids, other.ids),
            merged(self.channels, other.channels),
            merged(self.height, other.height),
            merged(self.width, other.width),
        )
