"""Bags that were replayed, read by a library that hwnas does not write them with."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
from mcap.reader import make_reader
from mcap_ros2.decoder import DecoderFactory

from tests.robotics.bags import TOPIC

SEGMENTATION = f"{TOPIC}/segmentation"
SEEDS = (0, 1, 2)
"""Of the scans in a bag."""


def clouds_of(path: Path, topic: str) -> list[tuple[int, Any]]:
    """Return times of recording and messages of an MCAP file, read by mcap, which checks every checksum."""
    with path.open("rb") as stream:
        reader = make_reader(stream, validate_crcs=True, decoder_factories=[DecoderFactory()])
        return [
            (message.log_time, ros) for _, _, message, ros in reader.iter_decoded_messages(topics=[topic])
        ]


def types_of(path: Path) -> dict[str, str]:
    """Return topics and types of an MCAP file, read by mcap."""
    with path.open("rb") as stream:
        summary = make_reader(stream).get_summary()
        assert summary is not None
        return {one.topic: summary.schemas[one.schema_id].name for one in summary.channels.values()}


def column(message: Any, name: str) -> np.ndarray:
    """Read a field of a message with struct, point by point."""
    field = next(one for one in message.fields if one.name == name)
    code = {2: "B", 7: "f"}[field.datatype]
    data = bytes(message.data)
    count = message.height * message.width
    return np.array(
        [struct.unpack_from("<" + code, data, n * message.point_step + field.offset)[0] for n in range(count)]
    )
