"""Why no mix is left: few conditions that cannot all be met, and how far each would have to give.

A set of conditions none of which can be left out is found by leaving them out one after the other
(the deletion filter of Chinneck and Dravnieks, ORSA Journal on Computing 1991): what keeps the
program infeasible without it is not needed for the conflict. There may be other such sets; the
order prefers that loads and power remain. How far a condition would have to give is solved for with
all others in force.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sim.plan.mix.program import PIECES, POWER, PRICE, RACKS, Program, Relaxed
from sim.plan.mix.types import Cut, Mixes

#: Conditions of pools, and a line that must hold.
LOAD, RANGE, LINE = "load", "range", "line"


@dataclass(frozen=True)
class Condition:
    """Something that a mix has to meet.

    ``kind``: a limit's name, ``LOAD``, ``RANGE`` or ``LINE``; ``pool``: of the first two of these,
    else -1; ``line``: the text of a line, else "".
    """

    kind: str
    pool: int = -1
    line: str = ""


@dataclass(frozen=True)
class Member:
    """A condition of a conflict.

    ``needed``: what it would have to be for a mix to be possible (W, racks, price, GPUs, replicas;
    of a load the share that can be served); None: no number is enough, or it is a line.
    ``alone``: all others are in force then; else only those of the conflict, for others are in the
    way too.
    """

    condition: Condition
    needed: float | None
    alone: bool = True


def conditions_of(mixes: Mixes, cuts: Sequence[Cut] = ()) -> list[Condition]:
    """All, in the order in which they are left out; of lines those that excluded mixes."""
    limits = mixes.limits
    finite = [
        (PRICE, limits.cost), (RACKS, limits.racks), (POWER, limits.power_w),
        (PIECES, min(kind.most for kind in mixes.kinds)),
    ]  # fmt: skip
    pools = range(len(mixes.pools))
    return [
        *(Condition(RANGE, p) for p in pools),
        *(Condition(name) for name, value in finite if value != float("inf")),
        *(Condition(LINE, line=text) for text in dict.fromkeys(c.line for c in cuts if c.line)),
        *(Condition(LOAD, p) for p in pools),
    ]


def conflict(program: Program, least: Sequence[Sequence[int]]) -> tuple[Member, ...]:
    """A set of conditions that no mix meets and none of which can be left out.

    Args:
        program: infeasible with ``least``.
    """
    kept = conditions_of(program.mixes, program.cuts)
    out: list[Condition] = []
    for condition in tuple(kept):
        if program.cheapest(least, relaxed=_relaxed([*out, condition])) is None:
            out.append(condition)
            kept.remove(condition)
    members = []
    for condition in kept:
        needed = _needed(program, least, [condition])
        alone = needed is not None or condition.kind == LINE
        if not alone:
            needed = _needed(program, least, [condition, *out])
        members.append(Member(condition, needed, alone))
    return tuple(members)


def _relaxed(out: Sequence[Condition]) -> Relaxed:
    return Relaxed(
        limits=frozenset(one.kind for one in out if one.pool < 0 and one.kind != LINE),
        loads=frozenset(one.pool for one in out if one.kind == LOAD),
        ranges=frozenset(one.pool for one in out if one.kind == RANGE),
        lines=frozenset(one.line for one in out if one.kind == LINE),
    )


def _needed(
    program: Program, least: Sequence[Sequence[int]], out: Sequence[Condition]
) -> float | None:
    """How far the first condition has to give where these are left out."""
    condition, relaxed = out[0], _relaxed(out)
    if condition.kind == LINE:
        return None
    if condition.kind == LOAD:
        share = program.share_served(condition.pool, least, relaxed)
        return share if share > 0.0 else None
    small: str | int = condition.kind if condition.kind in (POWER, RACKS) else PRICE
    if condition.kind == RANGE:
        small = condition.pool
    found = program.cheapest(least, relaxed=relaxed, small=small)
    if found is None:
        return None
    if condition.kind == RANGE:
        return float(found[condition.pool][1])
    if condition.kind == RACKS:
        return float(sum(program.mixes.pieces(found)))
    return program.mixes.power_w(found) if condition.kind == POWER else program.mixes.price(found)
