"""Pictures of segmented scans for people: range images and bird's-eye views, as PNG.

Python 3.8 syntax, numpy and Pillow only: `hwnas infer --picture` draws without torch.
"""

from __future__ import annotations

import io
from typing import List, Optional, Sequence, Tuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from hwnas.data.label_maps import LabelMap
from hwnas.data.projection import RangeImage, label_image
from hwnas.data.scan import IGNORED_LABEL

Pixels = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.uint8]

_WIDTH_PX = 1536
_MARGIN_PX = 16
_TITLE_PX = 26
_STRIP_PX = 160
_BACKGROUND = (18, 20, 24)
_TEXT = (225, 228, 232)
_IGNORED = (48, 51, 58)
_RIGHT = (70, 78, 88)
_WRONG = (255, 59, 48)
_NEAR, _FAR = (255, 240, 180), (40, 50, 90)
_MAX_RANGE_M = 60.0
_LEGEND_COLUMNS = 6

_Titled = Tuple[str, Pixels]


def draw_segmentation(
    image: RangeImage,
    rows: Sequence[Tuple[str, Labels]],
    points: npt.NDArray[np.float32],
    label_map: LabelMap,
    *,
    truth: Optional[Labels] = None,
    radius_m: float = 40.0,
) -> bytes:
    """Draw a scan: its range image, each labelling of it in range view and from above, and a legend.

    Args:
        image: the projected scan.
        rows: titles and labels, train ids of points [N] or of pixels [H, W]; 255 is drawn grey.
        points: [N, 3], metres; the points of `image`.
        label_map: names and colours of the classes.
        truth: [N] train ids; if given, wrong pixels of the first row are drawn in red below the rows.
        radius_m: half the side of the bird's-eye views, metres.

    Returns:
        A PNG file.
    """
    strips = [("Range", _range_pixels(image))]
    strips += [(title, _label_pixels(labels, image, label_map)) for title, labels in rows]
    if truth is not None and rows:
        strips.append((f"Errors: {rows[0][0]}", _error_pixels(rows[0][1], truth, image)))
    above = [
        (f"{title}, from above", _bird_view(points, _at_points(labels, image), label_map, radius_m))
        for title, labels in rows
    ]
    return _compose(strips, above, label_map)


def _in_pixels(labels: Labels, image: RangeImage) -> Labels:
    if labels.ndim == 1:
        return label_image(labels, image)
    return np.where(image.valid, labels, np.uint8(IGNORED_LABEL))


def _at_points(labels: Labels, image: RangeImage) -> Labels:
    return labels if labels.ndim == 1 else labels[image.row, image.column]


def _palette(label_map: LabelMap) -> Pixels:
    palette = np.empty((256, 3), np.uint8)
    palette[:] = _IGNORED
    palette[: label_map.num_classes] = np.asarray(label_map.colors, np.uint8)
    return palette


def _colour(labels: Labels, label_map: LabelMap) -> Pixels:
    return np.asarray(_palette(label_map)[labels], np.uint8)


def _label_pixels(labels: Labels, image: RangeImage, label_map: LabelMap) -> Pixels:
    pixels = _colour(_in_pixels(labels, image), label_map)
    pixels[~image.valid] = _BACKGROUND
    return pixels


def _range_pixels(image: RangeImage) -> Pixels:
    nearness = 1.0 - np.sqrt(np.clip(image.channels[0] / _MAX_RANGE_M, 0.0, 1.0))
    near, far = np.asarray(_NEAR, np.float32), np.asarray(_FAR, np.float32)
    pixels = np.asarray(far + (near - far) * nearness[..., None], np.uint8)
    pixels[~image.valid] = _BACKGROUND
    return pixels


def _error_pixels(labels: Labels, truth: Labels, image: RangeImage) -> Pixels:
    said, right = _in_pixels(labels, image), label_image(truth, image)
    judged = image.valid & (right != IGNORED_LABEL)
    pixels = np.empty((*image.valid.shape, 3), np.uint8)
    pixels[:] = _BACKGROUND
    pixels[judged & (said == right)] = _RIGHT
    pixels[judged & (said != right)] = _WRONG
    return pixels


