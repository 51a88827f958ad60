"""A latency table of a target as one call: drawn, measured, fitted and saved; a kill loses little."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from hwnas.config import DEFAULT_TARGET, load_config
from hwnas.files import is_json_with, refuse_foreign, refuse_foreign_directory
from hwnas.io_spec import NetworkContract, dense_logits
from hwnas.latency.predict.exporting import check_precision
from hwnas.latency.predict.profiling import HEADER, ProfileProgress, ProfileSettings, remove_profile
from hwnas.latency.predict.table import LatencyTable, load_table
from hwnas.latency.predict.table_making import make_table
from hwnas.latency.predict.transfer import make_table_from_others
from hwnas.latency.target import Target
from hwnas.search_spaces.base import SearchSpace, make_search_space
from hwnas.tasks.base import make_task

DEFAULT_CONTRACT = NetworkContract(
    in_channels=5, height=64, widths=(512,), outputs=dense_logits(19), cyclic_width=True
)
"""Range images of a 64-beam sensor, 19 classes."""


def profile(
    target: str | Target = DEFAULT_TARGET,
    *,
    space: str | SearchSpace = "range-unet",
    contract: NetworkContract = DEFAULT_CONTRACT,
    run: str | Path | None = None,
    out: str | Path | None = None,
    budget_s: float = 540.0,
    networks: int = 1000,
    precision: str = "fp32",
    seed: int = 0,
    from_tables: str | Path | Sequence[str | Path] = (),
    samples: int = 10,
    keep_raw: bool = False,
    progress: Callable[[ProfileProgress], None] = lambda _: None,
) -> LatencyTable:
    """Measure a latency table of a target, and save it. Killed or interrupted, the same call goes on.

    Args:
        target: URL of the target.
        space: a search space to draw networks from: one that was made for `contract`, or its name.
        contract: inputs and classes of the networks.
        run: run file whose task, space and choices the table is for, instead of `space` and `contract`.
        out: file of the table; `default_table_path` if None.
        budget_s: time to spend on networks, in seconds.
        networks: measure at most this many.
        precision: precision of the networks, as written into their files: `fp32` or `fp16`.
        seed: seed of the choice of networks.
        from_tables: tables of other devices: then `samples` networks are enough.
        samples: networks to measure with `from_tables`, from 5.
        keep_raw: keep the raw measurements beside the table.
        progress: is told how far it is.

    Returns:
        The table; `LatencyTable.held_out` states how well it predicts networks left out.

    Raises:
        ConfigError: if an argument is wrong.
        FileAccessError: if `out` is a file that is no latency table.
        MeasurementError: if the target cannot be measured.
        LatencyTableError: if too few networks were measured, or the tables do not cover them.
    """
    url = target.url if isinstance(target, Target) else target
    if run is not None:
        drawn, contract = _space_of_run(Path(run))
    else:
        drawn = make_search_space(space, contract) if isinstance(space, str) else space
    check_precision(precision)
    path = Path(out) if out is not None else default_table_path(url, precision)
    path.parent.mkdir(parents=True, exist_ok=True)
    refuse_foreign(path, "a latency table", is_json_with("schema_version", "target", "fingerprint"))
    raw = path.with_suffix(".partial")
    refuse_foreign_directory(raw, "raw measurements", [HEADER])
    if isinstance(from_tables, str | Path):
        from_tables = [from_tables]
    others = [load_table(Path(name)) for name in from_tables]
    if others:
        table = make_table_from_others(
            url, drawn, contract, raw, others, samples, seed=seed, precision=precision, listener=progress
        )
    else:
        settings = ProfileSettings(budget_s, networks, seed, precision)
        table = make_table(url, drawn, contract, raw, settings, progress)
    table.save(path)
    if not keep_raw:
        remove_profile(raw)
    return table


def _space_of_run(run: Path) -> tuple[SearchSpace, NetworkContract]:
    config = load_config(run, must_exist=("task",))
    contract = make_task(config.task.name, config.task.settings).contract
    return make_search_space(config.space.name, contract, config.space.choices), contract


def default_table_path(target_url: str, precision: str = "fp32") -> Path:
    """Return `latency_tables/TARGET.json`, the target written as a file name."""
    named = target_url if precision == "fp32" else f"{target_url} {precision}"
    return Path("latency_tables") / f"{re.sub(r'[^a-z0-9]+', '-', named.lower()).strip('-')}.json"
