"""`hwnas ros run`: clouds of a topic of ROS 2 through a bundle as they arrive, without ROS."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from hwnas.cli.console import err_console, out_console, print_json
from hwnas.cli.infer import format_options_of
from hwnas.cli.options import AsJson, BundleOption, CloudFields, Precision, RemoveClass, Threads
from hwnas.cli.trust import AllowedSigners, Identity, RequireSignature, trust_of
from hwnas.errors import DataError
from hwnas.text import counted, figure, visible

if TYPE_CHECKING:
    from hwnas.robotics.live_run import LiveRun, LiveStatus
    from hwnas.robotics.node_reports import Counts

_COMPLAINT_PERIOD_S = 5.0


TopicOption = Annotated[str, typer.Option(help="Topic with the clouds, such as /lidar/points.")]
DomainOption = Annotated[
    int | None, typer.Option(help="Domain of ROS 2, 0 to 101; that of ROS_DOMAIN_ID if not given.")
]
DurationOption = Annotated[
    float | None, typer.Option(help="Seconds after which it ends. Default: at Ctrl-C.")
]
BackendOption = Annotated[
    str, typer.Option(help="onnxruntime, or an engine of the bundle: tensorrt, tensorrt-rtx.")
]
LocalhostOption = Annotated[
    bool | None,
    typer.Option(
        "--localhost/--no-localhost",
        help="Ignore other machines; the default if ROS_AUTOMATIC_DISCOVERY_RANGE is LOCALHOST.",
    ),
]
VisualizationOption = Annotated[
    bool, typer.Option("--visualization/--no-visualization", help="Also publish TOPIC/visualization.")
]


def run(
    bundle: BundleOption,
    topic: TopicOption,
    domain: DomainOption = None,
    duration: DurationOption = None,
    remove_class: RemoveClass = None,
    format_options: CloudFields = None,
    threads: Threads = 1,
    precision: Precision = "fp32",
    backend: BackendOption = "onnxruntime",
    allowed_signers: AllowedSigners = None,
    identity: Identity = None,
    *,
    localhost: LocalhostOption = None,
    visualization: VisualizationOption = True,
    require_signature: RequireSignature = False,
    as_json: AsJson = False,
) -> None:
    """Label the clouds of a ROS 2 topic as they arrive, over DDS, without ROS.

    Publishes TOPIC/segmentation, TOPIC/visualization, TOPIC/filtered and /diagnostics, as the nodes for ROS
    do. The newest scan is labelled; older ones that wait are dropped and counted. Ctrl-C stops it cleanly. If
    no scan was labelled, the exit code is 3.
    """
    from hwnas.robotics.live_run import LiveOptions, run_live
    from hwnas.search.interruption import StopRequest

    trust = trust_of(require_signature=require_signature, allowed_signers=allowed_signers, identity=identity)
    options = LiveOptions(
        domain=domain,
        localhost=localhost,
        duration_s=duration,
        visualization=visualization,
        remove_classes=remove_class or (),
        format_options=format_options_of(format_options) or {},
        threads=threads,
        precision=precision,
        backend=backend,
    )
    with StopRequest() as request, err_console.status("Opening the bundle") as line:

        def on_status(status: LiveStatus) -> None:
            line.update(_line(topic, status))

        found = run_live(
            bundle,
            topic,
            options,
            trust=trust,
            stop=lambda: request.requested,
            progress=on_status,
            report_error=_complain(),
        )
    if as_json:
        print_json(found.to_json())
    else:
        _show(found)
    if found.counts.labelled == 0:
        raise DataError(_why_nothing(found))


def _complain() -> Callable[[str], None]:
    """Return what says why scans are not labelled, now and then: diagnostics count all of them."""
    last_s = -math.inf

    def complain(text: str) -> None:
        nonlocal last_s
        if time.monotonic() - last_s >= _COMPLAINT_PERIOD_S:
            last_s = time.monotonic()
            err_console.say(text)

    return complain


def _line(topic: str, status: LiveStatus) -> Text:
    """Return how a run does, in one line."""
    shown = visible(topic, keep="")
    if not status.publishers and not status.counts.received:
        return Text(f"Waiting for a publisher of {shown}")
    latency = "" if status.median_ms is None else f", {figure(status.median_ms)} ms"
    return Text(f"{shown}: {_counted(status.counts)}{latency}")


def _counted(counts: Counts) -> str:
    told = [f"{value} {name}" for name, value in vars(counts).items() if value or name == "labelled"]
    return ", ".join(told)


def _show(found: LiveRun) -> None:
    from rich.table import Table

    out_console.say(f"{visible(found.topic, keep='')}, {found.seconds:.0f} s: {_counted(found.counts)}.")
    if found.latency:
        table = Table("step", "median, ms", "p99, ms")
        for step, latency in found.latency.items():
            table.add_row(step, figure(latency.median_ms), figure(latency.p99_ms))
        out_console.print(table)
    if found.last_warning:
        err_console.say(f"Warning (last scan): {found.last_warning}")


def _why_nothing(found: LiveRun) -> str:
    """Return why no scan was labelled."""
    counts = found.counts
    if counts.received:
        reason = found.last_refusal or found.last_failure or "each was replaced by a newer one"
        return f"None of {counted(counts.received, 'scan')} was labelled; the last reason: {reason}"
    return (
        f"No cloud arrived on {visible(found.topic, keep='')} in the domain {found.domain}. Is it published "
        "there as sensor_msgs/msg/PointCloud2, over DDS? From Kilted on, Fast DDS is heard only "
        "where it keeps its types to itself: see docs/guides/ros.md."
    )
