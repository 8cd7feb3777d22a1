"""What is said of a mix: the answer, what was run, alternatives, bounds, or what conflicts."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from sim.plan.line_at import cell
from sim.plan.mix.answer import (
    CERTAIN,
    FOUND,
    LIKELY,
    NONE,
    NONE_LIKELY,
    NOT_CERTIFIABLE,
    NOT_FOUND,
    SATURATION,
    Alternative,
    MixPlan,
    Tried,
)
from sim.plan.mix.points import Mix
from sim.plan.mix.search import MOST_REFUSED
from sim.plan.mix.stairs import Step
from sim.plan.mix.types import Vector
from sim.plan.mix.words import BY, condition, hardware, mean, needed, per_mtoken, priced
from sim.plan.told import BAD, BARS, GOOD, LINE, OPEN, Chart, Part, Series, Table, Told, sentences
from sim.results.wording import percent

_MEANT = {CERTAIN: GOOD, NONE: BAD, NONE_LIKELY: BAD}
_WORDS = {CERTAIN: "ANSWER", NOT_CERTIFIABLE: "ANSWER", LIKELY: "LIKELY", FOUND: "FOUND"}


def told_of_mix(plan: MixPlan) -> Told:
    """The whole answer."""
    mix = plan.mix
    lines = ", ".join(line.text for line in mix.objectives)
    what = "the cheapest hardware" if mix.bought else "the fewest GPUs"
    parts = []
    if plan.stairs:
        parts += [_stairs(plan, pools, steps) for pools, steps in plan.stairs.items()]
    if plan.tried:
        parts.append(Part("Evidence", (), (_table(plan),), _prices(plan)))
    if plan.alternatives or plan.shadows:
        parts.append(Part("Beside it", (), tuple(_beside(plan))))
    parts.append(Part("Limits and bounds", sentences(tuple(_bounds(plan)), tuple(_notes(plan)))))
    return Told(
        asked=f"{mix.name}: {what} for {' and '.join(mix.mixes.pools)} of {mix.spec.base} that "
        f"meets {lines}",
        headline=headline(plan),
        meant=_MEANT.get(plan.status, OPEN),
        reasons=tuple(_reasons(plan)),
        parts=tuple(parts),
    )


def headline(plan: MixPlan) -> str:
    """The answer in a line."""
    mix = plan.mix
    if plan.best is not None:
        vector = plan.best.seen.vector
        text = f"{_WORDS[plan.status]}  {mix.text(vector)}: {priced(mix, plan.best.cost.price)}"
        for first, second in plan.stairs:
            text += f"; prefill to decode {vector[first][1]} : {vector[second][1]}"
        return text
    if plan.status == NOT_FOUND:
        return f"NOT FOUND  within {_used_up(plan)}; at least {_left(plan)}"
    parts = [condition(mix, member) for member in plan.conflict]
    if len(parts) == 1:
        return f"NONE  {parts[0]} cannot be met, {BY[plan.conflict_by]}"
    which = f"{', '.join(parts[:-1])} and {parts[-1]}"
    return f"NONE  {which} conflict, {BY[plan.conflict_by]}"


def _used_up(plan: MixPlan) -> str:
    """What ended the search before its end."""
    if len(plan.found.refused) >= MOST_REFUSED:
        return f"{MOST_REFUSED} mixes that cannot be built"
    return f"{plan.found.looked:,} of {plan.mix.spec.runs:,} runs"


def _left(plan: MixPlan) -> str:
    return priced(plan.mix, plan.found.certifiable)


def _reasons(plan: MixPlan) -> Iterator[str]:
    mix, best = plan.mix, plan.best
    if best is None:
        for member in plan.conflict:
            yield f"{condition(mix, member)}: {needed(plan, member)}"
        if plan.status == NOT_FOUND:
            yield "state more 'runs' in the question: runs that are there are found again"
        return
    if mix.bought:
        filled = "; all that fit on these racks are used" if _filled(mix, best.seen.vector) else ""
        yield f"{hardware(mix, best.seen.vector)}{filled}"
    yield from _costs(plan, best)
    how = "certain at 95 %" if best.seen.sure else "in the means only, which is not certain at 95 %"
    yield f"It meets every line over all {best.seen.tested.seeds} common seeds ({how})"
    if plan.status == FOUND:
        yield (
            f"After {_used_up(plan)} not all that is cheaper was looked at: from {_left(plan)} on "
            "it is open; state more 'runs' in the question"
        )
    elif plan.status == CERTAIN:
        yield "Everything cheaper was refuted (certain at 95 %) or cannot serve the mean load"
    elif plan.status == NOT_CERTIFIABLE:
        yield (
            "Everything cheaper was refuted (certain at 95 %) or is near saturation, where one "
            "seed in a hundred holds a queue that the others lack"
        )
    elif plan.found.certifiable >= best.cost.price - mix.mixes.tie:
        yield "Everything cheaper was refuted (certain at 95 %), or is near saturation"
    else:
        yield f"Not certain: cheaper ones, from {_left(plan)} on, are not all refuted at 95 %"


def _filled(mix: Mix, vector: Vector) -> bool:
    """Whether none of a mix's racks have room for one more replica of a pool that uses them."""
    mixes = mix.mixes
    pieces = mixes.pieces(vector)
    more = (
        tuple((c, n + (p == pool)) for p, (c, n) in enumerate(vector))
        for pool in range(len(vector))
    )
    return all(mixes.pieces(one) != pieces for one in more)


