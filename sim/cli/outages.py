"""``rackplan show SCENARIO --outages``: what each loss does, in lines or as JSON."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from itertools import groupby
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from sim.cli.summary import plain_text
from sim.policies.base import kind_of
from sim.results.wording import percent, span
from sim.units import format_si

if TYPE_CHECKING:
    from sim.check.scenario import Scenario
    from sim.engine.outages import Help, Loss, Survivor

_HEAD = """\
What the loss of each feed does, every replica at its highest predicted draw. Controllers see an
overload in full after up to {seen} (2 × {period} telemetry period + {delay} delay)."""


def print_losses(scenario: Scenario, losses: Iterable[Loss], out: Console) -> None:
    """Print every loss; equal ones, and equal survivors of one, once."""
    told = scenario.telemetry
    seen_s = 2.0 * told.period_s + told.delay_s
    head = _HEAD.format(seen=span(seen_s), period=span(told.period_s), delay=span(told.delay_s))
    for line in head.splitlines():
        out.print(Text(line))
    if any(node.kind == "cooling" for node in scenario.power.nodes):
        out.print(Text("The cooling plant, which the tree feeds, is left out of the loads."))
    policy = kind_of(scenario.power_policy)
    groups: dict[tuple[Any, ...], list[Loss]] = {}
    for loss in losses:
        groups.setdefault(_loss_key(loss), []).append(loss)
    for loss, *rest in groups.values():
        out.print(Text(f"\n{_named(loss.name, len(rest))} lost{_consequence(loss)}", "bold"))
        for line in _survivors(loss, policy):
            out.print(Text(line), soft_wrap=True)
    if not groups:
        out.print(Text("\nNothing to lose: the scenario states no switchboard, UPS or PDU."))


def losses_json(losses: Iterable[Loss]) -> list[dict[str, Any]]:
    """Everything as JSON types: a time that is ``"for ever"`` is just that, null is not stated."""
    return [_plain(asdict(loss)) for loss in losses]


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return "for ever" if isinstance(value, float) and math.isinf(value) else value


def _loss_key(loss: Loss) -> tuple[Any, ...]:
    survivors = tuple(key for key, _ in groupby(loss.survivors, _survivor_key))
    bridged = tuple(_about(s) for s in loss.bridged.values())
    return loss.kind, len(loss.dark_racks), bridged, survivors


def _survivor_key(one: Survivor) -> tuple[Any, ...]:
    """What is the same, loads to a per cent, for survivors that are told of together."""
    before = round(one.before_w / (one.rating_before_w or 1.0), 2)
    after = round(one.after_w / (one.rating_w or 1.0), 2)
    helps = tuple((h.commanded, *h.enough.values()) for h in one.helps)
    times = tuple(_about(s) for s in one.left_s.values())
    return one.kind, one.rating_w, one.product, len(one.seen_by), before, after, times, helps


def _about(seconds: float | None) -> float | None:
    return None if seconds is None else float(f"{seconds:.3g}")


def _named(name: str, others: int) -> str:
    return plain_text(name) + (f" (and {others:,} alike)" if others else "")


def _consequence(loss: Loss) -> str:
    """What follows at once."""
    parts = []
    if loss.bridged:
        held = [f"{plain_text(name)} {_time(held_s)}" for name, held_s in loss.bridged.items()]
        parts.append(f"on battery at first, {', '.join(held)}; then")
    if loss.dark_racks:
        racks = len(loss.dark_racks)
        parts.append(f"{racks:,} rack{'s' if racks > 1 else ''} dark")
    elif not loss.survivors:
        parts.append("nobody carries more")
    return f": {' '.join(parts)}" if parts else ""


def _survivors(loss: Loss, policy: str) -> Iterator[str]:
    for _, alike in groupby(loss.survivors, _survivor_key):
        one, *rest = alike
        rating_w, was_w = one.rating_w, one.rating_before_w
        load = f"{format_si(one.before_w, 'W')} → {format_si(one.after_w, 'W')}, no rating stated"
        if rating_w is not None and was_w is not None:
            before, after = percent(one.before_w / was_w), percent(one.after_w / rating_w)
            load = f"{before} → {after} of {format_si(rating_w, 'W')}"
            load += f" ({format_si(was_w, 'W')} before)" if was_w != rating_w else ""
        yield f"  {_named(one.name, len(rest))}: {load}"
        yield f"    {_held(one)}"
        if any(_overloads(one, mode) for mode in _modes(one)):
            yield from (f"    {line}" for line in _helpers(one, policy))


def _modes(one: Survivor) -> tuple[str, ...]:
    """What may feed it: mains, and a battery if it states one."""
    return ("mains",) if one.tolerance.charge_s is None else ("mains", "battery")


def _overloads(one: Survivor, mode: str) -> bool:
    held_s = one.tolerance.overload_s(mode)
    return held_s is not None and math.isfinite(held_s)


def _held(one: Survivor) -> str:
    """How long it is carried, and what is left to act in."""
    if one.kind != "ups":
        held_s = one.tolerance.breaker_s
        return "no breaker stated" if held_s is None else f"breaker: {_left(held_s, one)}"
    if one.product is None:
        return "no product stated: how long it carries what is not known"
    held, product = one.tolerance, one.product
    mains_s, battery_s = held.overload_s("mains"), held.overload_s("battery")
    assert mains_s is not None
    assert battery_s is not None
    text = f"{product}, on mains: {_left(mains_s, one)}"
    if math.isfinite(mains_s) and held.bypass_s is not None:
        text += f", then {_time(held.bypass_s)} in bypass"
    if held.charge_s is None:
        return f"{text}; no battery stated"
    if math.isinf(battery_s):
        return f"{text}; on battery: its charge, {_time(held.charge_s)}"
    return f"{text}; on battery: {_left(min(battery_s, held.charge_s), one, 'battery')}"


def _left(held_s: float, one: Survivor, mode: str = "mains") -> str:
    left_s = one.left_s[mode]
    if left_s is None or math.isinf(left_s):
        return _time(held_s)
    rest = f"{span(left_s)} left to act" if left_s > 0.0 else "over before it is seen"
    return f"{_time(held_s)} ({rest})"


def _time(seconds: float) -> str:
    return "for ever" if math.isinf(seconds) else span(seconds)


def _helpers(one: Survivor, policy: str) -> Iterator[str]:
    for acts in one.helps:
        yield _help(acts, one, policy)
    if policy == "none":
        yield "no power policy: nobody commands anything"
    elif not one.seen_by:
        yield f"{policy} has no controller whose readings hold this load"
    elif one.seen_by != (one.name,):
        more = f" and {len(one.seen_by) - 1:,} more" if len(one.seen_by) > 1 else ""
        yield f"not watched itself: {policy} acts on the limit of {one.seen_by[0]}{more}"


def _help(acts: Help, one: Survivor, policy: str) -> str:
    """In time, and enough?"""
    modes = _modes(one)
    verdicts = [_verdict(acts, mode) if _overloads(one, mode) else "not needed" for mode in modes]
    says = verdicts[0]
    if len(modes) > 1:
        says = "; ".join(f"on {m}: {v}" for m, v in zip(modes, verdicts, strict=True))
        if verdicts[0] == verdicts[1]:
            says = verdicts[0]
    name = "clocks" if acts.actuator == "clock" else "brake"
    unused = "" if acts.commanded or policy == "none" else f" (not by {policy})"
    cuts = ", ".join(_cut(cut, one) for cut in acts.cuts)
    return f"{name} to {percent(acts.share)}{unused} after {span(acts.acts_s)}: {says}; {cuts}"


def _cut(cut: Any, one: Survivor) -> str:
    less = format_si(cut.removed_w, "W")
    if one.rating_w is None:
        return f"{cut.phase} −{less}"
    before, after = percent(cut.before_w / one.rating_w), percent(cut.after_w / one.rating_w)
    return f"{cut.phase} {before} → {after} (−{less})"


def _verdict(acts: Help, mode: str) -> str:
    margin_s = acts.margin_s[mode]
    assert margin_s is not None
    if margin_s < 0.0:
        return f"{span(-margin_s)} too late"
    return f"in time, {'enough' if acts.enough[mode] else 'not enough'}"
