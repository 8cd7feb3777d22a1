"""The answer to a question for a mix: the search, what is around it, or why nothing is left."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sim.plan.line_at import LineAt, line_at
from sim.plan.mix.conflict import Member, conflict
from sim.plan.mix.cost import Cost, cost_of
from sim.plan.mix.points import Mix
from sim.plan.mix.program import POWER, RACKS, Program
from sim.plan.mix.search import MixFound, MixSearch, Seen
from sim.plan.mix.stairs import Step, stairs
from sim.plan.mix.types import Cut, Vector
from sim.plan.runs import PlanRuns
from sim.study.seeds import binding_limits

#: What an answer is worth. Certain: it meets every line and everything cheaper was refuted, each
#: at its share of the error, or cannot serve the mean load. Not certifiable: the same but for what
#: is near saturation. Likely: so by the means over all common seeds. Found: it meets the lines, and
#: the runs were used up before everything cheaper was looked at.
CERTAIN, NOT_CERTIFIABLE, LIKELY, FOUND = "certain", "not certifiable", "likely", "found"
#: No mix is left: without a run, shown, or only so in the means; or the runs were used up.
NONE, NONE_LIKELY, NOT_FOUND = "none", "none, likely", "not found"
#: What no mix being left rests on.
MEAN_LOAD, SATURATION, EVIDENCE, MEANS = "mean load", "near saturation", "evidence", "means"
#: A tenth more power, one rack more.
MORE_POWER = 1.1
#: Mixes that are run, of those without a kind of hardware, until one holds.
TRIES = 4


@dataclass(frozen=True)
class Tried:
    """A mix that was run, with its lines and its cost."""

    seen: Seen
    lines: tuple[LineAt, ...]
    cost: Cost


@dataclass(frozen=True)
class Alternative:
    """The cheapest mix without a kind of hardware; ``vector`` None: there is none.

    ``holds``: by evidence; None: it was not run, and is only what nothing excludes.
    """

    without: str
    vector: Vector | None
    price: float
    holds: bool | None


@dataclass(frozen=True)
class Shadow:
    """What a little more of a limit would change of the price, by the program alone.

    ``before``, ``after``: the least price that evidence and the envelope leave.
    """

    limit: str
    step: str
    before: float
    after: float
    vector: Vector | None


@dataclass(frozen=True)
class MixPlan:
    """An answer.

    Attributes:
        status: one of the words above.
        tried: mixes that were run, the cheapest first; ``best``: the answer among them.
        alternatives: without each kind of hardware that the answer uses.
        shadows: of each limit that is stated.
        conflict: conditions that cannot all be met, if none was found; ``conflict_by``: by what.
        stairs: (prefilling pool, decoding pool) → the staircase around the answer.
        binding: limits that bind in the runs of ``binding_at``.
        solved: programs that were solved; ``made``, ``found_runs``: runs made, and found.
    """

    mix: Mix
    found: MixFound
    status: str
    tried: tuple[Tried, ...]
    best: Tried | None
    alternatives: tuple[Alternative, ...]
    shadows: tuple[Shadow, ...]
    conflict: tuple[Member, ...]
    conflict_by: str
    stairs: Mapping[tuple[int, int], Sequence[Step]]
    binding: tuple[Mapping[str, Any], ...]
    binding_at: Vector | None
    solved: int
    made: int
    found_runs: int


def make_mix_plan(mix: Mix, runs: PlanRuns) -> MixPlan:
    """Answer a question for a mix; nothing is written but the runs.

    Raises:
        RunFailed: a run came to no end.
        KeyboardInterrupt: Ctrl-C; runs that had finished stay, so that the same call goes on.
    """
    program = Program(mix.mixes)
    search = MixSearch(program, mix.objectives, mix.reach, runs, mix, len(mix.seeds), mix.spec.runs)
    found = search.run()
    best = found.best
    steps: dict[tuple[int, int], Sequence[Step]] = {}
    if best is not None:
        for first, second in mix.handed.items():
            steps[first, second] = stairs(search, best.vector, first, second)
    alternatives = tuple(_alternatives(search, best))
    shadows = tuple(_shadows(search)) if best is not None else ()
    found = replace(found, seen=list(search.seen.values()), looked=search.looked)
    members, by = _conflict(search, found)
    tried = sorted(
        (_tried(mix, seen, runs) for seen in found.seen),
        key=lambda one: (one.cost.price, one.seen.vector),
    )
    answer = next((one for one in tried if best and one.seen.vector == best.vector), None)
    at = _bound_by(found)
    return MixPlan(
        mix=mix,
        found=found,
        status=_status(search, found),
        tried=tuple(tried),
        best=answer,
        alternatives=alternatives,
        shadows=shadows,
        conflict=members,
        conflict_by=by,
        stairs=steps,
        binding=() if at is None else tuple(binding_limits(runs.results(mix.point_of(at)))),
        binding_at=at,
        solved=program.solved,
        made=runs.making.made,
        found_runs=runs.making.found,
    )


def _status(search: MixSearch, found: MixFound) -> str:
    best = found.best
    if best is None:
        if not found.complete:
            return NOT_FOUND
        return NONE if math.isinf(found.certifiable) else NONE_LIKELY
    if not found.complete:
        return FOUND
    least = search.mixes.price(best.vector) - search.mixes.tie
    if not best.sure or found.certifiable < least:
        return LIKELY
    return CERTAIN if found.sure >= least else NOT_CERTIFIABLE


def _tried(mix: Mix, seen: Seen, runs: PlanRuns) -> Tried:
    point = mix.point_of(seen.vector)
    values = runs.values(point)
    lines = tuple(
        line_at(line, values[line.objective.text], runs.measured(point, line.objective.text))
        for line in seen.tested.lines
    )
    return Tried(seen, lines, cost_of(mix, seen.vector, runs))


def _bound_by(found: MixFound) -> Vector | None:
    """Of which mix the runs show what limits it: the last that misses, else the answer."""
    missed = [seen.vector for seen in found.seen if not seen.holds]
    if missed:
        return missed[-1]
    return None if found.best is None else found.best.vector


def _conflict(search: MixSearch, found: MixFound) -> tuple[tuple[Member, ...], str]:
    """Conditions that cannot all be met, by the strongest that shows it."""
    if found.best is not None or not found.complete:
        return (), ""
    program, every = search.program, tuple(search.program.cuts)
    decided = tuple(cut for cut in every if cut.sure)
    levels: tuple[tuple[str, list[list[int]], tuple[Cut, ...]], ...] = (
        (MEAN_LOAD, search.bounds, ()),
        (SATURATION, search.least, ()),
        (EVIDENCE, search.least, decided),
        (MEANS, search.least, every),
    )
    for by, least, cuts in levels:
        one = Program(program.mixes, list(cuts))
        if one.cheapest(least) is None:
            members = conflict(one, least)
            program.solved += one.solved
            return members, by
    raise AssertionError("a complete search without an answer has excluded every mix")


def _alternatives(search: MixSearch, best: Seen | None) -> list[Alternative]:
    """The cheapest without each kind that the answer uses, where there are others."""
    if best is None or len(search.mixes.kinds) < 2:
        return []
    return [
        _without(search, kind)
        for kind, pieces in enumerate(search.mixes.pieces(best.vector))
        if pieces
    ]


def _without(search: MixSearch, kind: int) -> Alternative:
    """The cheapest without a kind; with the runs that are left it is looked whether it holds."""
    name = search.mixes.kinds[kind].name
    for turn in range(TRIES + 1):
        vector = search.program.cheapest(search.envelope(), without=kind)
        if vector is None:
            vector = search.program.cheapest(search.least, without=kind)
        if vector is None:
            return Alternative(name, None, math.inf, None)
        price = search.mixes.price(vector)
        if vector in search.seen or (turn < TRIES and search.left()):
            if search.holds(vector):
                return Alternative(name, vector, price, True)
        else:
            break
    return Alternative(name, vector, price, None)


def _shadows(search: MixSearch) -> list[Shadow]:
    """What a step more of each stated limit would change."""
    mixes, envelope = search.mixes, search.envelope()
    limits = mixes.limits
    steps = []
    if math.isfinite(limits.power_w):
        steps.append(
            (POWER, "10 % more power", replace(limits, power_w=MORE_POWER * limits.power_w))
        )
    if math.isfinite(limits.racks):
        steps.append((RACKS, "one rack more", replace(limits, racks=limits.racks + 1)))
    found = []
    before = search.program.cheapest(envelope)
    for limit, step, wider in steps:
        program = Program(replace(mixes, limits=wider), search.program.cuts)
        after = program.cheapest(envelope)
        search.program.solved += program.solved
        if before is not None and after is not None:
            found.append(Shadow(limit, step, mixes.price(before), mixes.price(after), after))
    return found
