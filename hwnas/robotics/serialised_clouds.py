"""Messages of ROS as bytes, by rosbags: clouds from them, and any message to them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hwnas.errors import PointCloudError
from hwnas.robotics.bag_types import errors_of_rosbags, rosbags_reason, typestore_of
from hwnas.robotics.point_cloud2 import TYPE_NAME, MessageTypes, PointCloud2

_NS_OF_2_32_S = 2**32 * 1_000_000_000


def cloud_of_bytes(content: bytes, *, is_ros1: bool = False) -> PointCloud2:
    """Return the cloud that a serialised message holds.

    Args:
        content: of the message, in CDR with its header of four bytes, or as ROS 1 serialises it.
        is_ros1: which of these.

    Raises:
        PointCloudError: if the bytes are no such message, or it is malformed.
    """
    store = typestore_of(is_ros1=is_ros1)
    read = store.deserialize_ros1 if is_ros1 else store.deserialize_cdr
    try:
        found = read(content, TYPE_NAME)
    except errors_of_rosbags() as error:
        raise PointCloudError(
            f"The message cannot be read as {TYPE_NAME}: {rosbags_reason(error)}. It was cut off, or is of "
            "another type."
        ) from error
    cloud = PointCloud2.from_message(found)
    if is_ros1 and cloud.stamp_ns < 0:  # rosbags reads seconds with a sign, those of ROS 1 have none
        cloud = replace(cloud, stamp_ns=cloud.stamp_ns + _NS_OF_2_32_S)
    return cloud


def bytes_of_cloud(cloud: PointCloud2) -> bytes:
    """Return a cloud as ROS 2 serialises it, in CDR with its header.

    Raises:
        PointCloudError: if the stamp is outside what a header holds.
    """
    store = typestore_of(is_ros1=False)
    return bytes(store.serialize_cdr(cloud.to_message(MessageTypes.of_rosbags(store)), TYPE_NAME))


def bytes_of_message(message: Any, type_name: str) -> bytes:
    """Return a message of the types of rosbags as ROS 2 serialises it."""
    return bytes(typestore_of(is_ros1=False).serialize_cdr(message, type_name))
