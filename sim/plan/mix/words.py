"""Mixes, prices and conditions in words."""

from __future__ import annotations

import math

from sim.plan.line_at import cell
from sim.plan.mix.answer import EVIDENCE, MEAN_LOAD, MEANS, SATURATION, MixPlan
from sim.plan.mix.conflict import LINE, LOAD, RANGE, Member
from sim.plan.mix.cost import Cost, Mean
from sim.plan.mix.points import Mix
from sim.plan.mix.program import POWER, PRICE, RACKS
from sim.plan.mix.types import Vector
from sim.results.wording import percent, plus_minus, quantity
from sim.units import format_si

#: What no mix being left rests on, as a sentence's end.
BY = {
    MEAN_LOAD: "by the mean load, without a run",
    SATURATION: "without a run: what is left is near saturation, where no few seeds can be trusted",
    EVIDENCE: "certain at 95 % by runs",
    MEANS: "as far as the means of these runs tell",
}


def priced(mix: Mix, price: float) -> str:
    """``3,090,000 USD``, or ``40 GPUs``."""
    if math.isinf(price):
        return "none"
    return f"{price:,.0f} USD" if mix.bought else f"{price:,.0f} GPUs"


def hardware(mix: Mix, vector: Vector) -> str:
    """``3 dgx-b200-2 racks, 87.3 kW rated``; "" where none is bought."""
    if not mix.bought:
        return ""
    pieces = [
        f"{count:,} {kind.name} {'rack' if count == 1 else 'racks'}"
        for count, kind in zip(mix.mixes.pieces(vector), mix.mixes.kinds, strict=True)
        if count
    ]
    return f"{' + '.join(pieces)}, {format_si(mix.mixes.power_w(vector), 'W')} rated"


def mean(found: Mean, unit: str, dimension: str) -> str:
    """A mean with half its interval."""
    half = found.interval.high - found.value
    if half <= 1e-4 * abs(found.value):
        return quantity(found.value, unit, dimension)
    return plus_minus(found.value, half, unit, dimension)


def per_mtoken(cost: Cost) -> str:
    """What a million tokens within the objectives cost."""
    if cost.per_mtoken is None:
        return "-"
    return mean(
        Mean(cost.per_mtoken.value, cost.per_mtoken.interval), "USD/Mtoken", "money_per_token"
    )


def condition(mix: Mix, member: Member) -> str:
    """A condition of a conflict, as it was asked for."""
    kind, limits = member.condition.kind, mix.mixes.limits
    if kind == LINE:
        return member.condition.line
    if member.condition.pool >= 0:
        name = mix.mixes.pools[member.condition.pool]
        if kind == LOAD:
            return f"the load of {name}"
        last = max(choice.most for choice in mix.mixes.choices[member.condition.pool])
        return f"at most {last} replicas of {name}"
    if kind == POWER:
        return f"power of {format_si(limits.power_w, 'W')}"
    if kind == RACKS:
        return f"{limits.racks:.0f} {'rack' if limits.racks == 1 else 'racks'}"
    if kind == PRICE:
        return f"cost of {priced(mix, limits.cost)}"
    return f"the {mix.mixes.kinds[0].most:.0f} GPUs that there are"


def needed(plan: MixPlan, member: Member) -> str:
    """How far a condition would have to give: at least, as what that leads to was not run."""
    kind, value = member.condition.kind, member.needed
    if kind == LINE:
        return _nearest(plan, member.condition.line)
    if kind == LOAD and plan.conflict_by in (EVIDENCE, MEANS):
        return "how much less would do was not looked for; a question with maximum: finds it"
    if value is None:
        return "no number is enough"
    also = "" if member.alone else ", and other limits give too"
    return f"{_amount(plan.mix, member, value)}{also}"


def _nearest(plan: MixPlan, text: str) -> str:
    """How near to a line the mixes came that miss it."""
    missed = [
        (line.objective.margin(line.value), one.seen.vector, line)
        for one in plan.tried
        for line in one.lines
        if line.objective.text == text and line.objective.margin(line.value) > 0.0
    ]
    if not missed:
        return "no mix that was run misses it in the means"
    _, vector, line = min(missed, key=lambda one: one[:2])
    which = "the only mix" if len(missed) == 1 else f"the nearest of {len(missed)} mixes"
    return f"{which} that missed it in runs, {plan.mix.text(vector)}, has {cell(line)}"


def _amount(mix: Mix, member: Member, value: float) -> str:
    kind = member.condition.kind
    if kind == LOAD:
        name = mix.mixes.pools[member.condition.pool]
        return f"about {percent(value)} of the load of {name} can be served"
    if kind == RANGE:
        name = mix.mixes.pools[member.condition.pool]
        return f"at least {value:.0f} replicas of {name} are needed"
    if kind == POWER:
        return f"at least {format_si(value, 'W')} are needed"
    if kind == RACKS:
        return f"at least {value:.0f} racks are needed"
    return f"at least {priced(mix, value)} are needed"
