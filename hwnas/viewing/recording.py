"""What hwnas writes into recordings of rerun (https://rerun.io), which is imported when one is begun."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from hwnas.errors import ConfigError
from hwnas.labels import IGNORED_LABEL
from hwnas.version import __version__

POINTS = "scan"
"""The entity of the points as they were measured, by intensity."""
SCAN_TIMELINE, TIME_TIMELINE = "scan", "time"
_MAGIC = (b"RRF", b"RRIO")
_POINT_RADIUS_PX, _ERROR_RADIUS_PX = -1.2, -2.0  # negative: in pixels of the screen
_IGNORED_COLOUR = (90, 90, 90)
_BACKGROUND = (12, 12, 16)
_DARK, _BRIGHT = 40, 255


def is_recording(content: bytes) -> bool:
    """Return whether a file is a recording of rerun."""
    return content.startswith(_MAGIC)


def require_rerun() -> Any:
    """Return the module rerun.

    Raises:
        ConfigError: if it cannot be imported.
    """
    try:
        import rerun
    except ImportError as error:
        raise ConfigError(
            f"Views need rerun, which cannot be imported: {error}. Install it with: pip install 'hwnas[view]'"
        ) from error
    return rerun


class Recording:
    """A recording under way, a context: what is logged is whole at its end."""

    def __init__(self, title: str, bundles: Sequence[str], *, has_truth: bool) -> None:
        """Begin one that goes nowhere yet.

        Raises:
            ConfigError: if rerun is not installed.
        """
        self._rerun = require_rerun()
        self._stream = self._rerun.RecordingStream("hwnas")
        # Only times of scans: that of writing would be a timeline, too, and the first one shown.
        self._stream.set_log_time_enabled(False)
        self._blueprint = self._layout(bundles, has_truth=has_truth)
        self._title = title

    @classmethod
    def in_file(cls, path: Path, title: str, bundles: Sequence[str], *, has_truth: bool) -> Recording:
        """Begin one that is written into a file.

        Args:
            path: of the file.
            title: of the recording.
            bundles: names of those that label.
            has_truth: whether scans have labels of their own.

        Raises:
            ConfigError: if rerun is not installed.
            OSError: if it cannot be written.
        """
        found = cls(title, bundles, has_truth=has_truth)
        path.touch()  # rerun's own errors name no path
        found._stream.save(path, default_blueprint=found._blueprint)
        return found._named()

    @classmethod
    def in_viewer(cls, title: str, bundles: Sequence[str], *, has_truth: bool) -> Recording:
        """Begin one that a viewer shows, which is opened; see `in_file`.

        Raises:
            ConfigError: if rerun is not installed, or there is no viewer.
        """
        found = cls(title, bundles, has_truth=has_truth)
        if shutil.which("rerun") is None:
            raise ConfigError(
                "There is no viewer `rerun` on the PATH. Install it with: pip install 'hwnas[view]'; or "
                "write a recording with `out=`."
            )
        try:
            found._stream.spawn(default_blueprint=found._blueprint)
        except RuntimeError as error:
            raise ConfigError(
                f"The viewer of rerun cannot be opened: {error}. Write a recording with `out=`, and open it "
                "on a computer with a screen."
            ) from error
        return found._named()

    def __enter__(self) -> Recording:
        """Return the recording itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Send what is left."""
        self._stream.flush()
        self._stream.disconnect()

    def _named(self) -> Recording:
        self._stream.send_recording_name(self._title)
        self._stream.send_property("hwnas", self._rerun.AnyValues(version=__version__))
        return self

    def explain(self, entity: str, names: Sequence[str], colours: Sequence[tuple[int, int, int]]) -> None:
        """Say what class ids below an entity mean, for the whole recording."""
        classes = [(number, name, colour) for number, (name, colour) in enumerate(zip(names, colours))]  # noqa: B905
        classes.append((IGNORED_LABEL, "no class", _IGNORED_COLOUR))
        self._stream.log(entity, self._rerun.AnnotationContext(classes), static=True)

    def begin(self, number: int, name: str, time_ns: int | None) -> None:
        """Begin the next scan.

        Args:
            number: on the timeline `scan`.
            name: of the scan.
            time_ns: on the timeline `time`, nanoseconds since the epoch; None leaves that out.
        """
        self._stream.set_time(SCAN_TIMELINE, sequence=number)
        if time_ns is not None:
            self._stream.set_time(TIME_TIMELINE, timestamp=np.datetime64(time_ns, "ns"))
        self._stream.log("name", self._rerun.TextLog(name))

    def scan(self, points: npt.NDArray[np.float32], remission: npt.NDArray[np.float32]) -> None:
        """Record points [N, 3], as bright as their remission [N] 0..1 says."""
        grey = (_DARK + (_BRIGHT - _DARK) * np.sqrt(np.clip(remission, 0, 1))).astype(np.uint8)
        colours = np.repeat(grey[:, None], 3, axis=1)
        self._log_points(POINTS, points, colors=colours)

    def labels(self, entity: str, points: npt.NDArray[np.float32], labels: npt.NDArray[np.uint8]) -> None:
        """Record train ids [N] of points [N, 3]."""
        self._log_points(entity, points, class_ids=labels.astype(np.uint16))

    def errors(
        self,
        entity: str,
        points: npt.NDArray[np.float32],
        truth: npt.NDArray[np.uint8],
        share: float,
    ) -> None:
        """Record the points [N, 3] that are labelled wrongly, by what they are, and their share."""
        self._log_points(
            f"{entity}/errors", points, class_ids=truth.astype(np.uint16), radii=_ERROR_RADIUS_PX
        )
        self._stream.log(f"{entity}/error_share", self._rerun.Scalars(share))

    def clear(self, entity: str) -> None:
        """Let nothing of the scans before stand below an entity."""
        self._stream.log(entity, self._rerun.Clear(recursive=True))

    def _log_points(self, entity: str, points: npt.NDArray[np.float32], **how: Any) -> None:
        how.setdefault("radii", _POINT_RADIUS_PX)
        self._stream.log(entity, self._rerun.Points3D(points, **how))

    def _layout(self, bundles: Sequence[str], *, has_truth: bool) -> Any:
        """Return where the views are: the scan, what it shows, and below each other those of each bundle."""
        from rerun import blueprint

        def space(name: str, *entities: str) -> Any:
            return blueprint.Spatial3DView(
                name=name, origin="/", contents=[f"+ /{one}" for one in entities], background=_BACKGROUND
            )

        columns = [[space("scan", POINTS)]]
        if has_truth:
            columns[0].append(space("labels", "truth"))
        for name in bundles:
            column = [space(name, f"bundles/{name}/labels")]
            if has_truth:
                column.append(space(f"{name}: errors", POINTS, f"bundles/{name}/errors"))
            columns.append(column)
        views: list[Any] = [blueprint.Vertical(*column) for column in columns]
        grid: Any = blueprint.Horizontal(*views)
        if has_truth and bundles:
            shares = [f"+ /bundles/{name}/error_share" for name in bundles]
            series = blueprint.TimeSeriesView(name="share of wrong points", origin="/", contents=shares)
            grid = blueprint.Vertical(grid, series, row_shares=[5, 1])
        return blueprint.Blueprint(grid, collapse_panels=True)
