"""Raw SemanticKITTI class ids that the synthetic scenes use: the first raw id of each of the 19 classes."""

from __future__ import annotations

CAR = 10
BICYCLE = 11
MOTORCYCLE = 15
TRUCK = 18
OTHER_VEHICLE = 20
PERSON = 30
BICYCLIST = 31
MOTORCYCLIST = 32
ROAD = 40
PARKING = 44
SIDEWALK = 48
OTHER_GROUND = 49
BUILDING = 50
FENCE = 51
VEGETATION = 70
TRUNK = 71
TERRAIN = 72
POLE = 80
TRAFFIC_SIGN = 81
OTHER_OBJECT = 99  # bins, benches, boxes: not one of the 19 classes