def _costs(plan: MixPlan, best: Tried) -> Iterator[str]:
    cost = best.cost
    rate = mean(cost.tokens_per_s, "tokens/s", "tokens_per_s")
    if not plan.mix.bought:
        each = cost.tokens_per_s.value / cost.price
        yield f"{rate} within the objectives, {each:,.0f} for each GPU"
        return
    if cost.per_mtoken is None or cost.hardware_per_h is None:
        yield (
            f"{rate} within the objectives; what a million costs follows from 'life: 5 years' in "
            "the question"
        )
        return
    hourly = f"hardware {cost.hardware_per_h:,.2f} USD/h"
    if cost.energy_per_h is None:
        hourly += ", without energy (the base states no price.electricity)"
    else:
        hourly += f" and energy {mean(cost.energy_per_h, 'USD', 'money')}/h"
    yield f"{per_mtoken(cost)} within the objectives: {hourly}, {rate}"
    yield (
        "Network, building, plant, maintenance and interest are not in that; 'rackplan cost' has "
        "the whole bill of a site"
    )


def _by(other: Alternative) -> str:
    """What an alternative rests on."""
    if other.vector is None:
        return "all are refuted, near saturation or over a limit"
    return "runs: it holds" if other.holds else "not run: nothing excludes it"


def _table(plan: MixPlan) -> Table:
    mix = plan.mix
    costs = any(one.cost.per_mtoken is not None for one in plan.tried)
    rows = []
    for one in plan.tried:
        verdict = one.seen.tested.answer if one.seen.sure else "undecided"
        row = [mix.text(one.seen.vector), priced(mix, one.cost.price), verdict]
        row += [str(one.seen.tested.seeds), *map(cell, one.lines)]
        rows.append((*row, per_mtoken(one.cost)) if costs else tuple(row))
    chosen = [i for i, one in enumerate(plan.tried) if one is plan.best]
    last = ("cost within the objectives",) if costs else ()
    return Table(
        columns=(
            "mix",
            "price",
            "verdict",
            "seeds",
            *(line.text for line in mix.objectives),
            *last,
        ),
        rows=tuple(rows),
        left=frozenset({0, 2}),
        words={"yes": GOOD, "no": BAD, "undecided": OPEN},
        chosen=frozenset(chosen),
        note=f"mean ± 95 % at any look over up to {len(mix.seeds)} seeds; late: share of arrivals "
        "without the latency in time, and in brackets the quantile itself",
    )


def _prices(plan: MixPlan) -> tuple[Chart, ...]:
    """What each mix that was run costs, the answer marked."""
    mix = plan.mix
    if len(plan.tried) < 2:
        return ()
    verdicts = ["holds" if one.seen.holds else "misses" for one in plan.tried]
    bars = Series(
        "price",
        tuple(one.cost.price for one in plan.tried),
        names=tuple(
            f"{mix.text(one.seen.vector)}: {verdict}"
            for one, verdict in zip(plan.tried, verdicts, strict=True)
        ),
        chosen=frozenset(i for i, one in enumerate(plan.tried) if one is plan.best),
    )
    unit = "USD" if mix.bought else "GPUs"
    return (Chart("Mixes that were run", BARS, "mix", f"price ({unit})", (bars,)),)


def _beside(plan: MixPlan) -> Iterator[Table]:
    mix = plan.mix
    if plan.alternatives:
        yield Table(
            ("without", "cheapest then", "price", "by"),
            tuple(
                (
                    other.without,
                    "none" if other.vector is None else mix.text(other.vector),
                    priced(mix, other.price),
                    _by(other),
                )
                for other in plan.alternatives
            ),
            left=frozenset({0, 1, 3}),
        )
    if plan.shadows:
        yield Table(
            ("step", "change of the least price", "mix then"),
            tuple(
                (
                    shadow.step,
                    "none: it does not bind"
                    if shadow.after >= shadow.before - mix.mixes.tie
                    else f"{shadow.after - shadow.before:+,.0f} USD".replace("-", "−"),
                    "-" if shadow.vector is None or shadow.after >= shadow.before - mix.mixes.tie
                    else mix.text(shadow.vector),
                )
                for shadow in plan.shadows
            ),
            left=frozenset({0, 1, 2}),
            note="by the program and what runs have refuted so far; what it proposes was not run",
        )  # fmt: skip


