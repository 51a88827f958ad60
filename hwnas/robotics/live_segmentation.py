"""Labels clouds as they arrive: what a node does, without ROS.

    live = LiveSegmentation(sink)
    live.configure(NodeSettings.of({"bundle": "bundles/4f1c2d"}))
    live.activate()
    live.receive(message)  # from any thread; returns at once

One thread labels. One scan may wait for it; a newer one takes its place, and the older one is counted as
dropped: on a slow computer labels are of the newest scan, not of one from long ago.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from hwnas.bundle.runtime.runner import Runner
from hwnas.errors import ConfigError, DataError, HwnasError
from hwnas.robotics.labelling import (
    FILTERED,
    SEGMENTATION,
    VISUALIZATION,
    CloudLabeller,
    ReadCloud,
    StepClock,
)
from hwnas.robotics.node_reports import Counts, LatencyWindow, NodeReport
from hwnas.robotics.node_settings import NETWORK_PARAMETERS, NodeSettings
from hwnas.robotics.point_cloud2 import PointCloud2

_log = logging.getLogger(__name__)


class SegmentationSink(Protocol):
    """Where labels go. All but `report_error` is called by the thread that labels."""

    def wants(self, kind: str) -> bool:
        """Return whether somebody listens to messages of a kind: `visualization` or `filtered`."""
        ...

    def publish(self, messages: Mapping[str, PointCloud2]) -> None:
        """Send all messages of one scan, by kind, or none."""
        ...

    def report_error(self, text: str) -> None:
        """Take note of a scan that was refused or failed, from any thread."""
        ...


ReadCloudOf = Callable[[Any], PointCloud2]
"""Makes a cloud of a message."""

OpenRunner = Callable[[NodeSettings], Runner]
"""Opens the bundle that settings name."""


def open_runner(settings: NodeSettings) -> Runner:
    """Open the bundle that settings name.

    Raises:
        HwnasError: if it cannot be used, or is not signed as wanted.
    """
    return Runner(
        settings.bundle,
        threads=settings.threads,
        precision=settings.precision,
        backend=settings.backend,
        trust=settings.trust,
    )


def _try_out(runner: Runner) -> None:
    """Run the network once: what fails then is told now, and the first scan takes as long as the others.

    Raises:
        HwnasError: if the network cannot be run.
    """
    runner.predict({one.name: np.zeros(one.shape, np.float32) for one in runner.manifest.io_spec.inputs})


@dataclass(frozen=True)
class _Work:
    """What scans are labelled with; one that is being labelled keeps what it was begun with."""

    settings: NodeSettings
    labeller: CloudLabeller

    @property
    def kinds(self) -> Collection[str]:
        """Messages that are made if somebody wants them, beside the segmentation."""
        found = [VISUALIZATION] if self.settings.visualization else []
        return found + ([FILTERED] if self.settings.remove_classes else [])

    def network(self) -> dict[str, str]:
        """Return what labels, by name."""
        content = self.labeller.runner.manifest.content
        return {
            "bundle": str(self.settings.bundle),
            "architecture": str(content["architecture_id"]),
            "precision": self.settings.precision,
            "backend": self.settings.backend,
        }


@dataclass(frozen=True, eq=False)
class _Waiting:
    """A scan that has arrived, and with what it was read: where its axes point depends on the bundle."""

    read: ReadCloud
    clock: StepClock
    work: _Work


class LiveSegmentation:
    """Labels the newest of the clouds that arrive. Every method may be called from any thread."""

    def __init__(self, sink: SegmentationSink, opener: OpenRunner = open_runner) -> None:
        """Begin unconfigured.

        Args:
            sink: the receiver of the labels.
            opener: opens the bundle that settings name.
        """
        self._sink, self._opener = sink, opener
        self._changing = threading.Lock()  # one change of configuration or state at a time
        self._turn = threading.Condition()  # guards what is below
        self._work: _Work | None = None
        self._waiting: _Waiting | None = None
        self._thread: threading.Thread | None = None
        self._counts, self._window = Counts(), LatencyWindow()
        self._texts = {"last_refusal": "", "last_failure": "", "last_warning": "", "problem": ""}

    def configure(self, settings: NodeSettings, changed: Collection[str] = NETWORK_PARAMETERS) -> None:
        """Take settings, and open the bundle if they ask for another network.

        Scans are labelled as before until the new network is ready. If it cannot be, nothing changes.

        Args:
            settings: all of them.
            changed: names of the parameters that were set. The bundle is opened anew if it is one of
                `NETWORK_PARAMETERS`, or if none is open.

        Raises:
            HwnasError: if the bundle or a parameter cannot be used, with what goes on.
        """
        with self._changing:
            before = self._work
            try:
                opens = before is None or not NETWORK_PARAMETERS.isdisjoint(changed)
                runner = self._opener(settings) if opens or before is None else before.labeller.runner
                labeller = CloudLabeller(
                    runner,
                    format_options=settings.format_options,
                    remove_classes=settings.remove_classes,
                )
                if opens:
                    _try_out(runner)
            except HwnasError as error:
                self._note(problem=str(error))
                raise
            with self._turn:
                # The runner before is not closed: a scan may be under way in it. Its memory goes with it.
                self._work = _Work(settings, labeller)
                self._texts["problem"] = ""
                if opens:
                    self._window = LatencyWindow()

    def activate(self) -> None:
        """Label what arrives from now on.

        Raises:
            ConfigError: if no bundle is open.
        """
        with self._changing, self._turn:
            if self._work is None:
                raise ConfigError("No bundle is open: configure the node before it is activated.")
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._label_what_arrives, name="labelling", daemon=True
                )
                self._thread.start()

    def deactivate(self) -> None:
        """Finish the scan that is being labelled, and take no other."""
        with self._changing:
            self._stop()

    def cleanup(self) -> None:
        """Give the network back; a node that is active is deactivated. Counts begin anew."""
        with self._changing:
            self._stop()
            with self._turn:
                self._work = None
                self._counts, self._window = Counts(), LatencyWindow()
                self._texts = dict.fromkeys(self._texts, "")

    def receive(self, message: Any, read_cloud: ReadCloudOf = PointCloud2.from_message) -> None:
        """Take a message that has arrived; nothing becomes of it unless the node is active.

        One that cannot be read is refused at once, and takes no other's place.

        Args:
            message: a message with the attributes of `sensor_msgs/PointCloud2`, or what `read_cloud` takes.
            read_cloud: makes a cloud of it, or raises a `DataError`.
        """
        clock = StepClock()
        with self._turn:
            work = self._work
            if work is None or self._thread is None:
                return
            self._count(received=1)
        try:
            read = work.labeller.read(read_cloud(message))
        except DataError as error:
            self._refuse(error)
            return
        except Exception as error:  # noqa: BLE001 - whatever it is: the message is counted, and others arrive
            self._fail(error)
            return
        clock.end("decode")
        with self._turn:
            if self._thread is None:  # deactivated in the meantime
                self._count(dropped=1)
                return
            self._drop_waiting()
            self._waiting = _Waiting(read, clock, work)
            self._turn.notify_all()

    def lose(self, count: int) -> None:
        """Count messages that never arrived, as the middleware says."""
        with self._turn:
            self._count(lost=count)

    def note_problem(self, text: str) -> None:
        """Remember why parameters could not be taken; empty once they could."""
        self._note(problem=text)

    def report(self) -> NodeReport:
        """Return how the node does."""
        with self._turn:
            work = self._work
            return NodeReport(
                is_configured=work is not None,
                is_active=self._thread is not None,
                counts=self._counts,
                latency=self._window.latency(),
                network={} if work is None else work.network(),
                **self._texts,
            )

    def _stop(self) -> None:
        """End the thread that labels, if there is one."""
        with self._turn:
            thread, self._thread = self._thread, None
            self._drop_waiting()
            self._turn.notify_all()
        if thread is not None:
            thread.join()

    def _label_what_arrives(self) -> None:
        """Label one scan after the other until the node is deactivated."""
        while True:
            with self._turn:
                self._turn.wait_for(
                    lambda: self._waiting is not None or self._thread is not threading.current_thread()
                )
                if self._thread is not threading.current_thread():
                    return
                waiting, self._waiting = self._waiting, None
            if waiting is not None:
                self._use(waiting)

    def _use(self, waiting: _Waiting) -> None:
        """Label and publish a scan, or count and say why not."""
        clock, work = waiting.clock, waiting.work
        clock.end("wait")
        try:
            found = work.labeller.label(waiting.read, clock)
            kinds = [SEGMENTATION, *(kind for kind in work.kinds if self._sink.wants(kind))]
            self._sink.publish(work.labeller.messages(found, kinds))
            clock.end("publish")
        except DataError as error:
            self._refuse(error)
            return
        except Exception as error:  # noqa: BLE001 - whatever it is: the scan is counted, and the next one is labelled
            self._fail(error)
            return
        with self._turn:
            self._count(labelled=1)
            self._window.add(clock.times_ms, clock.total_ms)
            self._texts["last_warning"] = " ".join(found.warnings)

    def _refuse(self, error: DataError) -> None:
        text = str(error)
        with self._turn:
            self._count(refused=1)
            self._texts["last_refusal"] = text
        self._sink.report_error(f"Scan refused: {text}")

    def _fail(self, error: Exception) -> None:
        text = str(error) if isinstance(error, HwnasError) else f"{type(error).__name__}: {error}"
        _log.debug("A scan failed", exc_info=error)
        with self._turn:
            self._count(failed=1)
            self._texts["last_failure"] = text
        self._sink.report_error(f"Scan failed: {text}")

    def _drop_waiting(self) -> None:
        """Drop the scan that waits, if one does; the lock is held."""
        if self._waiting is not None:
            self._waiting = None
            self._count(dropped=1)

    def _count(self, **more: int) -> None:
        """Add to counts; the lock is held."""
        added = {name: getattr(self._counts, name) + count for name, count in more.items()}
        self._counts = replace(self._counts, **added)

    def _note(self, **texts: str) -> None:
        with self._turn:
            self._texts.update(texts)
