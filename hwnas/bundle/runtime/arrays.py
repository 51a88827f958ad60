"""The processor `arrays`: files that hold the network's inputs as they are, and its outputs as they are.

For tasks that have no processor of their own. Python 3.8 syntax, numpy only: this module travels to boards.
"""

from __future__ import annotations

import io
import os
from typing import Any, Dict, Mapping, Tuple

import numpy as np

from hwnas.arrays import UnreadableArraysError, load_arrays
from hwnas.bundle.runtime.given_arrays import as_array
from hwnas.bundle.runtime.processor import Arrays, PathLike, Processor, ProcessorContext
from hwnas.errors import DataError
from hwnas.files import checked_path, write_bytes_atomically
from hwnas.io_spec import IoSpec

SUFFIX = ".npz"
_PICTURE_SIDE = 256


class ArraysProcessor:
    """Takes `.npz` files with one array for each input, and writes one for each output."""

    input_suffixes: Tuple[str, ...] = (SUFFIX,)
    result_suffix = ".npz"

    def __init__(self, io_spec: IoSpec) -> None:
        """Take the names and shapes of the arrays."""
        self._io_spec = io_spec

    def read(self, path: PathLike) -> Dict[str, Any]:
        """Return the arrays of an `.npz` file by name.

        Raises:
            DataError: if it is missing, or no such file.
        """
        path = checked_path(path, "The file to be read", DataError)
        try:
            return load_arrays(os.fspath(path))
        except (OSError, UnreadableArraysError) as error:
            raise DataError(f"{os.fspath(path)} is no {SUFFIX} file of numpy arrays: {error}.") from error

    def check(self, raw: Mapping[str, Any]) -> Tuple[str, ...]:
        """Refuse arrays with other names, shapes or types than the network's inputs.

        Raises:
            DataError: naming what was expected and what was found.
        """
        expected = {spec.name: spec.shape for spec in self._io_spec.inputs}
        if not isinstance(raw, Mapping):
            raise DataError(
                f"Expected arrays {expected} (name, shape) in a mapping, or the path of a file, found "
                f"{type(raw).__name__}."
            )
        given = {name: as_array(array, f"The array {name!r}") for name, array in raw.items()}
        found = {name: array.shape for name, array in given.items()}
        if found != expected:
            raise DataError(f"Expected arrays {expected} (name, shape), found {found}.")
        for name, array in given.items():
            if array.dtype.kind not in "fiu" or not np.isfinite(array).all():
                raise DataError(f"The array {name!r} must hold finite numbers, but does not.")
        return ()

    def before(self, raw: Mapping[str, Any]) -> Tuple[Arrays, None]:
        """Return the arrays as float32.

        Raises:
            DataError: see `check`.
        """
        self.check(raw)
        return {name: np.asarray(array, np.float32) for name, array in raw.items()}, None

    def after(self, outputs: Arrays, context: None) -> Arrays:
        """Return the outputs as they are."""
        return outputs

    def write(self, result: Arrays, path: PathLike) -> Mapping[str, Any]:
        """Write the outputs as `.npz`."""
        stream = io.BytesIO()
        np.savez(stream, **result)  # type: ignore[arg-type]  # names of outputs, not of arguments
        write_bytes_atomically(path, stream.getvalue())
        return {"shapes": {name: list(array.shape) for name, array in result.items()}}

    def picture(self, raw: Mapping[str, Any], result: Arrays, title: str) -> bytes:
        """Draw the first channel of the first input in grey."""
        from PIL import Image

        values = np.asarray(raw[self._io_spec.inputs[0].name], np.float64)[0]
        while values.ndim > 2:
            values = values[0]
        values = np.atleast_2d(values)
        low, high = float(values.min()), float(values.max())
        grey = ((values - low) / max(high - low, 1e-12) * 255).astype(np.uint8)
        enlarged = max(1, _PICTURE_SIDE // max(grey.shape))
        stream = io.BytesIO()
        Image.fromarray(grey.repeat(enlarged, axis=0).repeat(enlarged, axis=1)).save(stream, "PNG")
        return stream.getvalue()


def make_arrays(context: ProcessorContext) -> Processor:
    """Return the processor; it needs nothing but names and shapes."""
    return ArraysProcessor(context.io_spec)