def _bounds(plan: MixPlan) -> Iterator[str]:
    mix, found = plan.mix, plan.found
    if plan.binding:
        top = plan.binding[0]
        seeds = sum(limit["seeds"] for limit in plan.binding)
        where = "" if plan.binding_at is None else f" of {mix.text(plan.binding_at)}"
        yield f"Binding limit{where}: {top['label']} in {top['seeds']} of {seeds} runs"
    if math.isfinite(found.bound):
        text = f"Bound without a run: {priced(mix, found.bound)} serve the mean load at least"
        yield f"{text}{_gap(plan, found.bound)}"
    if plan.best is not None:
        yield (
            f"With what runs refuted for certain: {priced(mix, found.sure)}"
            f"{_gap(plan, found.sure)}; likely, by all runs and the best efficiency seen: "
            f"{priced(mix, min(found.likely, plan.best.cost.price))}"
        )
    counts = f"{plan.solved:,} integer programs, {found.looked:,} of {mix.spec.runs:,} runs"
    yield f"Looked at: {len(found.seen)} mixes with {counts}"


def _gap(plan: MixPlan, bound: float) -> str:
    if plan.best is None or not 0.0 < bound < math.inf:
        return ""
    gap = plan.best.cost.price / bound - 1.0
    return " (the answer itself)" if gap < 1e-6 else f" (the answer is {percent(gap)} above)"


def _notes(plan: MixPlan) -> Iterator[str]:
    mix = plan.mix
    for name, price in mix.prices.items():
        if not price.stated:
            yield f"A {name} rack costs {price.usd:,.0f} USD: {price.origin}"
    if mix.left_out:
        yield "Left out: " + "; ".join(mix.left_out)
    refused = [f"{mix.text(vector)} ({reason})" for vector, reason in plan.found.refused[:3]]
    if refused:
        more = len(plan.found.refused) - len(refused)
        yield f"Cannot be built: {'; '.join(refused)}{f' and {more} more' if more else ''}"
    if mix.coupled:
        yield (
            "The pools share a network or a power policy, so what one misses is held against the "
            "whole mix; it is taken that more replicas never make it worse"
        )
    if plan.conflict_by == SATURATION:
        yield "With runs six times as long and more replicas a pool may be nearer to saturation"
    cheaper = [
        one for one in plan.tried
        if plan.best is not None and one.seen.holds and one.cost.per_mtoken is not None
        and plan.best.cost.per_mtoken is not None
        and one.cost.per_mtoken.value < plan.best.cost.per_mtoken.value
    ]  # fmt: skip
    for one in cheaper:
        yield (
            f"With energy {mix.text(one.seen.vector)} is cheaper: {per_mtoken(one.cost)}; energy "
            "is shown, and not sought by"
        )


def _verdict(plan: MixPlan, step: Step) -> str:
    seen = next((one.seen for one in plan.tried if one.seen.vector == step.vector), None)
    if seen is None:
        return step.reason
    words = "yes" if seen.sure else "undecided, in the means"
    return f"{words}; {step.reason}" if step.reason else words


def _stairs(plan: MixPlan, pools: tuple[int, int], steps: Sequence[Step]) -> Part:
    """The staircase of a pair of pools."""
    mix = plan.mix
    assert plan.best is not None
    first, second = (mix.mixes.pools[p] for p in pools)
    chosen = plan.best.seen.vector[pools[0]][1]
    rows = tuple(
        (
            str(step.first),
            "-" if step.second is None else str(step.second),
            "-" if step.vector is None else priced(mix, mix.mixes.price(step.vector)),
            _verdict(plan, step),
        )
        for step in steps
    )
    known = [step for step in steps if step.second is not None]
    chart = Chart(
        f"Fewest replicas of {second} for each number of {first}",
        LINE,
        f"replicas of {first}",
        f"replicas of {second}",
        (
            Series(
                f"fewest of {second}",
                tuple(float(step.second or 0) for step in known),
                x=tuple(float(step.first) for step in known),
                chosen=frozenset(i for i, step in enumerate(known) if step.first == chosen),
            ),
        ),
    )
    return Part(
        f"{first} to {second}",
        (),
        (
            Table(
                (f"replicas of {first}", f"fewest of {second}", "price", "verdict"),
                rows,
                left=frozenset({3}),
                chosen=frozenset(i for i, step in enumerate(steps) if step.first == chosen),
            ),
        ),
        (chart,) if len(known) > 1 else (),
    )
