"""From a trained network of a run to initial weights that are learned over a family of tasks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hwnas.directory_holding import held_directory
from hwnas.errors import ConfigError
from hwnas.files import refuse_foreign_directory
from hwnas.progress import CountStatus, Listener
from hwnas.run.export import pick_members
from hwnas.run.front import trained_members
from hwnas.search.picking import Pick
from hwnas.search.run_directory import RunDirectory
from hwnas.tasks.base import make_task
from hwnas.tasks.families.family_file import load_family
from hwnas.tasks.optional_parts import pinned_settings
from hwnas.text import counted
from hwnas.training.checkpoint import STATE_FILE
from hwnas.training.meta.initialisation import INITIALISATION_FILE, Initialisation
from hwnas.training.meta.meta_training import MetaNetwork, meta_train
from hwnas.training.meta.settings import MetaSettings
from hwnas.training.recipe import Recipe


@dataclass(frozen=True)
class MetaTrainingStatus:
    """How far a meta-training is.

    Attributes:
        message: what is done.
        number: members drawn, or steps done; and
        wanted: number in all; both 0 where nothing is counted.
    """

    message: str
    number: int = 0
    wanted: int = 0


def meta_train_run(
    run: Path,
    family_file: Path,
    out: Path,
    settings: MetaSettings,
    *,
    pick: Pick,
    is_fresh: bool = False,
    workers: int = 1,
    progress: Listener[MetaTrainingStatus] | None = None,
) -> Initialisation:
    """Learn initial weights of a network of a run over a family; see `Run.meta_train`.

    Raises:
        HwnasError: as `Run.meta_train`.
    """
    tell = progress or _silent
    directory = RunDirectory(run)
    config = directory.load_config()
    family = load_family(family_file)
    picked = pick_members(trained_members(directory), pick)
    if len(picked) != 1:
        raise ConfigError(
            f"`pick` names {counted(len(picked), 'network')}, but initial weights are learned for one. Give "
            "`knee`, 1, or an architecture id."
        )
    (member,) = picked
    refuse_foreign_directory(out, "initial weights", [INITIALISATION_FILE, STATE_FILE])
    out.mkdir(parents=True, exist_ok=True)  # before the work that would be lost where it cannot be made
    task = make_task(config.task.name, config.task.settings)
    pinned = pinned_settings(task, member.architecture)

    def drawn(status: CountStatus) -> None:
        tell(MetaTrainingStatus("drawing scans of members", status.number, status.wanted))

    family.draw(workers=workers, progress=drawn)
    network = MetaNetwork(
        architecture=member.architecture,
        task=config.task.name,
        settings={name: value for name, value in config.task.settings.items() if name not in pinned},
        space=config.space.name,
        restrictions=config.space.choices,
        loss=Recipe.from_json(member.recipe).loss,
        weights=None if is_fresh else member.weights,
    )
    with held_directory(out):
        return meta_train(
            network,
            family,
            settings,
            out,
            progress=lambda step, steps, loss: tell(
                MetaTrainingStatus(f"meta-training, loss after adaptation {loss:.3f}", step, steps)
            ),
            say=lambda message: tell(MetaTrainingStatus(message)),
        )


def _silent(_status: MetaTrainingStatus) -> None:
    """Hear nothing."""
