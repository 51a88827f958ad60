"""`hwnas ros`: bags and topics of ROS through a bundle, without ROS."""

from __future__ import annotations

import typer

from hwnas.cli.ros_replay import replay
from hwnas.cli.ros_run import run


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    ros = typer.Typer(help="Run bundles on bags and topics of ROS, without ROS.", no_args_is_help=True)
    ros.command("replay")(replay)
    ros.command("run")(run)
    app.add_typer(ros, name="ros")
