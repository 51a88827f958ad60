"""Tables of a report as HTML: members, figures by class, trials, settings. Everything is escaped."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hwnas.architecture import Architecture
from hwnas.bundle.candidates import Candidate, front_of_candidates
from hwnas.estimators.report import EstimatorReport
from hwnas.objectives import LATENCY
from hwnas.report.content import Member, RunContent
from hwnas.report.words import (
    ABSENT,
    amount,
    count,
    duration,
    escape,
    gene_lines,
    interval,
    milliseconds,
    percent,
)
from hwnas.search.stage_costs import StageCost
from hwnas.search.trial_counts import INTERRUPTED, failure_of, outcome_of
from hwnas.tasks.base import MetricWords
from hwnas.text import plural

_STATES = {
    "COMPLETE": "trained",
    "PRUNED": "over the budget",
    "FAIL": "failed",
    "RUNNING": "running",
    "WAITING": "waiting",
}


def members_table(content: RunContent) -> str:
    """Return the members of the front and those at full budget, by latency."""
    metric = escape(content.metric)
    head = (
        "<th>architecture</th><th>trial</th><th>parameters</th>"
        f"<th>{metric}<span class='unit'>in the search</span></th>"
        f"<th>{metric}<span class='unit'>full budget</span></th>"
        f"{_objective_head(content)}"
        "<th>latency_ms<span class='unit'>median</span></th><th>interval<span class='unit'>ms</span></th>"
        "<th>p99</th><th>stable</th><th>training</th><th>bundle</th>"
    )
    rows = [_member_row(member, content) for member in content.members]
    return table(head, rows)


def _objective_head(content: RunContent) -> str:
    """Return a column of its own for an objective of another clock than `latency_ms`."""
    if content.objective == LATENCY:
        return ""
    return f"<th>{escape(content.objective)}<span class='unit'>objective</span></th>"


def _member_row(member: Member, content: RunContent) -> str:
    latency, trained = member.latency, member.trained
    searched = member.search_quality["value"] if member.search_quality else None
    full = f"<b>{percent(trained['quality']['value'])}</b>" if trained else ABSENT
    off_front = "" if trained is None or trained["on_front"] else " <span class='soft'>off the front</span>"
    cells = [
        f"<code>{member.architecture.id}</code>{off_front}",
        ABSENT if member.trial is None else str(member.trial),
        count(member.parameters),
        percent(searched),
        full,
        *([] if content.objective == LATENCY else [amount(member.cost, content.unit)]),
        milliseconds(latency["latency_ms"] if latency else None),
        interval(latency),
        milliseconds(latency["percentiles_ms"].get("p99") if latency else None),
        _stable(latency),
        duration(trained["train_s"]) if trained else ABSENT,
        _verified(member),
    ]
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def _stable(latency: Mapping[str, Any] | None) -> str:
    if latency is None:
        return ABSENT
    if latency["is_stable"]:
        return "<span class='yes'>yes</span>"
    return f"<span class='no'>no</span><span class='unit reason'>{escape(str(latency['remark']))}</span>"


def _verified(member: Member) -> str:
    if member.verified is None:
        return ABSENT
    return "<span class='yes'>verified</span>" if member.verified else "<span class='no'>failed</span>"


def candidates_table(candidates: Sequence[Candidate]) -> str:
    """Return architectures at precisions by latency, with what speaks against each."""
    front = front_of_candidates(candidates)
    metric = escape(candidates[0].metric) if candidates else "metric"
    head = (
        f"<th>architecture</th><th>precision</th><th>{metric}</th>"
        "<th>latency_ms<span class='unit'>median</span></th><th>on front</th><th class='left'>remark</th>"
    )
    rows = [
        f"<tr><td><code>{escape(each.architecture_id)}</code></td><td>{escape(each.precision)}</td>"
        f"<td>{percent(1 - each.error)}</td><td>{milliseconds(each.latency_ms)}</td>"
        + ("<td><span class='yes'>yes</span></td>" if each in front else "<td>no</td>")
        + f"<td class='left'>{escape('; '.join(each.remarks))}</td></tr>"
        for each in sorted(candidates, key=lambda candidate: candidate.latency_ms)
    ]
    return table(head, rows)


def classes_table(members: Sequence[Member], words: MetricWords) -> str:
    """Return the metric of every class, or other group, (rows) and member (columns), coloured by value."""
    shown = [member for member in members if member.quality]
    names = list(dict.fromkeys(name for member in shown for name in _quality(member)["per_class"]))
    head = f"<th>{escape(words.group)}</th><th>{escape(plural(words.item))}</th>" + "".join(
        f"<th><code>{member.architecture.id[:8]}</code>"
        "<span class='unit'>"
        f"{milliseconds(member.latency['latency_ms'] if member.latency else None)}</span></th>"
        for member in shown
    )
    rows = []
    for name in names:
        items = max(int(_quality(member)["items_per_class"].get(name, 0)) for member in shown)
        cells = "".join(_heat_cell(_quality(member)["per_class"].get(name)) for member in shown)
        rows.append(f"<tr><td>{escape(name)}</td><td class='soft'>{count(items)}</td>{cells}</tr>")
    means = "".join(f"<td class='cell'><b>{percent(_quality(member)['value'])}</b></td>" for member in shown)
    metric = escape(str(_quality(shown[0])["metric"])) if shown else "mean"
    rows.append(f"<tr><td><b>{metric}</b></td><td></td>{means}</tr>")
    return table(head, rows, style="heat")


def confusion_table(quality: Mapping[str, Any], words: MetricWords) -> str:
    """Return what the items of each class (rows) were taken for (columns), in percent of the row."""
    names = [str(name) for name in quality["per_class"]]
    head = f"<th>{escape(words.group)}</th>" + "".join(f"<th>{escape(name)}</th>" for name in names)
    rows = []
    for name, counts in zip(names, quality["confusion"], strict=True):
        total = sum(counts)
        cells = "".join(_heat_cell(number / total if total else None) for number in counts)
        rows.append(f"<tr><td>{escape(name)}</td>{cells}</tr>")
    return table(head, rows, style="heat confusion")


def data_table(quality: Mapping[str, Any], words: MetricWords) -> str:
    """Return how many items of each class the validation split holds."""
    items = {str(name): int(number) for name, number in quality["items_per_class"].items()}
    total = sum(items.values()) or 1
    rows = [
        f"<tr><td>{escape(name)}</td><td>{count(number)}</td><td>{percent(number / total)}</td></tr>"
        for name, number in items.items()
    ]
    head = f"<th>{escape(words.group)}</th><th>{escape(plural(words.item))}</th><th>share</th>"
    return table(head, rows)


def _quality(member: Member) -> Mapping[str, Any]:
    return member.quality or {}


def _heat_cell(value: float | None) -> str:
    if value is None:
        return "<td class='cell soft' title='not in the ground truth'>–</td>"
    # One hue whose strength says it all works on light and on dark pages.
    back = f"background:rgba(47,125,216,{0.04 + 0.62 * max(0.0, min(1.0, value)):.3f})"
    return f"<td class='cell' style='{back}'>{100 * value:.1f}</td>"


def trials_table(content: RunContent) -> str:
    """Return every trial of the study in one line each."""
    head = (
        f"<th>trial</th><th class='left'>outcome</th><th>{escape(content.metric)}</th>"
        f"<th>{escape(content.objective)}</th>"
        "<th>took</th><th class='left'>architecture</th><th class='left'>remark</th>"
    )
    return table(head, [_trial_row(trial, content.unit) for trial in content.front["trials"]])


def _trial_row(trial: Mapping[str, Any], unit: str) -> str:
    remark = escape(str(trial["reason"])) if trial["reason"] else ""
    if trial["duplicate_of"] is not None:
        remark = f"same network as trial {trial['duplicate_of']}"
    doubt = trial.get("latency_remark")
    if doubt and trial["duplicate_of"] is None:
        remark = f"latency: {escape(str(doubt))}"
    mark = " <span class='no'>(!)</span>" if doubt else ""
    named = ""
    if trial["architecture"]:
        architecture = Architecture.from_json(trial["architecture"])
        genes = escape("\n".join(gene_lines(architecture)))
        named = f"<code title='{genes}'>{architecture.id}</code>"
    value = percent(None if trial["error"] is None else 1.0 - trial["error"])
    took = ABSENT if trial["seconds"] is None else duration(trial["seconds"])
    is_interrupted = outcome_of(trial["state"], failure_of(trial)) == INTERRUPTED
    state = INTERRUPTED if is_interrupted else escape(_STATES.get(trial["state"], str(trial["state"])))
    return (
        f"<tr class='trial'><td>{trial['number']}</td><td class='left'>{state}</td><td>{value}</td>"
        f"<td>{escape(amount(trial['cost'], unit))}{mark}</td><td>{took}</td>"
        f"<td class='left'>{named}</td><td class='left'>{remark}</td></tr>"
    )


def stages_table(stages: Sequence[StageCost]) -> str:
    """Return what each stage cost, the total last."""
    rows = [
        f"<tr><td class='left'>{escape(stage.stage)}</td><td>{count(stage.networks or None)}</td>"
        f"<td>{duration(stage.seconds)}</td><td class='left'>{escape(stage.remark)}</td></tr>"
        for stage in stages
    ]
    head = "<th class='left'>stage</th><th>networks</th><th>took</th><th class='left'>remark</th>"
    return table(head, rows)


def estimator_report_table(report: EstimatorReport) -> str:
    """Return how far an estimator, and what costs nothing, order networks as full training does."""
    rows = [
        f"<tr><td class='left'>{escape(name)}</td><td>{rank_correlation.tau:.2f}</td>"
        f"<td>{rank_correlation.low:.2f} to {rank_correlation.high:.2f}</td><td>{cost}</td></tr>"
        for name, rank_correlation, cost in (
            (report.estimator, report.rank_correlation, f"{report.cost_s:.2f}"),
            ("counting multiply-accumulates", report.macs, ABSENT),
            ("counting parameters", report.parameters, ABSENT),
        )
    ]
    head = (
        "<th class='left'>networks ordered by</th><th>Kendall's tau</th><th>95 % interval</th>"
        "<th>seconds a network</th>"
    )
    return table(head, rows)


def settings_table(value: Mapping[str, Any]) -> str:
    """Return nested settings as two columns with dotted names."""
    rows = [
        f"<tr><td>{escape(name)}</td><td>{_setting(setting)}</td></tr>" for name, setting in _flat(value, "")
    ]
    return f"<table><tbody>{''.join(rows)}</tbody></table>"


def _flat(value: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, setting in value.items():
        if isinstance(setting, Mapping) and setting:
            yield from _flat(setting, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", setting


def _setting(value: Any) -> str:
    if value is None or value == {}:
        return "<span class='soft'>–</span>"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return escape(", ".join(str(item) for item in value))
    return escape(str(value))


def table(head: str, rows: Sequence[str], *, style: str = "") -> str:
    """Return a table that scrolls sideways where it is too wide; all cells are HTML already."""
    return (
        f"<div class='wide'><table class='{style}'><thead><tr>{head}</tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )
