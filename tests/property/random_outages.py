"""Replicas that lose their power and get it back, in a case that was drawn without."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from random import Random

from tests.property.random_cases import Act, Case

DRAWS_MW = (0, 0, 70_000)


def with_outages(rng: Random, case: Case) -> Case:
    """The same world run by hand, with outages of some replicas, at times of arrivals and between.

    Some last no time, some to the end, some hit all replicas at once.
    """
    # The first rows will do: closed sources go on for ever. NaN: a return, at no stated time.
    rows = [chunk for source in case.world.sources for chunk in islice(source.chunks(), 2)]
    arrivals = [t for chunk in rows for t in chunk.arrival_s.tolist() if t < case.horizon_s]
    times = [act.time_s for act in case.acts] + arrivals or [0.0]
    everyone = range(len(case.world.replicas))
    acts = list(case.acts)
    for replica in everyone:
        if rng.randrange(3) == 0:
            continue
        moments = sorted(
            min(rng.choice(times) + rng.choice([0.0, 0.0, 0.01, 0.3, 5.0]), case.horizon_s)
            for _ in range(rng.choice([1, 2, 2, 4]))
        )
        for turn, time_s in enumerate(moments):
            kind = "restore" if turn % 2 else "fail"
            acts.append(Act(time_s, kind, (replica,), gpu_mw=rng.choice(DRAWS_MW)))
    if rng.randrange(3) == 0:
        time_s = rng.choice(times)
        acts = [act for act in acts if act.kind not in ("fail", "restore")]
        acts += [
            Act(time_s, "fail", tuple(everyone)),
            Act(time_s + 1.0, "restore", tuple(everyone)),
        ]
    # A sort that keeps what one replica does at one time in order.
    ordered = sorted((act for act in acts if act.time_s <= case.horizon_s), key=lambda a: a.time_s)
    return replace(case, acts=tuple(ordered), by_run=False)


def with_changes(rng: Random, case: Case) -> Case:
    """The same world run by hand, with replicas that are drained, kept, brought back or held, and
    limits of power nodes that change, at times of arrivals, of other acts and between."""
    rows = [chunk for source in case.world.sources for chunk in islice(source.chunks(), 2)]
    arrivals = [t for chunk in rows for t in chunk.arrival_s.tolist() if t < case.horizon_s]
    times = [act.time_s for act in case.acts] + arrivals or [0.0]
    acts = list(case.acts)

    def moment() -> float:
        return min(rng.choice(times) + rng.choice([0.0, 0.0, 0.01, 0.3, 2.0]), case.horizon_s)

    for replica in range(len(case.world.replicas)):
        for time_s in sorted(moment() for _ in range(rng.choice([0, 1, 2, 4]))):
            kind = rng.choice(["drain", "drain", "reopen", "restore"])
            acts.append(Act(time_s, kind, (replica,), gpu_mw=rng.choice(DRAWS_MW)))
    nodes = case.world.scenario.power.nodes
    for _ in range(rng.choice([0, 2, 5])):
        limit_mw = rng.choice([1_000_000, 2_500_000, 3_000_000, 60_000_000])
        acts.append(Act(moment(), "limit", node=rng.randrange(len(nodes)), limit_mw=limit_mw))
    for replica in range(len(case.world.replicas)):
        acts += [
            Act(time_s, rng.choice(["hold", "hold", "admit"]), (replica,))
            for time_s in sorted(moment() for _ in range(rng.choice([0, 0, 1, 2])))
        ]
    ordered = sorted((act for act in acts if act.time_s <= case.horizon_s), key=lambda a: a.time_s)
    return replace(case, acts=tuple(ordered), by_run=False)
