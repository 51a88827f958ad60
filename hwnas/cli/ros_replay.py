"""`hwnas ros replay`: bags of ROS through a bundle, without ROS."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hwnas.cli.console import (
    err_console,
    listed_problems,
    out_console,
    print_json,
    say_unchecked,
    transient_bar,
)
from hwnas.cli.infer import format_options_of
from hwnas.cli.options import (
    AsJson,
    BundleOption,
    CloudFields,
    NoCheckScans,
    Precision,
    RemoveClass,
    Threads,
)
from hwnas.cli.trust import AllowedSigners, Identity, RequireSignature, trust_of
from hwnas.errors import DataError
from hwnas.text import counted, figure, visible

if TYPE_CHECKING:
    from hwnas.robotics.replay_results import Replay, ReplayStatus


BagArgument = Annotated[
    Path,
    typer.Argument(metavar="BAG", help="MCAP or SQLite (.db3) file, directory of rosbag2, or .bag of ROS 1."),
]
OutOption = Annotated[
    Path, typer.Option("-o", "--out", help="Bag to write: a .mcap or .db3 file, or a directory of rosbag2.")
]
TopicOption = Annotated[
    str | None, typer.Option(help="Topic with the clouds. Default: the only one that has any.")
]
RateOption = Annotated[
    str, typer.Option(help="fast: one scan after the other. recorded: each when its time has come.")
]
KeepTopicsOption = Annotated[
    list[str] | None,
    typer.Option(help="Topic to copy into the output; may be given several times. all: every topic."),
]
VisualizationOption = Annotated[
    bool, typer.Option("--visualization", help="Also write coloured clouds: TOPIC/visualization.")
]
ForceOption = Annotated[bool, typer.Option("--force", help="Replace a bag that hwnas wrote.")]


def replay(
    bag: BagArgument,
    bundle: BundleOption,
    out: OutOption,
    topic: TopicOption = None,
    rate: RateOption = "fast",
    keep_topics: KeepTopicsOption = None,
    remove_class: RemoveClass = None,
    format_options: CloudFields = None,
    threads: Threads = 1,
    precision: Precision = "fp32",
    allowed_signers: AllowedSigners = None,
    identity: Identity = None,
    *,
    visualization: VisualizationOption = False,
    require_signature: RequireSignature = False,
    force: ForceOption = False,
    no_check_scans: NoCheckScans = False,
    as_json: AsJson = False,
) -> None:
    """Label the clouds of a bag and write them as TOPIC/segmentation: x, y, z, class_id and probability.

    Stamps and frames are those of the input, labels those of `hwnas infer`. Scans that cannot be labelled are
    named at the end, and the others are done; the exit code is then 3.
    """
    from hwnas.robotics.replay import ReplayOptions
    from hwnas.robotics.replay import replay as replay_bag

    trust = trust_of(require_signature=require_signature, allowed_signers=allowed_signers, identity=identity)
    options = ReplayOptions(
        topic=topic,
        rate=rate,
        keep_topics=keep_topics or (),
        visualization=visualization,
        remove_classes=remove_class or (),
        format_options=format_options_of(format_options) or {},
        threads=threads,
        precision=precision,
        force=force,
        check_scans=not no_check_scans,
    )
    if no_check_scans:
        say_unchecked()
    with transient_bar("Opening bag and bundle") as show:

        def on_scan(status: ReplayStatus) -> None:
            show("Labelling scans", status.number - 1, status.wanted)

        found = replay_bag(bag, bundle, out, options, trust=trust, progress=on_scan)
    if as_json:
        print_json(found.to_json())
    else:
        _show(found)
    _refuse_problems(found)


def _show(found: Replay) -> None:
    from rich.table import Table

    refused = f", {len(found.refused)} refused" if found.refused else ""
    text = (
        f"{found.out}: {found.labelled} of {counted(found.scans, 'scan')} of "
        f"{visible(found.topic, keep='')} labelled{refused}"
    )
    if found.copied_messages:
        text += f", {counted(found.copied_messages, 'message')} copied"
    if found.out is not None:
        out_console.say(f"{text}.")
    if found.latency:
        table = Table("step", "median, ms", "p99, ms")
        for step, latency in found.latency.items():
            table.add_row(step, figure(latency.median_ms), figure(latency.p99_ms))
        out_console.print(table)
    if found.max_lag_ms is not None:
        out_console.print(f"The most delayed scan was begun {found.max_lag_ms:.0f} ms after its time.")
    for warning, count in found.warnings.items():
        text = f"Warning ({counted(count, 'scan')}): {warning}"
        err_console.say(text)


def _refuse_problems(found: Replay) -> None:
    """End with the scans that were not labelled.

    Raises:
        DataError: if there is one.
    """
    if not found.refused:
        return
    problems = listed_problems(
        [f"scan {one.number}, recorded at {one.log_ns} ns: {one.message}" for one in found.refused]
    )
    nothing = "" if found.out is not None else " Nothing was written."
    raise DataError(
        f"{len(found.refused)} of {counted(found.scans, 'scan')} could not be labelled.{nothing}{problems}"
    )
