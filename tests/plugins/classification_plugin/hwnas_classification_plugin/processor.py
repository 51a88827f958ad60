"""The processor `disc-image`: PNG files in, a JSON file with an answer out. Python 3.8 syntax, numpy only."""

from __future__ import annotations

import io
import json
from typing import Any, Dict, Mapping, NamedTuple, Tuple

import numpy as np
import numpy.typing as npt

from hwnas.bundle.runtime.processor import Arrays, PathLike, ProcessorContext
from hwnas.errors import DataError
from hwnas.files import write_bytes_atomically

_ENLARGED = 6


class Answer(NamedTuple):
    """What a network says of one image.

    Attributes:
        label: name of the class.
        probability: that there is a disc, 0..1.
    """

    label: str
    probability: float


class DiscImages:
    """Reads images of one size, and answers."""

    input_suffixes: Tuple[str, ...] = (".png",)
    result_suffix = ".json"

    def __init__(self, context: ProcessorContext) -> None:
        """Take the size of images and the names of the answers."""
        self._side = int(context.deployment["side"])
        self._names = [str(name) for name in context.deployment["class_names"]]

    def read(self, path: PathLike) -> npt.NDArray[np.uint8]:
        """Return an image [H, W, 3].

        Raises:
            DataError: if the file is no image.
        """
        from PIL import Image, UnidentifiedImageError

        try:
            with Image.open(path) as found:
                return np.asarray(found.convert("RGB"))
        except (OSError, UnidentifiedImageError, SyntaxError) as error:
            raise DataError(f"{path} is no PNG image: {error}.") from error

    def check(self, raw: npt.NDArray[np.uint8]) -> Tuple[str, ...]:
        """Refuse other sizes, and remark on images without any contrast.

        Raises:
            DataError: if the size is another one.
        """
        if raw.shape != (self._side, self._side, 3):
            raise DataError(f"Expected an image of {self._side} x {self._side} in RGB, found {raw.shape}.")
        return ("the image is of one colour",) if int(np.ptp(raw)) == 0 else ()

    def before(self, raw: npt.NDArray[np.uint8]) -> Tuple[Arrays, None]:
        """Return the image [1, 3, H, W] with values about -2..2."""
        return {"image": normalised(raw)[None]}, None

    def after(self, outputs: Arrays, context: None) -> Answer:
        """Return the answer that a score means."""
        probability = float(1.0 / (1.0 + np.exp(-np.float64(outputs["score"][0, 0]))))
        return Answer(self._names[int(probability > 0.5)], probability)

    def write(self, result: Answer, path: PathLike) -> Mapping[str, Any]:
        """Write the answer as JSON."""
        facts: Dict[str, Any] = result._asdict()
        write_bytes_atomically(path, json.dumps(facts).encode("ascii"))
        return facts

    def picture(self, raw: npt.NDArray[np.uint8], result: Answer, title: str) -> bytes:
        """Draw the image in a frame: green for a disc, red for none."""
        return drawn(raw, result.probability > 0.5)


def normalised(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Return pixels [H, W, 3] as the network sees them, [3, H, W]."""
    return np.ascontiguousarray(pixels.transpose(2, 0, 1), np.float32) / np.float32(64) - np.float32(2)


def drawn(pixels: npt.NDArray[np.uint8], has_disc: bool) -> bytes:
    """Return an enlarged image in a green or red frame, as PNG."""
    from PIL import Image, ImageOps

    large = Image.fromarray(pixels.repeat(_ENLARGED, axis=0).repeat(_ENLARGED, axis=1))
    stream = io.BytesIO()
    ImageOps.expand(large, 8, (40, 150, 70) if has_disc else (180, 50, 50)).save(stream, "PNG")
    return stream.getvalue()


def make_processor(context: ProcessorContext) -> DiscImages:
    """Return the processor for what the task says of its deployment."""
    return DiscImages(context)
