"""Plays the clouds of a bag through a bundle and writes what it says of them into another bag."""

from __future__ import annotations

import json
import time
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hwnas.bundle.runtime.runner import Runner
from hwnas.errors import BundleError, ConfigError, DataError, did_you_mean
from hwnas.files import checked_path
from hwnas.progress import Listener
from hwnas.robotics.bag_writing import BagOutput, refuse_output
from hwnas.robotics.bags import Bag, BagMessage
from hwnas.robotics.labelling import (
    FILTERED,
    SEGMENTATION,
    VISUALIZATION,
    CloudLabeller,
    StepClock,
    check_format_options,
)
from hwnas.robotics.point_cloud2 import TYPE_NAME
from hwnas.robotics.replay_results import STEPS, RefusedScan, Replay, ReplayStatus, StepLatency
from hwnas.scan import DataWarning
from hwnas.text import shown
from hwnas.thread_counts import checked_threads
from hwnas.version import __version__

if TYPE_CHECKING:
    from hwnas.bundle.signature import Trust

FAST, RECORDED = "fast", "recorded"
ALL_TOPICS = "all"
_LONGEST_PAUSE_S = 600.0


@dataclass(frozen=True)
class ReplayOptions:
    """How a bag is replayed.

    Attributes:
        topic: name of the topic with the clouds; None for the only one.
        rate: `fast`, one scan after the other, or `recorded`, each when its time has come.
        keep_topics: names of topics that are copied, or `all`.
        visualization: write coloured clouds, too.
        remove_classes: names of classes; if there are any, clouds without their points are written, too.
        format_options: names of fields by what they hold, as in `dataset.yaml`.
        threads: number of threads of one inference; 0 for all cores.
        precision: precision of the network, or `recommended`.
        force: replace a bag that hwnas wrote.
        check_scans: refuse scans that contradict the bundle's manifest; False labels them, too, and nothing
            tells which labels are wrong.
    """

    topic: str | None = None
    rate: str = FAST
    keep_topics: Sequence[str] = ()
    visualization: bool = False
    remove_classes: Sequence[str] = ()
    format_options: Mapping[str, Any] = field(default_factory=dict)
    threads: int = 1
    precision: str = "fp32"
    force: bool = False
    check_scans: bool = True


def replay(
    bag: str | Path,
    bundle: str | Path,
    out: str | Path,
    options: ReplayOptions | None = None,
    *,
    trust: Trust | None = None,
    progress: Listener[ReplayStatus] | None = None,
) -> Replay:
    """Label every cloud of a bag that the bundle takes, and write the labels as clouds with the same stamps.

    Labels are those that `hwnas infer` gives the same points. Scans that cannot be read, or that the bundle
    refuses, are named in the result; the others go on.

    Args:
        bag: MCAP or SQLite file, directory of rosbag2, or `.bag` file of ROS 1.
        bundle: directory of a LiDAR bundle.
        out: `.mcap` or `.db3` for a file, anything else for a directory of rosbag2. It is written beside its
            place and moved there at the end; nothing is left after an error.
        options: how; the defaults if None.
        trust: who must have signed the bundle.
        progress: is told of each scan before it is labelled.

    Raises:
        BundleError: if the bundle cannot be used, or is for no LiDAR.
        ConfigError: if rosbags is missing, an option is unknown, or the output may not be written.
        DataError: if the bag is damaged, does not hold the topic, or pauses too long for the recorded rate.
        OSError: if the output cannot be written.
    """
    options = options or ReplayOptions()
    bag, bundle, out = (
        checked_path(bag, "The bag", DataError),
        checked_path(bundle, "The bundle", BundleError),
        checked_path(out, "`out=`"),
    )
    checked_threads(options.threads)
    _check_options(options)
    refuse_output(out, bag, force=options.force)
    with (
        Bag(bag) as source,
        Runner(
            bundle,
            threads=options.threads,
            precision=options.precision,
            check_scans=options.check_scans,
            trust=trust,
        ) as runner,
    ):
        work = _Work(source, runner, options, progress)
        if options.rate == RECORDED:
            work.refuse_pauses()
        with BagOutput(out, work.facts(bundle), source=source) as output:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DataWarning)  # they are counted in the result
                work.play(output)
            if not work.num_labelled:
                output.discard()
    return work.result(bundle, out)


def _check_options(options: ReplayOptions) -> None:
    """Refuse what can be known to be wrong before anything is opened.

    Raises:
        ConfigError: if the rate is unknown.
        DataError: if format options are.
    """
    if options.rate not in (FAST, RECORDED):
        raise ConfigError(f"`rate=` is {FAST} or {RECORDED}, but got {shown(options.rate)}.")
    check_format_options(options.format_options, "a replay")


