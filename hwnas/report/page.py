"""The page: sections of a report put together to one HTML document that needs no network."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

from hwnas.onnx_graphs.precision.kinds import FP32
from hwnas.report.comparison import comparison_figure, comparison_hint, comparison_table
from hwnas.report.content import Member, RunContent
from hwnas.report.figures import as_html, front_figure, hypervolume_figure, losses_figure, plotly_script
from hwnas.report.prediction import both_latencies, prediction_figure, prediction_in_words
from hwnas.report.tables import (
    candidates_table,
    classes_table,
    confusion_table,
    data_table,
    estimator_report_table,
    members_table,
    settings_table,
    stages_table,
    trials_table,
)
from hwnas.report.words import ABSENT, amount, count, duration, escape, gene_lines, milliseconds, percent
from hwnas.search.stage_costs import stage_costs
from hwnas.search.trial_counts import TrialCounts
from hwnas.tasks.base import Picture
from hwnas.text import plural

# Nothing outside the file may be loaded, whatever a name in the run contains.
_POLICY = (
    "default-src 'none'; img-src data: blob:; style-src 'unsafe-inline'; "
    "script-src 'unsafe-inline'; font-src data:"
)
GENERATOR = "<meta name='generator' content='hwnas'>"
"""By which a report is told from other pages."""
_SECTIONS = (
    ("task", "Task"),
    ("space", "Search space"),
    ("search", "Search"),
    ("training", "Training"),
    ("measuring", "Measuring"),
)


@dataclass(frozen=True)
class Illustrations:
    """What is drawn with the help of the task and the search space.

    Attributes:
        drawings: SVG elements by architecture id.
        pictures: pictures of the task by architecture id.
        notes: why something is missing, for readers.
        expects: what the task says of its raw input, such as sensor, rings and field of view.
    """

    drawings: Mapping[str, str] = field(default_factory=dict)
    pictures: Mapping[str, Sequence[Picture]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    expects: Mapping[str, Any] = field(default_factory=dict)


def render_page(content: RunContent, illustrations: Illustrations, versions: Mapping[str, str | None]) -> str:
    """Return the whole report as one HTML document.

    Args:
        content: of the run directory.
        illustrations: drawings and pictures; whatever is missing is left out, with its note.
        versions: of hwnas and the libraries that made the report.
    """
    resources = files("hwnas.report")
    title = f"{content.config.task.name} on {content.config.target}"
    sections = [
        _front_section(content),
        _comparison_section(content),
        _members_section(content),
        _pictures_section(content, illustrations),
        _classes_section(content),
        _confusion_section(content),
        _precisions_section(content),
        _drawings_section(content, illustrations),
        _hypervolume_section(content),
        _losses_section(content),
        _prediction_section(content),
        _estimator_section(content),
        _transfer_section(content),
        _stages_section(content),
        _data_section(content, illustrations),
        _trials_section(content),
        _settings_section(content, versions),
    ]
    return (
        "<!DOCTYPE html>\n<html lang='en'><head><meta charset='utf-8'>"
        f"{GENERATOR}"
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        "<meta name='color-scheme' content='light dark'>"
        f"<title>{escape(title)}</title><style>{resources.joinpath('report.css').read_text('utf-8')}</style>"
        f"{plotly_script()}</head><body><main>{_header(content, title)}{''.join(sections)}</main>"
        f"<script>{resources.joinpath('report.js').read_text('utf-8')}</script></body></html>\n"
    )


def _header(content: RunContent, title: str) -> str:
    data = (content.config.task.model_extra or {}).get("data")
    facts = [f"run {content.run.path.resolve().name}"]
    facts += [f"data {data}"] if data else []
    facts += [f"finished {content.finished[:16].replace('T', ' ')} UTC"] if content.finished else []
    if content.unreadable_events:
        facts.append(f"{content.unreadable_events} damaged lines of {content.run.events.name} left out")
    boxes = "".join(
        f"<div><b>{escape(value)}</b><span>{escape(label)}</span></div>"
        for value, label in _key_figures(content)
    )
    return (
        f"<header><h1>{escape(title)}</h1><p>{escape(' · '.join(facts))}</p></header>"
        f"<div class='figures'>{boxes}</div>"
    )


def _key_figures(content: RunContent) -> list[tuple[str, str]]:
    """Return the numbers at the top with their labels."""
    counted = [member for member in (content.trained or content.members) if member.quality]
    best = max((float(member.quality["value"]) for member in counted if member.quality), default=None)
    when = "full budget" if content.trained else "in the search"
    unit = content.unit
    costs = [member.cost for member in content.trained or content.members if member.cost is not None]
    span = ABSENT
    if costs:
        low, high = amount(min(costs), unit), amount(max(costs), unit)
        span = low if low == high else f"{low.removesuffix(f' {unit}')} – {high}"
    trials = content.front["trials"]
    counts = TrialCounts.of(trials)
    interrupted = f", {counts.interrupted} interrupted" if counts.interrupted else ""
    search_s = max((float(trial["elapsed_s"]) for trial in trials), default=0.0)
    full_s = sum(float(member.trained["train_s"]) for member in content.trained if member.trained)
    figures = [
        (percent(best), f"best {content.metric}, {when}"),
        (span, f"{content.objective}, {when}"),
        (
            f"{counts.trained} trained",
            f"{counts.infeasible} over budget, {counts.failed} failed{interrupted}",
        ),
        (duration(search_s), "search"),
    ]
    if content.trained:
        figures.append((duration(full_s), "full training"))
    corner = f"error 1, {amount(content.front['reference_point'][1], unit)}"
    return [*figures, (f"{content.front['hypervolume']:.4g}", f"hypervolume up to {corner}")]


def _section(title: str, hint: str, body: str, *, name: str) -> str:
    said = f"<p class='hint'>{hint}</p>" if hint else ""
    return f"<section id='{name}'><h2>{escape(title)}</h2>{said}{body}</section>"


def _front_section(content: RunContent) -> str:
    hint = (
        "Lower left is better. Points are candidates after short training, the line is their front, "
        "and bars are 95 % intervals."
    )
    if content.trained:
        hint += " Diamonds are networks trained at full budget; dotted lines lead from their short training."
    else:
        hint += " Nothing has been trained at full budget yet: run <code>hwnas train</code>."
    return _section(
        "Accuracy and latency", hint, as_html(front_figure(content), "pareto-figure"), name="front"
    )


def _comparison_section(content: RunContent) -> str:
    found = content.comparison
    if found is None:
        return ""
    figure = as_html(comparison_figure(found), "comparison-figure")
    body = figure + comparison_table(found)
    front = {one.architecture.id for one in content.trained if one.trained and one.trained["on_front"]}
    hint = comparison_hint(found, front)
    return _section("Beside hand-crafted networks", hint, body, name="comparison")


def _hypervolume_section(content: RunContent) -> str:
    hint = "Hypervolume: the area that the front dominates. While it still rises, more trials pay off."
    figure = as_html(hypervolume_figure(content.front), "hypervolume-figure")
    return _section("Progress of the search", hint, figure, name="hypervolume")


def _prediction_section(content: RunContent) -> str:
    trials = both_latencies(content.front)
    if not trials:
        return ""
    body = as_html(prediction_figure(trials), "prediction-figure")
    return _section(
        "Predicted and measured latency", prediction_in_words(content.front), body, name="prediction"
    )


def _stages_section(content: RunContent) -> str:
    hint = (
        "Time of the workers for candidates and full training, of the driver for prescreening, and of the "
        "target for latency tables."
    )
    body = stages_table(stage_costs(content.run))
    return _section("Cost of the stages", hint, body, name="stages")


def _estimator_section(content: RunContent) -> str:
    report = content.estimator_report
    if report is None:
        return ""
    hint = (
        f"Rank correlation with full training over {report.rank_correlation.networks} networks that the "
        "estimator had not seen, from <code>hwnas estimate</code>."
    )
    warnings = "".join(f"<p class='no'><b>{escape(text)}</b></p>" for text in report.warnings)
    return _section(
        "Estimator report", hint, estimator_report_table(report) + warnings, name="estimator-report"
    )


def _transfer_section(content: RunContent) -> str:
    transfer = content.transfer
    if transfer is None:
        return ""
    listed = "".join(f"<li>{escape(name)}</li>" for name in transfer.studies)
    hint = "The strategy was given the networks that these runs trained, whatever their device or data."
    body = f"<ul>{listed}</ul><p>{escape(str(transfer))}</p>"
    return _section("Earlier runs", hint, body, name="earlier-runs")


def _members_section(content: RunContent) -> str:
    body = members_table(content) if content.members else "<p class='note'>No candidate was trained yet.</p>"
    hint = (
        "Latency is the median from the final measurement, or from the quick one of the search for networks "
        "that were not trained at full budget. Bundles state another one, measured on the exported file. "
        "“Stable” says whether a measurement ran undisturbed."
    )
    if content.rank_agreement is not None:
        hint += (
            f" Kendall's tau between the latencies of the search and the final ones: "
            f"{content.rank_agreement['kendall']:.2f}, over {content.rank_agreement['members']} networks."
        )
    spreads = [
        float(member.trained["builds"]["spread"])
        for member in content.trained
        if member.trained and member.trained.get("builds") is not None
    ]
    if spreads:
        hint += (
            " Of several builds of each engine, the fastest was kept; the slowest takes up to "
            f"{max(spreads):.1%} longer."
        )
    return _section("Networks", hint, body, name="members")


def _precisions_section(content: RunContent) -> str:
    candidates = [candidate for member in content.members for candidate in member.candidates]
    if all(candidate.precision == FP32 for candidate in candidates):
        return ""
    hint = (
        "Each network at each precision of its bundle, evaluated on the validation split and measured on the "
        "target in turn with fp32. One front covers all; a precision that breaks its limits is not on it."
    )
    return _section("Precisions", hint, candidates_table(candidates), name="precisions")


def _classes_section(content: RunContent) -> str:
    members = [member for member in content.trained or content.members if member.quality]
    if not members:
        return ""
    quality, words = members[0].quality or {}, content.words
    if not quality["per_class"]:
        return ""
    when = "at full budget" if content.trained else "after the short training of the search"
    hint = (
        f"{escape(words.part)} in percent {when}, over {count(quality['num_items'])} "
        f"{escape(plural(words.item))} of {escape(quality['num_samples'])} validation "
        f"{escape(plural(words.sample))}. A dash: the {escape(words.group)} does not occur in the ground "
        "truth and does not count in the mean."
    )
    heading = plural(words.group).capitalize()
    return _section(heading, hint, classes_table(members, words), name="classes")


def _confusion_section(content: RunContent) -> str:
    counted = [member for member in content.trained or content.members if member.quality]
    shown = [member for member in counted if (member.quality or {}).get("confusion")]
    if not shown:
        return ""
    best = max(shown, key=lambda member: float((member.quality or {})["value"]))
    hint = (
        f"Rows are the true {escape(plural(content.words.group))}, columns the predicted ones, in percent of "
        f"the row, by <code>{best.architecture.id[:8]}</code>, the best by {escape(content.metric)}."
    )
    return _section("Confusion", hint, confusion_table(best.quality or {}, content.words), name="confusion")


def _losses_section(content: RunContent) -> str:
    figure = losses_figure(content.trained)
    hint = "Mean training loss of the networks trained at full budget."
    return _section("Training", hint, as_html(figure, "losses-figure"), name="losses") if figure.data else ""


def _data_section(content: RunContent, illustrations: Illustrations) -> str:
    quality = next((member.quality for member in content.members if member.quality), None)
    settings = {"task": content.config.task.name, **content.config.task.settings}
    parts = [("What the task was given", settings_table(settings))]
    if illustrations.expects:
        parts.append(("What its networks expect", settings_table(illustrations.expects)))
    if quality is not None:
        words = content.words
        title = (
            f"Validation: {count(quality['num_samples'])} {plural(words.sample)}, "
            f"{count(quality['num_items'])} {plural(words.item)}"
        )
        parts.append((title, data_table(quality, words)))
    body = "".join(
        f"<div><h3>{escape(title)}</h3><div class='wide'>{part}</div></div>" for title, part in parts
    )
    return _section("Data", "", f"<div class='settings'>{body}</div>", name="data")


def _drawings_section(content: RunContent, illustrations: Illustrations) -> str:
    hint = (
        "Data flow from left to right, and down where the resolution falls; dashed lines are skip "
        "connections. Taller boxes have a higher resolution, wider boxes more channels."
    )
    shown = [m for m in _illustrated(content) if m.architecture.id in illustrations.drawings]
    body = "".join(
        f"<details{' open' if number < 2 else ''}><summary>{_summary(member)}</summary>"
        f"<p class='hint'>{'<br>'.join(escape(line) for line in gene_lines(member.architecture))}</p>"
        f"<div class='wide'>{illustrations.drawings[member.architecture.id]}</div></details>"
        for number, member in enumerate(shown)
    )
    return _section("Architectures", hint, body, name="architectures") if body else ""


def _pictures_section(content: RunContent, illustrations: Illustrations) -> str:
    body = "".join(f"<p class='note'>{escape(note)}</p>" for note in illustrations.notes)
    shown = [member for member in content.trained if illustrations.pictures.get(member.architecture.id)]
    shown.sort(key=lambda member: -float((member.quality or {})["value"]))
    for number, member in enumerate(shown):
        figures = "".join(_picture(picture) for picture in illustrations.pictures[member.architecture.id])
        is_open = " open" if number == 0 else ""
        body += f"<details{is_open}><summary>{_summary(member)}</summary>{figures}</details>"
    hint = "Validation samples: input, prediction, ground truth and errors."
    return _section("Samples", hint if shown else "", body, name="samples") if body else ""


def _illustrated(content: RunContent) -> Sequence[Member]:
    return content.trained or content.members


def _summary(member: Member) -> str:
    quality = percent(member.quality["value"]) if member.quality else ABSENT
    latency = milliseconds(member.latency["latency_ms"]) if member.latency else ABSENT
    return (
        f"<code>{member.architecture.id}</code> <span class='soft'>{quality} · {latency} · "
        f"{count(member.parameters)} parameters</span>"
    )


def _picture(picture: Picture) -> str:
    coded = base64.b64encode(picture.png).decode("ascii")
    title = escape(picture.title)
    return (
        f"<figure><figcaption>{title}</figcaption>"
        f"<img alt='{title}' loading='lazy' src='data:image/png;base64,{coded}'></figure>"
    )


def _trials_section(content: RunContent) -> str:
    table = trials_table(content)
    number = len(content.front["trials"])
    body = f"<details><summary>{number} trials</summary>{table}</details>"
    return _section("All trials", "", body, name="trials")


def _settings_section(content: RunContent, versions: Mapping[str, str | None]) -> str:
    settings = content.config.to_json()
    general = {name: value for name, value in settings.items() if name not in dict(_SECTIONS)}
    identity = content.identity
    general |= {name: identity[name] for name in ("hwnas_version", "task_fingerprint") if identity.get(name)}
    parts = [("Run", general), *((title, settings[name]) for name, title in _SECTIONS)]
    measured = next((member.latency for member in reversed(content.members) if member.latency), None)
    fingerprint: Mapping[str, Any] = identity.get("target_fingerprint") or (
        measured["fingerprint"] if measured else {}
    )
    parts.append(("Target fingerprint", fingerprint))
    if measured:
        parts.append(("Protocol as measured", measured["protocol"]))
    parts.append(("Report made with", versions))
    body = "".join(
        f"<div><h3>{escape(title)}</h3>{settings_table(value)}</div>" for title, value in parts if value
    )
    hint = "A dash under “Measuring” stands for the default, which “Protocol as measured” shows."
    return _section("Settings and versions", hint, f"<div class='settings'>{body}</div>", name="settings")
