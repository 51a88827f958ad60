"""Clocks everything between a scan and the labels of its points, as the runner does it on a vehicle."""

from __future__ import annotations

import base64
import gc
import hashlib
import time
import zlib
from typing import Any, Callable, Dict, List, Mapping, Optional

from hwnas.errors import DataError
from hwnas.latency.backends.base import Backend
from hwnas.latency.backends.errors import AgentError

STAGES = ("project_ms", "network_ms", "label_ms")


class EndToEndClock:
    """Takes one scan from memory to labels, again and again.

    `project_ms` is projection and normalisation; `network_ms` writing the input to where the backend wants
    it, the network, and reading its output back; `label_ms` the best class of every pixel and the vote of
    neighbours for every point. Where the scan comes with labels, neighbours vote over these.
    """

    def __init__(self, backend: Backend, deployment: Mapping[str, Any], scan: Mapping[str, Any]) -> None:
        """Prepare a backend that has loaded a model for a scan from `packed`.

        Raises:
            AgentError: if numpy is missing, the scan arrived damaged, or the model does not fit the settings.
        """
        try:
            from hwnas.range_view.pipeline import RangeView
        except ImportError as error:
            raise AgentError(
                f"End-to-end clocking needs numpy on the target, but importing it fails: {error}. "
                "Install numpy there."
            ) from error
        try:
            self._view = RangeView.from_deployment(deployment)
        except (KeyError, TypeError, ValueError, DataError) as error:
            raise AgentError(f"The deployment settings do not say how to label points: {error!r}.") from error
        self._points = unpacked(scan["points"])
        self._remission = unpacked(scan["remission"])
        self._ring = unpacked(scan["ring"]) if scan["ring"] is not None else None
        (spec,) = backend.inputs()
        found = (self._view.projection.height, self._view.projection.width)
        if tuple(spec.shape[2:]) != found:
            raise AgentError(
                f"The network takes images of {list(spec.shape[2:])}, but the projection makes {list(found)}."
            )
        self._backend = backend
        self._input = spec
        self._write: Optional[Callable[[Mapping[str, Any]], None]] = None
        self.num_points = len(self._points)
        self._stand_in: Any = None
        if scan["labels"] is not None:
            self._stand_in = self._labelled_image(unpacked(scan["labels"]))

    def clock(self, count: int) -> Dict[str, List[float]]:
        """Return `e2e_ms` and the stages, `count` durations each; one scan before is not clocked."""
        self.run()
        found: Dict[str, List[float]] = {name: [] for name in ("e2e_ms", *STAGES)}
        is_collecting = gc.isenabled()
        gc.disable()
        try:
            for _ in range(count):
                moments = self.run()
                found["e2e_ms"].append((moments[3] - moments[0]) * 1000)
                for index, stage in enumerate(STAGES):
                    found[stage].append((moments[index + 1] - moments[index]) * 1000)
        finally:
            if is_collecting:
                gc.enable()
        return found

    def run(self) -> List[float]:
        """Label the scan once; return the moments in seconds at which it began and each stage ended."""
        moments = [time.perf_counter()]
        scan = self._view.project(self._points, self._remission, self._ring)
        image = self._view.network_input(scan).astype(self._input.dtype, copy=False)
        moments.append(time.perf_counter())
        if self._write is None:
            self._backend.bind({self._input.name: image})
            # Later scans go to the memory that is reserved now, where the backend can do that.
            self._write = getattr(self._backend, "write", self._backend.bind)
        else:
            self._write({self._input.name: image})
        self._backend.run()
        (logits,) = self._backend.outputs().values()
        moments.append(time.perf_counter())
        label_image = self._view.label_image(logits, scan)
        self._view.labels(label_image if self._stand_in is None else self._stand_in, scan)
        moments.append(time.perf_counter())
        return moments

    def _labelled_image(self, labels: Any) -> Any:
        """Return the labels of those points that won a pixel, 255 elsewhere."""
        scan = self._view.project(self._points, self._remission, self._ring)
        image = scan.image
        found = self._view.empty_label_image()
        found[image.valid] = labels[scan.has_direction][image.point_index[image.valid]]
        return found


def packed(array: Any) -> Dict[str, Any]:
    """Return a numpy array as plain JSON values, with the SHA-256 of its content."""
    content = array.tobytes()
    return {
        "dtype": array.dtype.str,
        "shape": list(array.shape),
        "sha256": hashlib.sha256(content).hexdigest(),
        "zlib": base64.b64encode(zlib.compress(content, 1)).decode("ascii"),
    }


def unpacked(value: Mapping[str, Any]) -> Any:
    """Rebuild an array from `packed`.

    Raises:
        AgentError: if the content is not what was sent.
    """
    import numpy as np

    try:
        content = zlib.decompress(base64.b64decode(value["zlib"]))
    except (ValueError, zlib.error) as error:
        raise AgentError(f"An array arrived damaged: {error}. Measure again.") from error
    if hashlib.sha256(content).hexdigest() != value["sha256"]:
        raise AgentError("An array arrived with another SHA-256 than it was sent with. Measure again.")
    return np.frombuffer(content, np.dtype(value["dtype"])).reshape(value["shape"]).copy()