def _bird_view(
    points: npt.NDArray[np.float32], labels: Labels, label_map: LabelMap, radius_m: float
) -> Pixels:
    """Draw points from above, forward up and left to the left; the highest point wins a pixel."""
    side = (_WIDTH_PX - 3 * _MARGIN_PX) // 2
    pixels = np.empty((side, side, 3), np.uint8)
    pixels[:] = _BACKGROUND
    inside = np.isfinite(points).all(axis=1) & (np.abs(points[:, :2]) < radius_m).all(axis=1)
    order = np.flatnonzero(inside)[np.argsort(points[inside, 2], kind="stable")]
    scale = side / (2.0 * radius_m)
    row = np.clip(((radius_m - points[order, 0]) * scale).astype(np.int32), 0, side - 1)
    column = np.clip(((radius_m - points[order, 1]) * scale).astype(np.int32), 0, side - 1)
    colours = _colour(labels[order], label_map)
    # Two by two pixels a point, or distant rings would be too faint to see.
    for down, across in ((1, 1), (1, 0), (0, 1), (0, 0)):
        pixels[np.minimum(row + down, side - 1), np.minimum(column + across, side - 1)] = colours
    return pixels


def _compose(strips: List[_Titled], above: List[_Titled], label_map: LabelMap) -> bytes:
    side = above[0][1].shape[0] if above else 0
    height = 3 * _MARGIN_PX + len(strips) * (_TITLE_PX + _STRIP_PX)
    height += -(-len(above) // 2) * (_TITLE_PX + side)
    height += -(-label_map.num_classes // _LEGEND_COLUMNS) * _TITLE_PX
    canvas = Image.new("RGB", (_WIDTH_PX, height), _BACKGROUND)
    top = _paste_strips(canvas, strips, _MARGIN_PX)
    top = _paste_views(canvas, above, top)
    _write_legend(canvas, label_map, top + _MARGIN_PX)
    content = io.BytesIO()
    canvas.save(content, format="PNG")
    return content.getvalue()


def _paste_strips(canvas: Image.Image, strips: List[_Titled], top: int) -> int:
    size = (_WIDTH_PX - 2 * _MARGIN_PX, _STRIP_PX)
    for title, pixels in strips:
        _write(canvas, (_MARGIN_PX, top + 2), title)
        strip = Image.fromarray(pixels).resize(size, Image.Resampling.NEAREST)
        canvas.paste(strip, (_MARGIN_PX, top + _TITLE_PX))
        top += _TITLE_PX + _STRIP_PX
    return top


def _paste_views(canvas: Image.Image, views: List[_Titled], top: int) -> int:
    for first in range(0, len(views), 2):
        for place, (title, pixels) in enumerate(views[first : first + 2]):
            left = _MARGIN_PX + place * (pixels.shape[1] + _MARGIN_PX)
            _write(canvas, (left, top + 2), title)
            canvas.paste(Image.fromarray(pixels), (left, top + _TITLE_PX))
        top += _TITLE_PX + views[first][1].shape[0]
    return top


def _write_legend(canvas: Image.Image, label_map: LabelMap, top: int) -> None:
    column_px = (_WIDTH_PX - 2 * _MARGIN_PX) // _LEGEND_COLUMNS
    draw = ImageDraw.Draw(canvas)
    for number, name in enumerate(label_map.class_names):
        left = _MARGIN_PX + (number % _LEGEND_COLUMNS) * column_px
        line_top = top + (number // _LEGEND_COLUMNS) * _TITLE_PX
        draw.rectangle((left, line_top + 4, left + 14, line_top + 18), fill=label_map.colors[number])
        _write(canvas, (left + 22, line_top), name)


def _write(canvas: Image.Image, place: Tuple[int, int], text: str) -> None:
    ImageDraw.Draw(canvas).text(place, text, fill=_TEXT, font=ImageFont.load_default(size=16))
