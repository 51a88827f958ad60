"""Events for TensorBoard, where the package is installed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from hwnas.errors import ConfigError


def summary_writer_type() -> Any:
    """Return the class that writes event files.

    Raises:
        ConfigError: if TensorBoard is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise ConfigError(
            f"A log for TensorBoard needs its package, which cannot be imported: {error}. Install it with: "
            "pip install 'hwnas[tensorboard]'"
        ) from error
    return SummaryWriter


class TensorBoardLog:
    """Scalars of one training, as an event file in a directory; a resumed training adds a file."""

    def __init__(self, directory: Path) -> None:
        """Make the directory and begin a file.

        Raises:
            ConfigError: if TensorBoard is not installed.
        """
        self._writer: Any = summary_writer_type()(str(directory))

    def __enter__(self) -> Self:
        """Return the log."""
        return self

    def __exit__(self, *_error: object) -> None:
        """Close the file."""
        self._writer.close()

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """Write values by name; they can be seen at once."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()
