"""A plan on a terminal: the answer, the points around it, what binds, the bounds, the runs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from sim.cli.plan_shadow import print_shadows
from sim.cli.summary import plain_text
from sim.plan.least import (
    CERTAIN,
    LIKELY,
    NEAR,
    NONE,
    NOT_CERTIFIABLE,
    LineAt,
    Plan,
    PointAt,
)
from sim.plan.shadow import Shadows
from sim.results.wording import percent, plus_minus, quantity, span
from sim.spec.question import MINIMUM
from sim.study.judge import NO, UNDECIDED, YES

_STYLES = {YES: "green", NO: "red", UNDECIDED: "yellow", CERTAIN: "bold green"}


def print_plan(plan: Plan, worth: Shadows | None, took_s: float, out: Path, to: Console) -> None:
    """Print the whole answer."""
    spec, seeds = plan.question.spec, plan.question.seeds
    goal = "least" if spec.goal == MINIMUM else "largest"
    asked = f"{spec.values[0]} to {spec.values[-1]}"
    to.print(
        Text(
            plain_text(
                f"{plan.question.name}: the {goal} {spec.where} of {spec.base}, {asked}, that "
                f"meets {', '.join(line.text for line in plan.question.objectives)}"
            ),
            "dim",
        )
    )
    to.print()
    headline = Text(plain_text(headline_of(plan)), _STYLES.get(plan.status, "bold"))
    to.print(headline)
    for sentence in _evidence(plan):
        to.print(Text(plain_text(sentence)))
    if any(point.seeds for point in plan.points):
        to.print()
        to.print(_table(plan))
        to.print(
            Text(
                f"mean ± 95 % at any look over 2 to {len(seeds)} seeds; late: share of arrivals "
                "without the latency in time, and in brackets the quantile itself, mean over seeds",
                "dim",
            )
        )
    if worth is not None:
        to.print()
        print_shadows(worth, to)
    to.print()
    for sentence in (*_binding(plan), *_bounds(plan), *plan.notes):
        to.print(Text(plain_text(sentence)))
    to.print(
        Text(
            plain_text(
                f"Runs: {plan.made} made, {plan.found} found in {out}, {span(took_s)} "
                f"({plan.engine} engine)"
            )
        )
    )


def headline_of(plan: Plan) -> str:
    """The answer in a line."""
    spec = plan.question.spec
    if plan.answer is None:
        value = spec.values[-1] if spec.goal == MINIMUM else spec.values[0]
        if plan.status == NOT_CERTIFIABLE:
            return f"NOT CERTIFIABLE  {spec.where}: even {value} is near saturation"
        ran = [point for point in plan.points if point.seeds]
        missed = "the lines"
        if ran:
            value = ran[-1].value
            missed = missed if ran[-1].worst is None else ran[-1].worst.objective.text
        sure = "" if plan.status == NONE else ", as far as these seeds tell"
        return f"NONE  even {spec.where} {value} misses {missed}{sure}"
    word = {CERTAIN: "ANSWER", LIKELY: "LIKELY", NOT_CERTIFIABLE: "ANSWER"}[plan.status]
    return f"{word}  {spec.where} = {plan.answer.value}{_width(plan)}"


def _width(plan: Plan) -> str:
    """Between which values the answer lies, where that is more than one."""
    assert plan.answer is not None
    value = plan.answer.value
    if plan.status == CERTAIN or (plan.low == value and plan.high == value):
        return ""
    low, high = plan.low, plan.high
    if plan.question.spec.goal != MINIMUM:
        low, high = high, low
    if low is None:
        return f"  (at most {high})"
    return f"  (at least {low})" if high is None else f"  ({low} to {high} not excluded)"


def _evidence(plan: Plan) -> Iterator[str]:
    """Why this is the answer, in sentences."""
    answer = plan.answer
    if answer is None:
        yield from (f"{p.value}: {p.verdict}: {p.reason}" for p in plan.points if p.reason)
        return
    where = plan.question.spec.where
    before = plan.beside(-1)
    if answer.verdict == YES:
        yield f"{where} {answer.value} meets every line (certain at 95 %, {answer.seeds} seeds)"
    else:
        yield (
            f"{where} {answer.value} meets every line in the means over all {answer.seeds} common "
            "seeds; that is not certain at 95 %"
        )
    if before is None:
        yield "it is the first value asked about: what lies beyond was not looked at"
    elif before.verdict == NO:
        yield f"{before.value} does not{_by(before)} (certain at 95 %, {before.seeds} seeds)"
    elif before.verdict == UNDECIDED:
        yield f"{before.value} does not{_by(before)}, in the means only: seeds differ too much"
    elif before.verdict == NEAR:
        yield (
            f"{before.value} is not certifiable: {before.reason}. So near to saturation one seed "
            "in a hundred holds a queue that the others lack"
        )
        if before.lines:
            looks = "misses" if before.worst is not None else "meets every line"
            yield f"  ({before.seeds} seeds of it, which prove nothing: it {looks}{_by(before)})"
    else:
        yield f"{before.value} {before.verdict}: {before.reason}"


def _by(point: PointAt) -> str:
    """Which line misses by most."""
    worst = point.worst
    if worst is None:
        return ""
    return f": {worst.objective.text} fails, with {_cell(worst)}"


def _table(plan: Plan) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column(plain_text(plan.question.spec.where), justify="right")
    for header in ("verdict", "seeds", "load"):
        table.add_column(header, justify="left" if header == "verdict" else "right")
    for line in plan.question.objectives:
        table.add_column(plain_text(line.text), justify="right", overflow="fold")
    for point in plan.points:
        chosen = plan.answer is not None and point.point == plan.answer.point
        if not point.seeds:
            continue
        value = f"{'→ ' if chosen else ''}{point.value}"
        cells = [Text(plain_text(_cell(line))) for line in point.lines]
        verdict = Text(point.verdict, _STYLES.get(point.verdict, "yellow"))
        table.add_row(value, verdict, str(point.seeds), _load(point), *cells)
    return table


def _load(point: PointAt) -> str:
    """Utilisation of the fullest pool."""
    known = [load.utilisation for load in point.loads if not load.unknown]
    return percent(max(known)) if known else "-"


def _cell(line: LineAt) -> str:
    objective = line.objective
    half = max(line.interval.high - line.value, line.value - line.interval.low)
    definition = objective.definition
    if objective.family:
        of = f"{percent(objective.limit)} late" if math.isinf(half) else "late"
        text = _with_half(line.value, half, "", "fraction") + f" {of}"
        if line.measured is None:
            return text
        return f"{text} ({quantity(line.measured, 's', 'time')})"
    unit, factor = definition.unit, definition.factor
    return _with_half(line.value / factor, half / factor, unit, definition.dimension)


def _with_half(value: float, half: float, unit: str, dimension: str) -> str:
    if math.isinf(half):
        return quantity(value, unit, dimension)
    if half <= 1e-4 * max(abs(value), 0.1):  # seeds are alike up to the floor of the spread
        return quantity(value, unit, dimension)
    return plus_minus(value, half, unit, dimension)


def _binding(plan: Plan) -> Iterator[str]:
    """What the runs say limits it."""
    if not plan.binding:
        return
    top = plan.binding[0]
    seeds = sum(limit["seeds"] for limit in plan.binding)
    where = f"at {plan.binding_at}"
    if top["label"] == "none":
        yield f"Binding limit {where}: none in {top['seeds']} of {seeds} runs"
        return
    yield f"Binding limit {where}: {top['label']} in {top['seeds']} of {seeds} runs"


def _bounds(plan: Plan) -> Iterator[str]:
    """What could be said without a run, and how far the answer is from it."""
    spec = plan.question.spec
    if plan.bound is None:
        return
    beyond = "less" if spec.goal == MINIMUM else "more"
    first = plan.question.values[0]
    text = f"Bound without a run: {plan.bound}"
    if plan.bound == first:
        text += ", the first value asked about, can be served by the mean load"
    else:
        text += f"; with {beyond} the mean load cannot be served"
    if plan.certifiable is not None and plan.certifiable != plan.bound:
        text += f"; with {beyond} than {plan.certifiable} a pool is near saturation"
    gap = _gap(plan)
    yield f"{text}{'; the answer is ' + gap if gap else ''}"


def _gap(plan: Plan) -> str:
    if plan.answer is None or plan.bound == plan.question.values[0]:
        return ""
    ends = [str(value).split()[0] for value in (plan.answer.value, plan.bound)]
    answer, bound = (float(end) for end in ends)
    if answer == bound:
        return "the bound itself"
    return f"{percent(abs(answer / bound - 1.0))} from it"
