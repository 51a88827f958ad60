"""Pictures of segmented scans for people: range images and bird's-eye views, as PNG.

Python 3.8 syntax, numpy and Pillow only: `hwnas infer --picture` draws without torch.
"""

from __future__ import annotations

import io
from typing import List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from hwnas.data.label_maps import LabelMap
from hwnas.labels import IGNORED_LABEL
from hwnas.range_view.projection import RangeImage, label_image

Pixels = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.uint8]

_WIDTH_PX = 1536
_MARGIN_PX = 16
_TITLE_PX = 28
_STRIP_PX = 160
_AXIS_PX = 24
_BACKGROUND = (18, 20, 24)
_TEXT = (225, 228, 232)
_FAINT = (140, 146, 156)
_GRID = (44, 48, 55)
_IGNORED = (86, 90, 99)
_RIGHT = (70, 78, 88)
_WRONG = (255, 59, 48)
_EGO, _MARK = (255, 255, 255), (0, 229, 255)
_RANGE_COLOURS = ((255, 246, 200), (250, 190, 80), (205, 80, 110), (90, 50, 150), (35, 35, 85))
_MAX_RANGE_M = 60.0
_LEGEND_COLUMNS = 6
_EGO_LENGTH_M, _EGO_WIDTH_M = 4.4, 1.8
_LARGE, _SMALL = 16, 13
_PNG, _HEAD_BYTES = b"\x89PNG\r\n\x1a\n", 4096
_SOFTWARE = "hwnas"

_Titled = Tuple[str, Pixels]
_Legend = List[Tuple[str, Tuple[int, int, int]]]


class Mark(NamedTuple):
    """A named place in views from above.

    Attributes:
        name: what is written beside it.
        x_m: metres ahead.
        y_m: metres to the left.
    """

    name: str
    x_m: float
    y_m: float


def draw_segmentation(
    image: RangeImage,
    rows: Sequence[Tuple[str, Labels]],
    points: npt.NDArray[np.float32],
    label_map: LabelMap,
    *,
    truth: Optional[Labels] = None,
    radius_m: float = 40.0,
    views: Sequence[_Titled] = (),
    marks: Sequence[Mark] = (),
    notes: Sequence[str] = (),
) -> bytes:
    """Draw a scan: its range image, each labelling of it in range view and from above, and a legend.

    Strips have an axis of azimuth (0 degrees is straight ahead); views from above have circles of distance,
    a scale bar, the outline of a car around the sensor, and its way forward is up.

    Args:
        image: the projected scan.
        rows: titles and labels, train ids of points [N] or of pixels [H, W]; 255 is drawn grey.
        points: [N, 3], metres; the points of `image`.
        label_map: names and colours of the classes.
        truth: [N] train ids; if given, wrong pixels of the first row are drawn in red below the rows.
        radius_m: half the side of the bird's-eye views, metres.
        views: further views from above: titles and colours [N, 3] uint8 of points.
        marks: places to mark in views from above.
        notes: lines of text on top; cut off where they are longer than the picture is wide.

    Returns:
        A PNG file.
    """
    strips = [(f"Range, 0 to {_MAX_RANGE_M:.0f} m and more (bright is near)", _range_pixels(image))]
    strips += [(title, _label_pixels(labels, image, label_map)) for title, labels in rows]
    if truth is not None and rows:
        strips.append((f"Errors: {rows[0][0]}", _error_pixels(rows[0][1], truth, image)))
    coloured = [(title, _colour(_at_points(labels, image), label_map)) for title, labels in rows]
    above = [
        (f"{title}, from above", _bird_view(points, colours, radius_m, marks))
        for title, colours in [*coloured, *views]
    ]
    legend = [*_classes(label_map), ("ignored or unlabelled", _IGNORED)] if rows else []
    if truth is not None and rows:
        legend += [("right", _RIGHT), ("wrong", _WRONG)]
    return _compose(list(notes), strips, above, legend)


def _classes(label_map: LabelMap) -> _Legend:
    return [(name, label_map.colors[number]) for number, name in enumerate(label_map.class_names)]


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
    # Equal steps of colour are equal steps of the root of the range: near things differ most.
    share = np.sqrt(np.clip(image.channels[0] / _MAX_RANGE_M, 0.0, 1.0))
    stops = np.linspace(0.0, 1.0, len(_RANGE_COLOURS))
    bands = [np.interp(share, stops, [colour[band] for colour in _RANGE_COLOURS]) for band in range(3)]
    pixels = np.asarray(np.stack(bands, axis=-1), np.uint8)
    pixels[~image.valid] = _BACKGROUND
    return pixels


def _error_pixels(labels: Labels, truth: Labels, image: RangeImage) -> Pixels:
    said, right = _in_pixels(labels, image), label_image(truth, image)
    counted = image.valid & (right != IGNORED_LABEL)
    pixels = np.empty((*image.valid.shape, 3), np.uint8)
    pixels[:] = _BACKGROUND
    pixels[counted & (said == right)] = _RIGHT
    pixels[counted & (said != right)] = _WRONG
    return pixels


