"""`hwnas adapt`: a network for a new sensor, place or label map, from few labelled samples."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from hwnas.cli.console import err_console, out_console, print_json
from hwnas.cli.options import AsJson
from hwnas.cli.trust import AllowedSigners, Identity, RequireSignature, trust_of
from hwnas.text import counted

if TYPE_CHECKING:
    from hwnas.bundle.adaptation.result import Adaptation
    from hwnas.tasks.few_shot import EvaluatedQuality


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("adapt")(adapt)


def adapt(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="Bundle that `hwnas export` wrote.")],
    data: Annotated[
        str, typer.Option(help="Data set of the new sensor or place, with labelled train and val splits.")
    ],
    scans: Annotated[
        int, typer.Option("--scans", min=1, help="Labelled scans of its training split to adapt to.")
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="Directory of the new bundle.")],
    method: Annotated[
        str,
        typer.Option(
            help="none, batch-norm, head, fine-tune, with --start anil or maml; or auto: the best on "
            "scans held out of these."
        ),
    ] = "auto",
    label_map: Annotated[str | None, typer.Option(help="Label map; the data set's own if not given.")] = None,
    steps: Annotated[int, typer.Option(min=1, help="Training steps of head and fine-tune.")] = 150,
    learning_rate: Annotated[float, typer.Option(help="Their peak learning rate.")] = 1e-3,
    folds: Annotated[int, typer.Option(min=2, help="Parts of the scans that auto holds out in turn.")] = 2,
    start: Annotated[
        Path | None,
        typer.Option(metavar="INIT", help="Weights of `hwnas meta-train` that anil and maml begin with."),
    ] = None,
    inner_steps: Annotated[
        int | None,
        typer.Option(min=1, help="Gradient steps of anil and maml; as in the meta-training if not given."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed for drawing the scans and for training.")] = 0,
    target: Annotated[
        str | None, typer.Option(help="Measure on this target instead of the bundle's.")
    ] = None,
    allowed_signers: AllowedSigners = None,
    identity: Identity = None,
    *,
    require_signature: RequireSignature = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a bundle at --out.")] = False,
    as_json: AsJson = False,
) -> None:
    """Adapt a network to a new sensor, place or label map from few labelled scans.

    Methods are compared on parts of these scans; the validation split is used only for the reported figures.
    If it is interrupted, run the same command again to resume.
    """
    from hwnas.bundle.bundle import Bundle
    from hwnas.run.progress import shown_adaptation

    trust = trust_of(require_signature=require_signature, allowed_signers=allowed_signers, identity=identity)
    with shown_adaptation(err_console) as listener:
        found = Bundle(bundle, trust=trust).adapt(
            data,
            out,
            scans=scans,
            method=method,
            label_map=label_map,
            steps=steps,
            learning_rate=learning_rate,
            folds=folds,
            start=start,
            inner_steps=inner_steps,
            seed=seed,
            target=target,
            force=force,
            progress=listener,
        )
    if as_json:
        print_json(found.to_json())
    else:
        _show(found)


def _show(found: Adaptation) -> None:
    if found.tried:
        out_console.print(_methods_table(found))
    _say_classes("New to the network", found.new_classes)
    _say_classes("Known to the network, but not in the new label map", found.dropped_classes)
    _say_quality(found)
    for warning in _warnings(found):
        err_console.warn(warning)
    out_console.say(f"Latency {found.latency_ms:.2f} ms. Bundle: {found.bundle}")


def _methods_table(found: Adaptation) -> Table:
    table = Table(title="Methods, on scans held out of those given", title_justify="left")
    for heading in ("method", found.after.quality.metric, "of each part", "seconds", "remark"):
        table.add_column(heading, justify="left" if heading in ("method", "remark") else "right")
    for result in found.tried:
        value = "" if result.value is None else f"{result.value:.4f}"
        parts = ", ".join(f"{part:.4f}" for part in result.held_out)
        remark = result.why_not or ("used" if result.method == found.method else "")
        table.add_row(result.method, value, parts, f"{result.seconds:.1f}", remark)
    return table


def _say_classes(what: str, names: Sequence[str]) -> None:
    if names:
        out_console.say(f"{what}: {', '.join(names)}")


def _say_quality(found: Adaptation) -> None:
    metric, constant = found.after.quality.metric, found.constant_answer
    out_console.say(
        f"{metric} on the validation split: {_with_interval(found.before)} before, "
        f"{_with_interval(found.after)} after {found.method}, {found.adapt_s:.0f} s."
    )
    if constant is not None:
        out_console.say(
            f"Answering {constant.group!r} everywhere, the most frequent class, gives {constant.value:.4f}."
        )


def _warnings(found: Adaptation) -> Iterator[str]:
    """Yield what speaks against the adapted network on the validation split."""
    if not found.is_better:
        yield (
            "On the validation split the adapted network is no better than it was. Give more scans "
            "of other places, or more --steps."
        )
    if found.has_learned_nothing:
        yield (
            "On the validation split the adapted network is no better than a constant answer: it has learned "
            "nothing of use there. Do not deploy it. See that train and val show alike places and that the "
            "label map fits (`hwnas data info`), then give more scans or more --steps."
        )


def _with_interval(found: EvaluatedQuality) -> str:
    value = f"{found.quality.value:.4f} {found.quality.scope}".rstrip()
    if found.interval is None:
        return f"{value} (no interval from {counted(found.quality.num_samples, 'scan')})"
    low, high = found.interval
    return f"{value} [{low:.4f}, {high:.4f}]"