class _Work:
    """One replay under way: what is read, and what came of it so far."""

    def __init__(
        self, source: Bag, runner: Runner, options: ReplayOptions, progress: Listener[ReplayStatus] | None
    ) -> None:
        self.source, self.runner, self.options, self.progress = source, runner, options, progress
        self.topic = source.cloud_topic(options.topic)
        self.labeller = CloudLabeller(
            runner,
            format_options=options.format_options,
            remove_classes=_names(options.remove_classes),
            source=source.path,
        )
        kinds = [SEGMENTATION]
        kinds += [VISUALIZATION] if options.visualization else []
        kinds += [FILTERED] if options.remove_classes else []
        self.name_of = {kind: f"{self.topic.rstrip('/')}/{kind}" for kind in kinds}
        self.output_topics = tuple(self.name_of.values())
        self.copied_topics = _kept(source, _names(options.keep_topics), self.output_topics)
        self.times_ms: dict[str, list[float]] = {step: [] for step in STEPS}
        self.refused: list[RefusedScan] = []
        self.warnings: Counter[str] = Counter()
        self.copied_messages = 0
        self.max_lag_ms = 0.0

    def facts(self, bundle: Path) -> str:
        """Return what the metadata of the output says, as JSON."""
        return json.dumps(
            {
                "hwnas": __version__,
                "architecture_id": str(self.runner.manifest.content["architecture_id"]),
                "bundle": bundle.resolve().name,
                "topic": self.topic,
                "precision": self.options.precision,
                "are_checked": self.options.check_scans,
                "class_names": list(self.runner.label_map.class_names),
            }
        )

    def refuse_pauses(self) -> None:
        """Refuse to wait for scans whose times cannot be those of one drive, such as 0 and then today.

        Raises:
            DataError: if there is such a pause, or the bag is damaged.
        """
        messages = self.source.clouds(self.topic)
        for number, (before, after) in enumerate(pairwise(one.log_ns for one in messages), 2):
            pause_s = (after - before) * 1e-9
            if pause_s > _LONGEST_PAUSE_S:
                raise DataError(
                    f"Scan {number} of {self.topic!r} was recorded {pause_s:.0f} s after the one before; at "
                    f"most {_LONGEST_PAUSE_S:.0f} s are waited. Give `rate=` fast."
                )

    def play(self, output: BagOutput) -> None:
        """Label the clouds of the source, and copy what is kept, in the order of recording."""
        (first, *_) = [
            one for one in self.source.connections if (one.topic, one.msgtype) == (self.topic, TYPE_NAME)
        ]
        for name in self.output_topics:
            output.add_topic(name, like=first)
        for one in self.source.connections:
            if one.topic in self.copied_topics:
                output.add_copied(one)
        wanted, number, started = self.source.topics[self.topic].num_messages, 0, time.perf_counter()
        begin_ns: int | None = None
        messages = self.source.messages((self.topic, *self.copied_topics))
        while True:
            clock = StepClock()
            message = next(messages, None)
            if message is None:
                return
            clock.end("read")
            if message.topic in self.copied_topics:
                output.copy(message)
                self.copied_messages += 1
            if message.topic != self.topic or message.connection.msgtype != TYPE_NAME:
                continue
            number += 1
            if self.progress is not None:
                self.progress(ReplayStatus(number, wanted))
            begin_ns = message.log_ns if begin_ns is None else begin_ns
            if self.options.rate == RECORDED:
                self._wait(started + (message.log_ns - begin_ns) * 1e-9)
            clock.skip()
            self._use(message, number, clock, output)

    def _wait(self, due_s: float) -> None:
        """Sleep until a time has come."""
        before = time.perf_counter()
        self.max_lag_ms = max(self.max_lag_ms, (before - due_s) * 1e3)
        time.sleep(max(0.0, due_s - before))

    def _use(self, message: BagMessage, number: int, clock: StepClock, output: BagOutput) -> None:
        """Label one cloud and write what is wanted of it; keep in mind why, if it cannot be."""
        try:
            cloud = self.source.cloud_of(message)
            clock.end("read")
            read = self.labeller.read(cloud)
            clock.end("decode")
            found = self.labeller.label(read, clock)
            clouds = self.labeller.messages(found, self.name_of)  # all of them, or none is written
            output.write_clouds(message.log_ns, {self.name_of[kind]: one for kind, one in clouds.items()})
            clock.end("write")
        except DataError as error:
            self.refused.append(RefusedScan(number, message.log_ns, str(error)))
            return
        self.warnings.update(found.warnings)
        for step, time_ms in clock.times_ms.items():
            self.times_ms[step].append(time_ms)
        self.times_ms["total"].append(clock.total_ms)

    @property
    def num_labelled(self) -> int:
        """How many scans were labelled."""
        return len(self.times_ms["total"])

    def result(self, bundle: Path, out: Path) -> Replay:
        """Return what came of the bag; `out` is where its labels were to be written."""
        return Replay(
            bag=self.source.path,
            bundle=bundle,
            out=out if self.num_labelled else None,
            topic=self.topic,
            output_topics=self.output_topics,
            copied_topics=self.copied_topics,
            scans=self.source.topics[self.topic].num_messages,
            labelled=self.num_labelled,
            refused=tuple(self.refused),
            copied_messages=self.copied_messages if self.num_labelled else 0,
            latency=self._latency(),
            rate=self.options.rate,
            max_lag_ms=self.max_lag_ms if self.options.rate == RECORDED else None,
            warnings=dict(self.warnings),
            precision=self.options.precision,
            are_checked=self.options.check_scans,
        )

    def _latency(self) -> dict[str, StepLatency]:
        """Return median and 99th percentile of each step; nothing without a labelled scan."""
        if not self.num_labelled:
            return {}
        return {
            step: StepLatency(float(np.median(times)), float(np.percentile(times, 99)))
            for step, times in self.times_ms.items()
        }


def _names(wanted: Sequence[str]) -> Sequence[str]:
    """Return names; a text is one of them, and no sequence of letters."""
    return (wanted,) if isinstance(wanted, str) else wanted


def _kept(source: Bag, wanted: Sequence[str], written: Sequence[str]) -> tuple[str, ...]:
    """Return the topics that are copied.

    Raises:
        ConfigError: if the bag has no such topic, or one has the name of an output.
    """
    known = list(source.topics)
    names = known if ALL_TOPICS in wanted else list(dict.fromkeys(wanted))
    for name in names:
        if name not in known:
            raise ConfigError(
                f"`keep_topics=` names {shown(name)}, but {source.path} has {known}."
                f"{did_you_mean(name, known)}"
            )
        if name in written:
            raise ConfigError(
                f"The topic {shown(name)} of {source.path} would be copied and written. Name the topics to "
                "keep without it."
            )
    return tuple(names)