def _bird_view(
    points: npt.NDArray[np.float32], colours: Pixels, radius_m: float, marks: Sequence[Mark]
) -> Pixels:
    """Draw points from above, forward up and left to the left; the highest point wins a pixel."""
    side = (_WIDTH_PX - 3 * _MARGIN_PX) // 2
    canvas = Image.new("RGB", (side, side), _BACKGROUND)
    _draw_circles(canvas, radius_m)
    pixels = np.array(canvas)
    inside = np.isfinite(points).all(axis=1) & (np.abs(points[:, :2]) < radius_m).all(axis=1)
    order = np.flatnonzero(inside)[np.argsort(points[inside, 2], kind="stable")]
    scale = side / (2.0 * radius_m)
    row = np.clip(((radius_m - points[order, 0]) * scale).astype(np.int32), 0, side - 1)
    column = np.clip(((radius_m - points[order, 1]) * scale).astype(np.int32), 0, side - 1)
    # Two by two pixels a point, or distant rings would be too faint to see.
    for down, across in ((1, 1), (1, 0), (0, 1), (0, 0)):
        pixels[np.minimum(row + down, side - 1), np.minimum(column + across, side - 1)] = colours[order]
    canvas = Image.fromarray(pixels)
    _draw_ego(canvas, radius_m)
    for mark in marks:
        _draw_mark(canvas, mark, radius_m)
    _draw_scale(canvas, radius_m)
    return np.array(canvas)


def _circle_step_m(radius_m: float) -> float:
    return 10.0 if radius_m <= 60 else 50.0


def _draw_circles(canvas: Image.Image, radius_m: float) -> None:
    draw, middle = ImageDraw.Draw(canvas), canvas.width / 2
    step = _circle_step_m(radius_m)
    for number in range(1, int(np.ceil(1.42 * radius_m / step))):
        reach = number * step * middle / radius_m
        draw.ellipse((middle - reach, middle - reach, middle + reach, middle + reach), outline=_GRID)
    draw.line((middle, 0, middle, canvas.height), fill=_GRID)
    draw.line((0, middle, canvas.width, middle), fill=_GRID)


def _draw_ego(canvas: Image.Image, radius_m: float) -> None:
    """Outline a car around the sensor, its bow up, and a cross at 0 0 0."""
    draw, middle = ImageDraw.Draw(canvas), canvas.width / 2
    scale = middle / radius_m
    half_width, half_length = 0.5 * _EGO_WIDTH_M * scale, 0.5 * _EGO_LENGTH_M * scale
    bow = middle - half_length
    outline = [
        (middle - half_width, middle + half_length),
        (middle - half_width, bow + half_width),
        (middle, bow - 0.3 * half_width),
        (middle + half_width, bow + half_width),
        (middle + half_width, middle + half_length),
    ]
    draw.polygon(outline, outline=_EGO, width=2)
    draw.line((middle - 5, middle, middle + 5, middle), fill=_EGO, width=2)
    draw.line((middle, middle - 5, middle, middle + 5), fill=_EGO, width=2)
    _write(canvas, (round(middle) + 10, 2), "forward", _FAINT, _SMALL)
    draw.polygon([(middle, 4), (middle - 5, 16), (middle + 5, 16)], fill=_FAINT)


def _draw_mark(canvas: Image.Image, mark: Mark, radius_m: float) -> None:
    draw, middle = ImageDraw.Draw(canvas), canvas.width / 2
    x, y = (middle * (1.0 - value / radius_m) for value in (mark.y_m, mark.x_m))
    # What lies outside is marked at the edge.
    x, y = (float(np.clip(value, 8, canvas.width - 9)) for value in (x, y))
    draw.ellipse((x - 7, y - 7, x + 7, y + 7), outline=_MARK, width=2)
    draw.line((x - 11, y, x + 11, y), fill=_MARK, width=2)
    draw.line((x, y - 11, x, y + 11), fill=_MARK, width=2)
    width = _font(_SMALL).getlength(mark.name)
    left = x + 14 if x + 14 + width < canvas.width else x - 14 - width
    _write_on_plate(canvas, (round(left), round(y) - 22), mark.name, _MARK)


def _draw_scale(canvas: Image.Image, radius_m: float) -> None:
    draw, step = ImageDraw.Draw(canvas), _circle_step_m(radius_m)
    length = step * canvas.width / (2 * radius_m)
    left, bottom = 14, canvas.height - 16
    _write_on_plate(canvas, (left, bottom - 24), f"{step:.0f} m (circles: every {step:.0f} m)", _TEXT)
    draw.line((left, bottom, left + length, bottom), fill=_TEXT, width=3)
    for end in (left, left + length):
        draw.line((end, bottom - 5, end, bottom + 5), fill=_TEXT, width=2)


