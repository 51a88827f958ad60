"""`hwnas data synthesize`: makes scans of synthetic scenes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hwnas.cli.arguments import refuse_options
from hwnas.cli.console import out_console, print_json, transient_bar
from hwnas.cli.options import AsJson
from hwnas.text import argument, counted


def synthesize(
    context: typer.Context,
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="Where the data set goes; must be new or empty.")
    ],
    *,
    scans: Annotated[int, typer.Option(min=1, help="Number of scans.")] = 100,
    sensor: Annotated[str, typer.Option(help="hdl-64e, pandar64 and others, or a YAML file.")] = "hdl-64e",
    scans_per_scene: Annotated[
        int, typer.Option(min=1, help="Scans taken along the way through each scene.")
    ] = 5,
    place: Annotated[
        str | None, typer.Option(help="residential, urban, rural or motorway; all in turn if not given.")
    ] = None,
    height_m: Annotated[
        float | None,
        typer.Option(help="Height of the sensor above the road; that of its table if not given."),
    ] = None,
    extinction_per_m: Annotated[
        float,
        typer.Option(
            help="Extinction of the air: 0 is clear; about 3 / V in fog with a visibility of V metres."
        ),
    ] = 0.0,
    drive: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            help="Drive through one scene instead, at most 60 s: scans taken under way, with rings and "
            "times, and a bag of them, drive.mcap.",
        ),
    ] = None,
    rate_hz: Annotated[float, typer.Option(help="Scans a second of a drive, 1 to 50.")] = 10.0,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same scans.")] = 0,
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = 1,
    no_bag: Annotated[bool, typer.Option("--no-bag", help="Write no bag of a drive.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make labelled scans of synthetic driving scenes, in SemanticKITTI's layout."""
    if drive is not None:
        refuse_options(
            context,
            ("scans", "scans_per_scene"),
            "is not for a drive; --drive and --rate-hz say how many scans there are.",
        )
        refuse_options(
            context,
            ("place", "height_m", "extinction_per_m"),
            "is not for a drive, whose place follows from --seed; leave it out.",
        )
        _synthesize_drive(directory, drive, rate_hz, sensor, seed, workers, bag=not no_bag, as_json=as_json)
        return
    refuse_options(context, ("rate_hz", "no_bag"), "is for drives alone; give --drive SECONDS, too.")
    from hwnas.data.synthetic import synthesize_dataset

    with transient_bar("Casting rays") as show:
        path = synthesize_dataset(
            directory,
            scans=scans,
            sensor=sensor,
            scans_per_scene=scans_per_scene,
            seed=seed,
            place=place,
            height_m=height_m,
            extinction_per_m=extinction_per_m,
            workers=workers,
            progress=lambda status: show("Casting rays", status.number, status.wanted),
        )
    if as_json:
        print_json({"path": str(path), "scans": scans, "sensor": sensor, "seed": seed})
    else:
        out_console.say(
            f"{counted(scans, 'scan')} of {sensor}: {path}; `hwnas data info {argument(path)}` describes "
            "them."
        )


def _synthesize_drive(
    directory: Path,
    drive_s: float,
    rate_hz: float,
    sensor: str,
    seed: int,
    workers: int,
    *,
    bag: bool,
    as_json: bool,
) -> None:
    from hwnas.robotics.synthetic_drive import synthesize_drive

    with transient_bar("Driving") as show:
        made = synthesize_drive(
            directory,
            drive_s,
            rate_hz=rate_hz,
            sensor=sensor,
            seed=seed,
            workers=workers,
            bag=bag,
            progress=lambda status: show("Casting rays", status.number, status.wanted),
        )
    if as_json:
        print_json({**made.to_json(), "sensor": sensor, "seed": seed})
        return
    text = f"{counted(made.scans, 'scan')} of {sensor} over {made.length_m:.0f} m: {made.path}"
    out_console.say(text if made.bag is None else f"{text}, and as a bag: {made.bag}")
