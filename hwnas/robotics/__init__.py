"""Robotics stacks from Python, without ROS: point-cloud messages, bags, and bundles run on both.

Neither torch nor a ROS installation is imported; bags need rosbags (`pip install 'hwnas[ros]'`),
and topics Cyclone DDS (`pip install 'hwnas[dds]'`).
"""

from hwnas.robotics.bags import Bag, BagTopic
from hwnas.robotics.cloud_making import (
    CloudHeader,
    cloud_of_columns,
    coloured_cloud,
    filtered_cloud,
    segmented_cloud,
)
from hwnas.robotics.cloud_points import CloudFields, CloudPoints, points_of_cloud
from hwnas.robotics.live_run import LiveOptions, LiveRun, LiveStatus, run_live
from hwnas.robotics.live_segmentation import LiveSegmentation, SegmentationSink
from hwnas.robotics.node_reports import Counts, NodeReport
from hwnas.robotics.node_settings import NodeSettings
from hwnas.robotics.point_cloud2 import MessageTypes, PointCloud2
from hwnas.robotics.point_fields import PointField
from hwnas.robotics.replay import ReplayOptions, replay
from hwnas.robotics.replay_results import RefusedScan, Replay, ReplayStatus, StepLatency
from hwnas.robotics.synthetic_drive import SyntheticDrive, synthesize_drive

__all__ = [
    "Bag",
    "BagTopic",
    "CloudFields",
    "CloudHeader",
    "CloudPoints",
    "Counts",
    "LiveOptions",
    "LiveRun",
    "LiveSegmentation",
    "LiveStatus",
    "MessageTypes",
    "NodeReport",
    "NodeSettings",
    "PointCloud2",
    "PointField",
    "RefusedScan",
    "Replay",
    "ReplayOptions",
    "ReplayStatus",
    "SegmentationSink",
    "StepLatency",
    "SyntheticDrive",
    "cloud_of_columns",
    "coloured_cloud",
    "filtered_cloud",
    "points_of_cloud",
    "replay",
    "run_live",
    "segmented_cloud",
    "synthesize_drive",
]
