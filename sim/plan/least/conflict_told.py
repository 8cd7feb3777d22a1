"""Which lines exclude each other, and what would have to give, in sentences."""

from __future__ import annotations

from collections.abc import Iterator

from sim.plan.least.conflict import Conflict, Holding
from sim.plan.least.find import NONE, NONE_LIKELY, Plan
from sim.plan.line_at import LineAt, cell
from sim.spec.question import MINIMUM


def told_of_conflicts(plan: Plan) -> Iterator[str]:
    """What stands against an answer; nothing where there is one."""
    if plan.status in (NONE, NONE_LIKELY):
        yield from [_sentence(plan, conflict) for conflict in plan.conflicts] or _load(plan)


def _sentence(plan: Plan, conflict: Conflict) -> str:
    values = plan.question.values
    if len(conflict.lines) == 1:
        (line,) = conflict.lines
        first, last = sorted((str(values[0]), str(values[-1])), key=_number)
        at = values[line.nearest]
        return (
            f"{line.objective.text} holds at no value from {first} to {last} that was looked at; "
            f"nearest to it is {at}, with {_read(plan, line.nearest, line)}: the line or the range "
            "has to give"
        )
    one, other = conflict.lines
    return (
        f"{_where(plan, one)}, {_where(plan, other)}: no value does both"
        f"{_across(plan, one, other)}{_across(plan, other, one)}"
    )


def _number(text: str) -> float:
    return float(text.split()[0])


def _where(plan: Plan, line: Holding) -> str:
    """From where to where a line holds."""
    values, last = plan.question.values, plan.question.last
    assert line.first is not None
    assert line.last is not None
    up, down = ("from", "up to") if plan.question.spec.goal == MINIMUM else ("up to", "from")
    if line.last == last:
        return f"{line.objective.text} holds {up} {values[line.first]}"
    if line.first == 0:
        return f"{line.objective.text} holds {down} {values[line.last]}"
    ends = sorted((str(values[line.first]), str(values[line.last])), key=_number)
    return f"{line.objective.text} holds from {ends[0]} to {ends[1]}"


def _across(plan: Plan, here: Holding, there: Holding) -> str:
    """What a line reads at the nearest value where the other holds."""
    assert here.first is not None
    assert here.last is not None
    assert there.first is not None
    point = here.first if here.first > there.first else here.last
    read = _read(plan, point, there)
    return f"; at {plan.question.values[point]} {there.objective.text} has {read}" if read else ""


def _read(plan: Plan, point: int, line: Holding) -> str:
    row = next((row for row in plan.points if row.point == point), None)
    found: LineAt | None = None
    if row is not None:
        same = (one for one in row.lines if one.objective.text == line.objective.text)
        found = next(same, None)
    return cell(found) if found is not None else ""


def _load(plan: Plan) -> Iterator[str]:
    """Where even the easiest value cannot carry the load: how much of it it can."""
    value = plan.question.values[-1]
    for load in plan.points[-1].loads if plan.points else ():
        if load.unknown or not load.infeasible:
            continue
        share = load.saturation_per_s / load.rate_per_s
        yield (
            f"the load of pool {load.pool}, {load.rate_per_s:.4g} /s, and the end of the range, "
            f"{value}: {load.replicas} replicas take {load.saturation_per_s:.4g} /s in the mean at "
            f"the very most, {100 * share:.3g} % of it; less load, a wider range, or faster "
            "replicas have to give"
        )
