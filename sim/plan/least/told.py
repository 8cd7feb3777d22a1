"""What is said of the least or the most: the answer, the points around it, limits, bounds."""

from __future__ import annotations

from collections.abc import Iterator

from sim.plan.least.conflict_told import told_of_conflicts
from sim.plan.least.find import (
    CERTAIN,
    LIKELY,
    NEAR,
    NONE,
    NONE_LIKELY,
    NOT_CERTIFIABLE,
    Plan,
    PointAt,
)
from sim.plan.least.on_paper import on_paper
from sim.plan.least.shadow import Shadows
from sim.plan.least.shadow_told import told_of_shadows
from sim.plan.line_at import cell
from sim.plan.told import BAD, GOOD, LINE, OPEN, Chart, Part, Series, Table, Told, sentences
from sim.results.wording import percent
from sim.spec.question import MINIMUM
from sim.study.judge import NO, UNDECIDED, YES
from sim.units import format_si

_MEANT = {CERTAIN: GOOD, NONE: BAD, NONE_LIKELY: BAD}


def told_of(plan: Plan, worth: Shadows | None, failures: tuple[str, ...] = ()) -> Told:
    """The whole answer; ``failures``: sentences on those that it survives."""
    spec = plan.question.spec
    goal = "least" if spec.goal == MINIMUM else "largest"
    lines = ", ".join(line.text for line in plan.question.objectives)
    parts = []
    if any(point.seeds for point in plan.points):
        parts.append(Part("Evidence", (), (_table(plan),), tuple(_charts(plan))))
    if failures:
        parts.append(Part("Failures", failures))
    if worth is not None:
        parts.append(told_of_shadows(worth))
    parts.extend(_paper(plan))
    limits = sentences(tuple(_binding(plan)), tuple(_bounds(plan)), plan.notes)
    parts.append(Part("Limits and bounds", limits))
    return Told(
        asked=f"{plan.question.name}: the {goal} {spec.where} of {spec.base}, {spec.values[0]} to "
        f"{spec.values[-1]}, that meets {lines}{' whatever one part fails' if failures else ''}",
        headline=headline_of(plan),
        meant=_MEANT.get(plan.status, OPEN),
        reasons=(*told_of_conflicts(plan), *_evidence(plan)),
        parts=tuple(parts),
    )


def _paper(plan: Plan) -> Iterator[Part]:
    """How far each level of the power is oversubscribed at the answer."""
    if plan.answer is None:
        return
    levels = on_paper(plan.question.scenario(plan.answer.point))
    if levels:
        yield Part(
            f"Power on paper at {plan.answer.value}",
            tables=(
                Table(
                    ("level", "worst node", "nameplates", "limit", "of its limit"),
                    tuple(
                        (
                            level.kind,
                            level.node,
                            format_si(level.nameplate_w, "W"),
                            format_si(level.limit_w, "W"),
                            percent(level.ratio),
                        )
                        for level in levels
                    ),
                    left=frozenset({0, 1}),
                    note="what the servers below may draw, losses left out, over the rating or the "
                    "contracted budget; above 100 % it is oversubscribed",
                ),
            ),
        )


def _charts(plan: Plan) -> Iterator[Chart]:
    """Each line's value at the points that were run, with its interval and its limit."""
    shown = [point for point in plan.points if point.seeds]
    if len(shown) < 2:
        return
    where = plan.question.spec.where
    xs = tuple(float(str(point.value).split()[0]) for point in shown)
    axis_unit = " ".join(str(shown[0].value).split()[1:])
    for index, objective in enumerate(plan.question.objectives):
        at = [point.lines[index] for point in shown]
        share = objective.is_share
        factor = 0.01 if share else objective.definition.factor
        unit = "%" if share else objective.definition.unit
        what = "share of arrivals late" if objective.family else objective.metric
        yield Chart(
            title=objective.text,
            kind=LINE,
            x=f"{where} ({axis_unit})" if axis_unit else where,
            y=f"{what} ({unit})" if unit else what,
            series=(
                Series(
                    objective.text,
                    tuple(line.value / factor for line in at),
                    x=xs,
                    low=tuple(line.interval.low / factor for line in at),
                    high=tuple(line.interval.high / factor for line in at),
                    chosen=frozenset(
                        i for i, p in enumerate(shown)
                        if plan.answer is not None and p.point == plan.answer.point
                    ),
                ),
            ),
            limits=(("limit", objective.limit / factor),),
        )  # fmt: skip


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
        together = [line.objective.text for one in plan.conflicts[:1] for line in one.lines]
        if together and together != [missed]:
            ends = f"{spec.values[0]} to {spec.values[-1]}"
            what = " and ".join(together)
            return f"NONE  no {spec.where} from {ends} meets {what}, as far as these seeds tell"
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
        yield f"it is the {_end(plan)} value asked about: what lies beyond was not looked at"
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


def _end(plan: Plan) -> str:
    """Which end of the range is the hardest to hold."""
    return "least" if plan.question.spec.goal == MINIMUM else "largest"


def _by(point: PointAt) -> str:
    """Which line misses by most."""
    worst = point.worst
    if worst is None:
        return ""
    return f": {worst.objective.text} fails, with {cell(worst)}"


def _table(plan: Plan) -> Table:
    spec, objectives = plan.question.spec, plan.question.objectives
    shown = [point for point in plan.points if point.seeds]
    rows = tuple(
        (str(point.value), point.verdict, str(point.seeds), _load(point), *map(cell, point.lines))
        for point in shown
    )
    chosen = [i for i, p in enumerate(shown) if plan.answer and p.point == plan.answer.point]
    return Table(
        columns=(spec.where, "verdict", "seeds", "load", *(line.text for line in objectives)),
        rows=rows,
        left=frozenset({1}),
        words={YES: GOOD, NO: BAD, UNDECIDED: OPEN, NEAR: OPEN},
        chosen=frozenset(chosen),
        note=f"mean ± 95 % at any look, over {_seeds(plan)} seeds; late: share of "
        "arrivals without the latency in time, and in brackets the quantile itself, mean over "
        "seeds; verdicts hold together at 95 %, so each needs more than its own interval",
    )


def _seeds(plan: Plan) -> str:
    most = len(plan.question.seeds)
    return f"2 to {most}" if most > 2 else "2"


def _load(point: PointAt) -> str:
    """Utilisation of the fullest pool, by name where there are several."""
    known = [load for load in point.loads if not load.unknown]
    if not known:
        return "-"
    fullest = max(known, key=lambda load: load.utilisation)
    name = f" {fullest.pool}" if len(known) > 1 else ""
    return f"{percent(fullest.utilisation)}{name}"


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
    if top["next_step"] and plan.answer is None:
        yield f"Against that limit: {top['next_step']}"


def _bounds(plan: Plan) -> Iterator[str]:
    """What could be said without a run, and how far the answer is from it."""
    spec = plan.question.spec
    if plan.bound is None:
        return
    beyond = "less" if spec.goal == MINIMUM else "more"
    first = plan.question.values[0]
    text = f"Bound without a run: {plan.bound}"
    if plan.bound == first:
        text += f", the {_end(plan)} value asked about; the mean load can be served"
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
