"""From a run to bundles: the networks that were picked, checked, written and measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from hwnas.bundle.bundle import Bundle
from hwnas.bundle.directory import held_outputs, refuse_existing
from hwnas.bundle.engines import check_engine_choice
from hwnas.bundle.export import check_network, export_bundle
from hwnas.bundle.manifest import MANIFEST_NAME
from hwnas.bundle.purpose import ExportOptions
from hwnas.bundle.signing import check_key
from hwnas.bundle.trained_member import TrainedMember
from hwnas.latency.measure.meter import open_meter
from hwnas.latency.measure.protocol import MeasuringProtocol
from hwnas.progress import Listener
from hwnas.run.front import trained_members
from hwnas.search.picking import Choosable, Pick, choose
from hwnas.search.run_data import refuse_other_data
from hwnas.search.run_directory import RunDirectory
from hwnas.search.run_target import final_target
from hwnas.search_spaces.base import make_search_space
from hwnas.tasks.base import make_task


@dataclass(frozen=True)
class ExportStatus:
    """Which network is exported: its place among those that are wanted, from 1, and its architecture id."""

    number: int
    wanted: int
    architecture_id: str


@torch.random.fork_rng(devices=[])  # what is drawn here must not change what the caller draws afterwards
def export_run(
    run: Path,
    options: ExportOptions,
    *,
    pick: Pick = "all",
    out: Path | None = None,
    progress: Listener[ExportStatus] | None = None,
) -> tuple[Bundle, ...]:
    """Write the picked networks of a run as bundles; see `Run.export`.

    Args:
        run: the run directory.
        options: what is written; the run file says how many builds of an engine are made.
        pick: which networks, see `hwnas.search.picking.choose`.
        out: directory of the bundles; that of the run if None.
        progress: is told which network is exported.

    Raises:
        StudyError: if nothing was trained there, or the data are not those of the run.
        ConfigError: if `pick` names nothing, the target cannot build the engine, or options contradict.
        ExportError: if a bundle exists already or may not be replaced, another export writes it, there is no
            such key, or a network cannot be exported.
        MeasurementError: if the target cannot be used.
    """
    directory = RunDirectory(run)
    config = directory.load_config()
    target = final_target(config)
    check_engine_choice(options.engine, target)
    purpose = options.purpose(target)
    members = trained_members(directory)
    picked = pick_members(members, pick)
    places = [(directory.bundles_dir if out is None else out) / member.architecture.id for member in picked]
    for place in places:
        refuse_existing(place, force=options.force, marker=MANIFEST_NAME)
    if options.key is not None:
        check_key(options.key)
    with held_outputs(places):  # before anything is traced or measured
        task = make_task(config.task.name, config.task.settings)
        refuse_other_data(directory, task)
        space = make_search_space(config.space.name, task.contract, config.space.choices)
        for member in picked:  # all of them before the first is measured
            check_network(task, space, member.architecture, purpose)
        protocol = replace(MeasuringProtocol.final(), **config.measuring.final.overrides())
        options = replace(options, builds=config.measuring.final.builds)
        written = []
        with open_meter(target, protocol) as meter:
            for number, (member, bundle) in enumerate(zip(picked, places, strict=True), start=1):
                name = member.architecture.id
                if progress is not None:
                    progress(ExportStatus(number, len(picked), name))
                export_bundle(task, space, member, bundle, meter=meter, options=options)
                written.append(Bundle(bundle))
        return tuple(written)


def pick_members(members: Sequence[TrainedMember], pick: Pick) -> list[TrainedMember]:
    """Return the members that `pick` names, see `hwnas.search.picking.choose`.

    Raises:
        ConfigError: if it names none, or is not one of the known forms.
    """
    return choose([_choosable(member) for member in members], pick)


def _choosable(member: TrainedMember) -> Choosable[TrainedMember]:
    latency_ms = None if member.latency is None else member.latency.latency_ms
    cost = latency_ms if member.cost is None else member.cost
    return Choosable(
        member, member.architecture, member.quality.error, cost, latency_ms, bool(member.exceeds)
    )
