"""The ``scaling`` section: schedules of replicas, and pools whose failed ones are placed anew."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from sim.check.collector import Collector
from sim.check.fleets import MOST_STEPS, horizon_s, steps, turns_of
from sim.check.scenario import PlannedEvent, Pool
from sim.spec.nodes import Path
from sim.spec.scaling import ScalingSpec
from sim.units import format_si


def check_scaling(found: Collector) -> tuple[PlannedEvent, ...]:
    """What the schedules plan, in order of time; what is wrong with them is reported.

    At one time pools shrink before others grow, so that these need not wait for GPUs that are free.
    """
    document, names = found.document, found.names("pools")
    start = {spec.name: spec.replicas for spec in document.spec.pools if spec is not None}
    planned: list[tuple[float, bool, PlannedEvent]] = []
    seen: dict[str, int] = {}
    for i, spec in enumerate(document.spec.scaling):
        if spec is None:
            continue
        path: Path = ("scaling", i)
        if spec.pool not in names.known:
            found.unknown((*path, "pool"), "pool", spec.pool, names)
        elif spec.pool in seen:
            text = f"pool {spec.pool!r} has one already, scaling[{seen[spec.pool]}]"
            found.error((*path, "pool"), text)
        seen.setdefault(spec.pool, i)
        if not spec.schedule and spec.replace_after is None:
            found.error(path, "says nothing: state a 'schedule' or 'replace_after'")
        if spec.every is not None and not spec.schedule:
            found.error((*path, "every"), "has no 'schedule' that could begin anew")
        elif spec.every is not None:
            _turns(found, spec, path)
        _times(found, spec, path)
        before = start.get(spec.pool, 0)
        for at_s, _, replicas in steps(spec, horizon_s(document)):
            event = PlannedEvent(at_s, "scale", pool=spec.pool, replicas=replicas)
            planned.append((at_s, replicas > before, event))
            before = replicas
    return tuple(event for _, _, event in sorted(planned, key=lambda one: one[:2]))


def _turns(found: Collector, spec: ScalingSpec, path: Path) -> None:
    """A timetable does not begin anew absurdly often."""
    count = turns_of(spec, horizon_s(found.document)) * len(spec.schedule)
    if count > MOST_STEPS:
        text = f"makes {count:,} steps of this run, more than are taken ({MOST_STEPS:,})"
        found.error((*path, "every"), text)


def _times(found: Collector, spec: ScalingSpec, path: Path) -> None:
    """Every step comes to pass, and no two at one time."""
    end_s = horizon_s(found.document)
    at: dict[float, int] = {}
    for j, step in enumerate(spec.schedule):
        if step is None:
            continue
        here: Path = (*path, "schedule", j, "at")
        if spec.every is not None and step.at >= spec.every:
            found.error(here, f"is not before the schedule begins anew, {_s(spec.every)}")
        elif step.at >= end_s:
            found.error(here, f"is not before the end of the run at {_s(end_s)} (duration + drain)")
        elif step.at in at:
            found.error(here, f"is the time of schedule[{at[step.at]}], too")
        at.setdefault(step.at, j)


def _s(time_s: float) -> str:
    return format_si(time_s, "s")


def with_scaling(found: Collector, pools: Mapping[str, Pool]) -> dict[str, Pool]:
    """Pools that know after how long a failed replica is placed elsewhere."""
    after_s = {
        spec.pool: spec.replace_after
        for spec in found.document.spec.scaling
        if spec is not None and spec.replace_after is not None
    }
    return {
        name: replace(pool, replace_after_s=after_s[name]) if name in after_s else pool
        for name, pool in pools.items()
    }
