"""The summary of several seeds: each number with its half-width, each objective with its answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from sim.cli.summary import Marks, plain_text, print_expected
from sim.cli.summary_paths import path_sentence
from sim.results.limit import TOUCH
from sim.results.metrics import Metric
from sim.results.wording import percent, quantity, shown, span
from sim.study.judge import NO, UNDECIDED, YES, WorkloadAnswer, answer, workload_answers
from sim.study.naming import seeds_in_words
from sim.study.result import SeedsResult
from sim.units import format_si

_STATUS = {
    YES: ("OBJECTIVES MET", "bold green"),
    NO: ("OBJECTIVES MISSED", "bold red"),
    UNDECIDED: ("UNDECIDED", "bold yellow"),
    "": ("NO OBJECTIVES STATED", "bold yellow"),
    "partial": ("NOT WHOLE", "bold red"),
}
_STYLES = {YES: "green", NO: "red", UNDECIDED: "yellow"}

#: Rows of a workload: metric → label; those with an objective in ``_OBJECTIVES``.
WORKLOAD_ROWS = {
    "arrival_rate": "arrivals", "goodput_fraction": "goodput", "ttft_p50": "TTFT p50",
    "ttft_p99": "TTFT p99", "tpot_p50": "TPOT p50", "tpot_p99": "TPOT p99", "e2e_p99": "E2E p99",
}  # fmt: skip
SITE_ROWS = {
    "output_tokens_per_s": "output", "mean_draw_w": "mean draw", "peak_draw_w": "peak draw",
    "over_budget_s": "over budget", "energy_per_output_token": "energy",
    "energy_cost_per_mtoken": "its price", "goodput_per_mw": "goodput", "pue": "PUE",
    "carbon_per_mtoken": "average carbon", "water_per_mtoken": "water",
}  # fmt: skip

#: A quantile of a run is all but unbiased from so many requests beyond it on.
_TAIL = 100


def print_seeds(result: SeedsResult, out: Console) -> None:
    """Print the whole summary."""
    answers = workload_answers(result.manifest["workloads"], result.metrics)
    marks = Marks(out)
    _print_head(result, answers, out)
    out.print(_table(result, answers))
    out.print()
    for text in _notes(result):
        out.print(Text(plain_text(text)))
    print_expected(result.manifest, result.manifest.get("outside_lengths", {}), out)
    for warning in result.manifest["warnings"]:
        out.print(Text.assemble(("Warning: ", "yellow"), plain_text(warning)))
    print_expectations(result.manifest["expectations"], result.metrics, marks, out)
    out.print(Text(f"Results: {plain_text(result.folder)}, and a folder beside it for each seed"))
    next_step = _next_step(result, answers)
    if next_step:
        out.print(Text(plain_text(f"Try next: {next_step}")))


def _print_head(result: SeedsResult, answers: list[WorkloadAnswer], out: Console) -> None:
    manifest, window = result.manifest, result.manifest["window"]
    status = "partial" if result.outcome == "partial" else _status(answers)
    word, style = _STATUS[status]
    headline = "; ".join(_sentence(result, workload) for workload in answers)
    style = f"{style} reverse" if out.is_terminal else ""
    out.print(Text.assemble((f" {word} ", style), " ", plain_text(headline)))
    out.print(
        Text(
            plain_text(
                f"{manifest['scenario']}, {seeds_in_words(result.seeds)}, {manifest['engine']} "
                f"engine: {span(window['duration_s'])} simulated under each, metrics over "
                f"{span(window['measured_s'])} after {span(window['warm_up_s'])} of warm-up"
            ),
            "dim",
        )
    )
    for failed in manifest["failed"]:
        reason = failed["reason"].partition("\n")[0]
        out.print(Text(plain_text(f"Seed {failed['seed']} failed: {reason}"), "red"))
    out.print()


def _status(answers: list[WorkloadAnswer]) -> str:
    found = {workload.answer for workload in answers}
    return next(status for status in (NO, UNDECIDED, YES, "") if status in found)


def _sentence(result: SeedsResult, workload: WorkloadAnswer) -> str:
    good = result.metrics[f"{workload.name}.goodput_fraction"]
    if good.value is None:
        return f"{workload.name}: no request arrived"
    missed = f"{percent(1.0 - good.value)}{_plus_minus(good)} of its requests missed"
    how = {
        YES: "meets its objectives",
        NO: "misses its objectives",
        UNDECIDED: "may or may not meet its objectives",
        "": "no objective is stated",
    }
    allowed = f", {percent(TOUCH)} may" if workload.answer == UNDECIDED else ""
    return f"{workload.name} {how[workload.answer]}: {missed}{allowed}"


def half_width(metric: Metric) -> float | None:
    """From the value to the farther end of its interval; None where there is none."""
    if metric.value is None or metric.low is None or metric.high is None:
        return None
    return max(metric.value - metric.low, metric.high - metric.value)


def _plus_minus(metric: Metric) -> str:
    half = half_width(metric)
    if half is None:
        return ""
    return f" ± {quantity(half, metric.unit, metric.definition.dimension)}"


def _table(result: SeedsResult, answers: list[WorkloadAnswer]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim")
    headers = ("", "mean", "± (95 %)", "lowest seed", "highest seed", "wanted", "met")
    for index, header in enumerate(headers):
        table.add_column(header, justify="left" if index in (0, 6) else "right", overflow="fold")
    for workload in answers:
        table.add_row(Text(plain_text(workload.name), "bold"))
        wanted = {
            f"{objective.family}_p99": (
                f"<= {format_si(objective.objective_s, 's')}",
                objective.answer,
            )
            for objective in workload.objectives
        }
        if workload.answer:
            wanted["goodput_fraction"] = (f">= {percent(1.0 - TOUCH)}", workload.answer)
        for base, label in WORKLOAD_ROWS.items():
            _add_row(table, result, f"{workload.name}.{base}", label, *wanted.get(base, ("", "")))
    table.add_row(Text("site", "bold"))
    for base, label in SITE_ROWS.items():
        wanted_here = _power_limit(result) if base == "peak_draw_w" else ("", "")
        _add_row(table, result, base, label, *wanted_here)
    return table


def _add_row(
    table: Table, result: SeedsResult, name: str, label: str, wanted: str, found: str
) -> None:
    metric = result.metrics.get(name)
    if metric is None or metric.value is None:
        return
    definition = metric.definition
    seeds = [
        metrics[name].value for metrics in result.by_seed.values() if metrics.get(name) is not None
    ]
    values = [value for value in seeds if value is not None]
    half = half_width(metric)
    table.add_row(
        Text(f"  {label}"),
        shown(metric),
        "none" if half is None else quantity(half, definition.unit, definition.dimension),
        quantity(min(values), definition.unit, definition.dimension),
        quantity(max(values), definition.unit, definition.dimension),
        wanted,
        Text(found, _STYLES.get(found, "")),
    )


def _power_limit(result: SeedsResult) -> tuple[str, str]:
    """The limit of the utility, and whether the peak stays within it."""
    peak, headroom = result.metrics["peak_draw_w"], result.metrics["headroom_w"]
    if peak.value is None or headroom.value is None:
        return "", ""
    limit = format_si(peak.value + headroom.value, "W")
    return f"<= {limit}", answer(headroom, ">=", 0.0)


def _notes(result: SeedsResult) -> Iterator[str]:
    """What binds under how many seeds, and what the numbers leave out."""
    count = len(result.seeds)
    parts = [
        f"{limit['label'] if limit['kind'] else 'none was reached'} (under {limit['seeds']} of "
        f"{count} seeds)"
        for limit in result.manifest["binding"]
    ]
    yield f"Binding limit: {', '.join(parts)}"
    if paths := path_sentence(result.manifest):
        yield paths
    yield from _thin_tails(result)
    for name, metric in result.metrics.items():
        if metric.value is not None and metric.seeds != count and _is_shown(name, metric):
            yield f"{name}: {metric.reason}"
    if any(
        metric.value is not None and metric.low is None and _is_shown(name, metric)
        for name, metric in result.metrics.items()
    ):
        yield f"± none: the same under all {count} seeds, which leaves nothing to reckon from"


def _thin_tails(result: SeedsResult) -> Iterator[str]:
    """Workloads with too few requests in a run for its own 99th percentile to be unbiased."""
    for workload in result.manifest["workloads"]:
        arrivals = result.metrics[f"{workload['name']}.arrivals"].value or 0.0
        beyond = 0.01 * arrivals
        if 0.0 < beyond < _TAIL:
            yield (
                f"The p99 of {workload['name']} rest on {beyond:.2g} requests under each seed; "
                f"below {_TAIL} they are biased, and more seeds do not help, a longer duration does"
            )


def _is_shown(name: str, metric: Metric) -> bool:
    rows = {"workload": WORKLOAD_ROWS, "site": SITE_ROWS}.get(metric.definition.scope, {})
    return metric.definition.name in rows


def print_expectations(
    expectations: Sequence[Mapping[str, Any]],
    metrics: Mapping[str, Metric],
    marks: Marks,
    out: Console,
) -> None:
    """Print each line with its mark, of one seed or several."""
    if expectations:
        out.print(Text("Expectations"))
    for line in expectations:
        metric = metrics.get(line["metric"])
        measured = "" if metric is None or metric.value is None else shown(metric)
        if metric is not None and measured:
            measured += _plus_minus(metric)
        detail = "; ".join(part for part in (measured, line["reason"]) if part)
        mark = Text("?", "yellow") if line.get("answer") == UNDECIDED else marks.of(line["passed"])
        out.print(
            Text.assemble(
                "  ",
                mark,
                f" {plain_text(line['text'])}",
                (f"  ({plain_text(detail)})" if detail else "", "dim"),
            )
        )


def _next_step(result: SeedsResult, answers: list[WorkloadAnswer]) -> str:
    if result.manifest["failed"]:
        return "the same command again, which runs the seeds that failed"
    lines = [line["answer"] for line in result.manifest["expectations"]]
    if UNDECIDED in (*lines, *(workload.answer for workload in answers)):
        more = 4 * len(result.seeds)
        return f"--seeds {more}, about half as wide; decide on the number before you look"
    first = result.manifest["binding"][0]
    return str(first["next_step"])
