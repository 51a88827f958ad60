"""Drawings of architectures as SVG, made from the blocks that a search space lists."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from zlib import crc32

from hwnas.report.words import escape
from hwnas.search_spaces.base import BlockSignature

Shape = tuple[int, int, int]

_PITCH_X, _PITCH_Y = 178.0, 108.0
_MARGIN_X, _MARGIN_TOP = 90.0, 40.0
_LINE_PX = 14.0
_LONGEST_NAME = 24
"""Characters of a name that fit between two columns."""
_COLOURS = ("#3b7dd8", "#e08a1e", "#2a9d6f", "#b0529e", "#d1495b", "#6c63c7", "#7a8450", "#1f9bb0")


@dataclass(frozen=True)
class Part:
    """One box: a block, or several equal ones in a row.

    Attributes:
        block: the first of them.
        repeats: how many there are.
        sources: indices of the parts whose outputs it reads, in the order of its inputs; -1 is the
            network's input, None an input that no earlier part makes.
    """

    block: BlockSignature
    repeats: int
    sources: tuple[int | None, ...]


@dataclass(frozen=True)
class _Box:
    x: float
    y: float
    width: float
    height: float
    out_y: float
    """Height at which its output leaves."""

    @property
    def left(self) -> float:
        return self.x - self.width / 2

    @property
    def right(self) -> float:
        return self.x + self.width / 2

    @property
    def top(self) -> float:
        return self.y - self.height / 2

    @property
    def bottom(self) -> float:
        return self.y + self.height / 2


def parts_of(blocks: Sequence[BlockSignature]) -> list[Part]:
    """Return blocks as parts: equal blocks in a row joined, every input traced to the part that makes it."""
    parts: list[Part] = []
    for block in blocks:
        if parts and _continues(parts[-1].block, block):
            last = parts[-1]
            parts[-1] = Part(last.block, last.repeats + 1, last.sources)
        else:
            parts.append(Part(block, 1, _sources(parts, block)))
    return parts


def _continues(first: BlockSignature, block: BlockSignature) -> bool:
    """Whether a block repeats one at the same resolution; only the first of them may have strides."""
    return (
        block.kind == first.kind
        and block.input_shapes == (first.output_shape,)
        and block.output_shape == first.output_shape
        and _settings(block, without="stride") == _settings(first, without="stride")
    )


def _settings(block: BlockSignature, *, without: str) -> dict[str, object]:
    return {name: value for name, value in block.settings if name != without}


def _sources(parts: Sequence[Part], block: BlockSignature) -> tuple[int | None, ...]:
    free = list(range(len(parts)))
    sources: list[int | None] = []
    # The deepest input is the last: taken from the end, each finds the latest part that fits.
    for shape in reversed(block.input_shapes):
        made = [index for index, part in enumerate(parts) if part.block.output_shape == shape]
        fitting = [index for index in made if index in free]
        if fitting:
            sources.append(fitting[-1])
            free.remove(fitting[-1])
        elif made:
            # Two stages in a row that do the same were joined: both levels come from one part.
            sources.append(made[-1])
        else:
            sources.append(None if parts else -1)
    return tuple(reversed(sources))


def draw_architecture(blocks: Sequence[BlockSignature], *, title: str, kinds: Sequence[str]) -> str:
    """Return an SVG element: resolution falls from top to bottom, execution runs from left to right.

    The height of a box hints at its resolution, its width at its channels. Boxes with several
    inputs span the resolutions that they join.

    Args:
        blocks: of the network, in order of execution; not empty.
        title: for screen readers.
        kinds: all kinds of blocks of a page, so that a kind has one colour in all its drawings.
    """
    parts = parts_of(blocks)
    source = blocks[0].input_shapes[0]
    rows = _rows([source, *(part.block.output_shape for part in parts)])
    boxes = _place(parts, source, rows)
    columns = len(parts) + 1
    width = 2 * _MARGIN_X + (columns - 1) * _PITCH_X
    lowest = max(box.bottom for box in boxes)
    height = lowest + 5 * _LINE_PX + 4
    # An id of its own: a marker that another, folded drawing defines would not show.
    tip = f"tip-{crc32(title.encode()):08x}"
    body = [
        *_edges(parts, boxes, tip),
        _box_svg(boxes[0], "#8a94a3"),
        *_label(boxes[0], ["input", _size(source)]),
    ]
    for part, box in zip(parts, boxes[1:], strict=True):
        body.append(_box_svg(box, _COLOURS[kinds.index(part.block.kind) % len(_COLOURS)]))
        body += _label(box, _words(part))
    return (
        f'<svg class="architecture" role="img" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'style="min-width:{0.6 * width:.0f}px;max-width:{1.15 * width:.0f}px" '
        f'aria-label="{escape(title)}"><title>{escape(title)}</title>'
        f'<defs><marker id="{tip}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
        'orient="auto"><path d="M0 0L8 4L0 8z" class="tip"/></marker></defs>' + "".join(body) + "</svg>"
    )


def _rows(shapes: Sequence[Shape]) -> dict[tuple[int, int], int]:
    """Return the row of each resolution, the finest on top."""
    sizes = sorted({shape[1:] for shape in shapes}, key=lambda size: (-size[0] * size[1], size))
    return {size: row for row, size in enumerate(sizes)}


def _place(parts: Sequence[Part], source: Shape, rows: dict[tuple[int, int], int]) -> list[_Box]:
    """Return a box for the input and one for every part."""
    boxes = [_box(0, source, [rows[source[1:]]], rows)]
    for column, part in enumerate(parts, start=1):
        output = rows[part.block.output_shape[1:]]
        inputs = [rows[shape[1:]] for shape in part.block.input_shapes if shape[1:] in rows]
        spanned = [output, *inputs] if len(part.block.input_shapes) > 1 else [output]
        boxes.append(_box(column, part.block.output_shape, spanned, rows))
    return boxes


def _box(column: int, shape: Shape, spanned: list[int], rows: dict[tuple[int, int], int]) -> _Box:
    finest = max(height * width for height, width in rows)
    octaves = math.log2(finest / (shape[1] * shape[2]))
    own_height = max(14.0, 46.0 - 4.0 * octaves)
    top, bottom = (_MARGIN_TOP + _PITCH_Y * row for row in (min(spanned), max(spanned)))
    width = min(84.0, 14.0 + 8.0 * math.log2(max(2, shape[0])))
    out_y = _MARGIN_TOP + _PITCH_Y * rows[shape[1:]]
    return _Box(_MARGIN_X + column * _PITCH_X, (top + bottom) / 2, width, own_height + bottom - top, out_y)


def _edges(parts: Sequence[Part], boxes: Sequence[_Box], tip: str) -> list[str]:
    edges = []
    for index, part in enumerate(parts):
        target = boxes[index + 1]
        for source in part.sources:
            if source is None:
                continue
            begin = boxes[source + 1]
            is_skip = source + 1 < index
            between = boxes[source + 2 : index + 1]
            edges.append(_edge(begin, target, between, tip, is_skip=is_skip))
    return edges


def _edge(begin: _Box, end: _Box, between: Sequence[_Box], tip: str, *, is_skip: bool) -> str:
    y = begin.out_y
    style = "skip" if is_skip else "flow"
    if any(box.top <= y <= box.bottom for box in between):
        # Something stands in the way: pass above it.
        over = min(box.top for box in between if box.top <= y <= box.bottom) - 10
        over = min(over, begin.top - 10)
        path = f"M{begin.x + begin.width / 4:.1f} {begin.top:.1f}V{over:.1f}"
        path += f"H{end.left:.1f}" if end.top <= over <= end.bottom else f"H{end.x:.1f}V{end.top:.1f}"
    elif end.top <= y <= end.bottom:
        path = f"M{begin.right:.1f} {y:.1f}H{end.left:.1f}"
    elif end.top > y:
        path = f"M{begin.right:.1f} {y:.1f}H{end.x:.1f}V{end.top:.1f}"
    else:
        middle = (begin.right + end.left) / 2
        path = f"M{begin.right:.1f} {y:.1f}H{middle:.1f}V{end.out_y:.1f}H{end.left:.1f}"
    return f'<path class="{style}" d="{path}" marker-end="url(#{tip})"/>'


def _box_svg(box: _Box, colour: str) -> str:
    return (
        f'<rect x="{box.left:.1f}" y="{box.top:.1f}" width="{box.width:.1f}" height="{box.height:.1f}" '
        f'rx="4" fill="{colour}" fill-opacity="0.22" stroke="{colour}" stroke-width="1.5"/>'
    )


def _label(box: _Box, lines: list[str]) -> list[str]:
    name, *others = lines
    names = [name]
    if len(name) > _LONGEST_NAME and "-" in name:
        first, _, rest = name.partition("-")
        names = [f"{first}-", rest]
    return [
        f'<text x="{box.x:.1f}" y="{box.bottom + _LINE_PX * (number + 1):.1f}" '
        f'class="{"name" if number < len(names) else "note"}">{escape(line)}</text>'
        for number, line in enumerate([*names, *others])
    ]


def _words(part: Part) -> list[str]:
    """Return name, output shape and what else is worth saying of a part."""
    block = part.block
    name = block.kind if part.repeats == 1 else f"{part.repeats} × {block.kind}"
    settings = dict(block.settings)
    said = []
    if "kernel" in settings:
        said.append(f"kernel {settings['kernel']}")
    if settings.get("stride") not in (None, "1x1"):
        said.append(f"stride {settings['stride']}")
    if settings.get("has_squeeze_excite") is True:
        said.append("SE")
    lines = [name, _size(block.output_shape)]
    return [*lines, " · ".join(said)] if said else lines


def _size(shape: Shape) -> str:
    return f"{shape[0]} ch · {shape[1]}×{shape[2]}"
