"""How loaded pools are that hand their requests over: one prefills, the other decodes.

Each half is taken alone. The first pool's replicas compute prompts and decode nothing; the second
pool's decode and compute no prompt. What both do beside that costs time too: the first one's blocks
are held while a prompt waits for room and moves, the second computes the last token of a prompt
again. So the rate that either saturates at is below what is said here, which keeps it a bound.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

from sim.check.scenario import Pool, Scenario
from sim.plan.fluid import Work
from sim.plan.load import Loads, PoolLoad, loaded, unsteady


def prefill_work(work: Work) -> Work:
    """What of a request the pool computes that prefills it."""
    return replace(work, decoded=0.0, kv_tokens=0.0, windowed_kv_tokens=0.0)


def decode_work(work: Work) -> Work:
    """What of a request the pool computes that decodes it."""
    return replace(work, prefilled=0.0, pairs=0.0, windowed_pairs=0.0)


def handed_over(loads: Loads, scenario: Scenario) -> Iterator[PoolLoad]:
    """Both pools of every pair, as far as a steady state is known."""
    pools = {pool.name: pool for pool in scenario.pools}
    for first in scenario.pools:
        if first.decode is not None:
            yield from _pair(loads, scenario, first, pools[first.decode.pool])


def _pair(loads: Loads, scenario: Scenario, first: Pool, second: Pool) -> Iterator[PoolLoad]:
    mine = [w for w in scenario.workloads if w.pool == first.name]
    why = unsteady(first, mine, scenario) or unsteady(second, mine, scenario)
    if why or not mine:
        for pool in (first, second):
            yield PoolLoad(pool.name, pool.replicas, unknown=why or "no workload is sent to it")
        return
    total = sum(w.rate_per_s or 0.0 for w in scenario.workloads)
    streams = [loads.stream(w, scenario, first, total) for w in mine]
    prefills = [replace(s, work=prefill_work(s.work)) for s in streams if s.work.prefilled > 0.0]
    decodes = [replace(s, work=decode_work(s.work)) for s in streams if s.work.decoded > 0.0]
    yield loaded(first, prefills, math.inf)
    if decodes:
        yield loaded(second, decodes, loads.tpot_s(mine))
    else:
        yield PoolLoad(second.name, second.replicas, unknown="no request has tokens to decode")


def every_load(loads: Loads, scenario: Scenario) -> dict[str, PoolLoad]:
    """Name of a pool → its load, of all pools that serve requests."""
    found = {load.pool: load for load in loads.of(scenario)}
    return found | {load.pool: load for load in handed_over(loads, scenario)}
