"""The processor `bird-view`: points from above to cars. Python 3.8 syntax, numpy only.

Files of points hold x, y, z as float32; results are JSON, one car with position and size an entry.
"""

from __future__ import annotations

import io
import json
from typing import Any, List, Mapping, NamedTuple, Tuple

import numpy as np
import numpy.typing as npt

from hwnas.bundle.runtime.processor import Arrays, PathLike, ProcessorContext
from hwnas.errors import DataError
from hwnas.files import write_bytes_atomically

FloatArray = npt.NDArray[np.float32]
CELLS = 64
"""Of the input, along each side; maps of the outputs have half as many."""

STRIDE = 2
USUAL_M = (4.2, 1.85)
"""Length and width that outputs of zero mean, metres."""

_MIN_SCORE = 0.1
_MOST = 20


class Car(NamedTuple):
    """A car that a network found: position and size in metres, score 0..1."""

    x: float
    y: float
    length: float
    width: float
    score: float


class BirdView:
    """Makes images of points seen from above, and cars of heat maps."""

    input_suffixes: Tuple[str, ...] = (".bin",)
    result_suffix = ".json"

    def __init__(self, context: ProcessorContext) -> None:
        """Take how far the view reaches."""
        self._half_m = float(context.deployment["half_m"])

    def read(self, path: PathLike) -> FloatArray:
        """Return points [N, 3].

        Raises:
            DataError: if the file is missing, or does not hold triples.
        """
        try:
            with open(path, "rb") as stream:
                content = stream.read()
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error}.") from error
        if not content or len(content) % 12:
            raise DataError(
                f"{path} must hold x, y, z of points, 12 bytes each, but has {len(content)} bytes."
            )
        return np.frombuffer(content, "<f4").reshape(-1, 3)

    def check(self, raw: FloatArray) -> Tuple[str, ...]:
        """Refuse sweeps that lie outside of the view.

        Raises:
            DataError: if hardly any point lies inside.
        """
        inside = (np.abs(raw[:, :2]) < self._half_m).all(axis=1).mean()
        if not inside > 0.1:
            raise DataError(f"Only {inside:.0%} of the points lie within {self._half_m:g} m of the sensor.")
        return () if inside > 0.9 else (f"{1 - inside:.0%} of the points lie outside of the view",)

    def before(self, raw: FloatArray) -> Tuple[Arrays, None]:
        """Return the view from above, [1, 2, H, W]."""
        return {"view": view_of(raw, self._half_m)[None]}, None

    def after(self, outputs: Arrays, context: None) -> List[Car]:
        """Return the cars, the surest first."""
        return cars_of(outputs, self._half_m)

    def write(self, result: List[Car], path: PathLike) -> Mapping[str, Any]:
        """Write the cars as JSON."""
        write_bytes_atomically(path, json.dumps([car._asdict() for car in result]).encode("ascii"))
        return {"cars": len(result)}

    def picture(self, raw: FloatArray, result: List[Car], title: str) -> bytes:
        """Draw the view with the cars that were found."""
        return drawn(raw, [tuple(car)[:4] for car in result if car.score > 0.5], [], self._half_m)


def view_of(points: FloatArray, half_m: float) -> FloatArray:
    """Return how many points are in each cell (logarithm) and how high the highest one is, [2, H, W]."""
    cell = np.floor((points[:, :2] + half_m) * (CELLS / (2 * half_m))).astype(int)
    inside = ((cell >= 0) & (cell < CELLS)).all(axis=1)
    cell, height = cell[inside], points[inside, 2]
    count = np.zeros((CELLS, CELLS), np.float32)
    top = np.full((CELLS, CELLS), -2.0, np.float32)
    np.add.at(count, (cell[:, 0], cell[:, 1]), 1.0)
    np.maximum.at(top, (cell[:, 0], cell[:, 1]), height)
    return np.stack([np.log1p(count), top + 2.0]).astype(np.float32)


def cars_of(outputs: Arrays, half_m: float) -> List[Car]:
    """Return the cars that a heat map [1, 1, H, W] and boxes [1, 4, H, W] mean, the surest first."""
    heat, box = np.asarray(outputs["heat"][0, 0], np.float64), outputs["box"][0]
    padded = np.pad(heat, 1, constant_values=-np.inf)
    around = [padded[r : r + heat.shape[0], c : c + heat.shape[1]] for r in range(3) for c in range(3)]
    peaks = heat >= np.max(around, axis=0)
    score = 1.0 / (1.0 + np.exp(-np.clip(heat, -50, 50)))
    rows, columns = np.nonzero(peaks & (score > _MIN_SCORE))
    order = np.argsort(-score[rows, columns], kind="stable")[:_MOST]
    size_m = 2 * half_m / heat.shape[0]
    return [
        Car(
            float((row + 0.5 + box[0, row, column]) * size_m - half_m),
            float((column + 0.5 + box[1, row, column]) * size_m - half_m),
            float(USUAL_M[0] * np.exp(np.clip(box[2, row, column], -2, 2))),
            float(USUAL_M[1] * np.exp(np.clip(box[3, row, column], -2, 2))),
            float(score[row, column]),
        )
        for row, column in zip(rows[order], columns[order])
    ]


def drawn(points: FloatArray, found: List[Any], truth: List[Any], half_m: float) -> bytes:
    """Draw points from above with cars found (orange) and true (green), as PNG."""
    from PIL import Image, ImageDraw

    scale = 320 / (2 * half_m)
    picture = Image.new("RGB", (320, 320), (24, 26, 30))
    draw = ImageDraw.Draw(picture)
    for x, y, _ in points[::2]:
        draw.point(((y + half_m) * scale, (x + half_m) * scale), (150, 150, 160))
    for cars, colour in ((truth, (60, 180, 90)), (found, (240, 150, 40))):
        for x, y, length, width in cars:
            corners = [y - width / 2, x - length / 2, y + width / 2, x + length / 2]
            draw.rectangle([(corner + half_m) * scale for corner in corners], outline=colour)
    stream = io.BytesIO()
    picture.save(stream, "PNG")
    return stream.getvalue()


def make_processor(context: ProcessorContext) -> BirdView:
    """Return the processor for what the task says of its deployment."""
    return BirdView(context)