def _compose(notes: List[str], strips: List[_Titled], above: List[_Titled], legend: _Legend) -> bytes:
    side = above[0][1].shape[0] if above else 0
    height = 3 * _MARGIN_PX + len(notes) * _TITLE_PX + len(strips) * (_TITLE_PX + _STRIP_PX + _AXIS_PX)
    height += -(-len(above) // 2) * (_TITLE_PX + side)
    height += -(-len(legend) // _LEGEND_COLUMNS) * _TITLE_PX
    canvas = Image.new("RGB", (_WIDTH_PX, height), _BACKGROUND)
    top = _MARGIN_PX
    for note in notes:
        _write(canvas, (_MARGIN_PX, top), _fitting(note, _WIDTH_PX - 2 * _MARGIN_PX))
        top += _TITLE_PX
    top = _paste_strips(canvas, strips, top)
    top = _paste_views(canvas, above, top)
    _write_legend(canvas, legend, top + _MARGIN_PX)
    content = io.BytesIO()
    info = PngInfo()
    info.add_text("Software", _SOFTWARE)
    canvas.save(content, format="PNG", pnginfo=info)
    return content.getvalue()


def is_own_picture(content: bytes) -> bool:
    """Return whether a file is a picture that this module drew, not any other PNG."""
    return content.startswith(_PNG) and b"tEXtSoftware\0" + _SOFTWARE.encode() in content[:_HEAD_BYTES]


def _paste_strips(canvas: Image.Image, strips: List[_Titled], top: int) -> int:
    size = (_WIDTH_PX - 2 * _MARGIN_PX, _STRIP_PX)
    for title, pixels in strips:
        _write(canvas, (_MARGIN_PX, top + 2), title)
        strip = Image.fromarray(pixels).resize(size, Image.Resampling.NEAREST)
        canvas.paste(strip, (_MARGIN_PX, top + _TITLE_PX))
        top += _TITLE_PX + _STRIP_PX
        _draw_azimuths(canvas, top)
        top += _AXIS_PX
    return top


def _draw_azimuths(canvas: Image.Image, top: int) -> None:
    """Write azimuths under a strip: its middle is straight ahead, its left half lies to the left."""
    draw, width = ImageDraw.Draw(canvas), _WIDTH_PX - 2 * _MARGIN_PX
    for degrees, name in ((180, "behind"), (90, "left"), (0, "ahead"), (-90, "right"), (-180, "behind")):
        x = _MARGIN_PX + width * (0.5 - degrees / 360.0)
        draw.line((x, top, x, top + 5), fill=_FAINT)
        text = f"{degrees:+d}\u00b0 {name}" if degrees else f"0\u00b0 {name}"
        length = _font(_SMALL).getlength(text)
        left = min(max(x - length / 2, _MARGIN_PX), _MARGIN_PX + width - length)
        _write(canvas, (round(left), top + 4), text, _FAINT, _SMALL)


def _paste_views(canvas: Image.Image, views: List[_Titled], top: int) -> int:
    for first in range(0, len(views), 2):
        for place, (title, pixels) in enumerate(views[first : first + 2]):
            left = _MARGIN_PX + place * (pixels.shape[1] + _MARGIN_PX)
            _write(canvas, (left, top + 2), title)
            canvas.paste(Image.fromarray(pixels), (left, top + _TITLE_PX))
        top += _TITLE_PX + views[first][1].shape[0]
    return top


def _write_legend(canvas: Image.Image, legend: _Legend, top: int) -> None:
    column_px = (_WIDTH_PX - 2 * _MARGIN_PX) // _LEGEND_COLUMNS
    draw = ImageDraw.Draw(canvas)
    for number, (name, colour) in enumerate(legend):
        left = _MARGIN_PX + (number % _LEGEND_COLUMNS) * column_px
        line_top = top + (number // _LEGEND_COLUMNS) * _TITLE_PX
        draw.rectangle((left, line_top + 4, left + 14, line_top + 18), fill=colour, outline=_FAINT)
        _write(canvas, (left + 22, line_top), _fitting(name, column_px - 30))


def _fitting(text: str, width_px: int) -> str:
    """Return a text, cut off where it would run into the next column."""
    font = _font(_LARGE)
    if font.getlength(text) <= width_px:
        return text
    while text and font.getlength(text + "...") > width_px:
        text = text[:-1]
    return text + "..."


def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.load_default(size=size)  # type: ignore[return-value]


def _write_on_plate(
    canvas: Image.Image, place: Tuple[int, int], text: str, colour: Tuple[int, int, int]
) -> None:
    """Write on a dark plate, so that points behind the text do not hide it."""
    left, top = place
    width = _font(_SMALL).getlength(text)
    ImageDraw.Draw(canvas).rectangle((left - 3, top, left + width + 3, top + 17), fill=_BACKGROUND)
    _write(canvas, place, text, colour, _SMALL)


def _write(
    canvas: Image.Image,
    place: Tuple[int, int],
    text: str,
    colour: Tuple[int, int, int] = _TEXT,
    size: int = _LARGE,
) -> None:
    ImageDraw.Draw(canvas).text(place, text, fill=colour, font=_font(size))
