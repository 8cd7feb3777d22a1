"""What a line that a mix misses says of other mixes."""

from __future__ import annotations

from collections.abc import Sequence

from sim.check.scenario import Scenario
from sim.plan.margins import Objective
from sim.plan.mix.search import Reach
from sim.plan.mix.types import FEWER, MORE, OTHER
from sim.policies.base import kind_of

#: Metrics of a pool that more replicas never make worse.
_OF_POOLS = ("waiting_mean", "preemptions")
#: Metrics of workloads and of the whole site that more replicas may make worse or better.
_EITHER = ("energy_j", "energy_per_output_token", "goodput_per_mw", "energy_cost_per_mtoken",
           "carbon_per_mtoken", "water_per_mtoken", "pue", "headroom_w", "mean_clock",
           "busiest_link_use", "link_saturated_s")  # fmt: skip
#: Metrics of the site that are of requests, as a workload's are.
_OF_REQUESTS = ("goodput_fraction", "goodput_per_s", "completed", "never_fits", "queue_full",
                "shed", "timed_out", "cancelled", "failed", "retries", "unfinished",
                "output_tokens_per_s")  # fmt: skip


def reach_of(
    objectives: Sequence[Objective], scenario: Scenario, pools: Sequence[str]
) -> tuple[dict[str, Reach], bool]:
    """Line's text → what it says where it misses; and whether pools depend on each other.

    They do where something crosses a network that they share, or a policy keeps them together
    within a power limit. Then a line that one of them misses is evidence against the whole mix
    only; else against what that pool has, whatever the others have.
    """
    coupled = scenario.moves or kind_of(scenario.power_policy) != "none"
    every = tuple(range(len(pools)))
    found = {}
    for line in objectives:
        side, mine = _side(line, scenario)
        alone = side == MORE and not coupled and mine is not None
        found[line.text] = Reach(
            side, tuple(p for p in every if pools[p] in mine) if alone and mine else every
        )
    return found, coupled


def _side(line: Objective, scenario: Scenario) -> tuple[str, set[str] | None]:
    """On which side others miss the line too, and by which pools; None: by all of them."""
    name = line.definition.name
    entity = line.workload or line.metric.rpartition(".")[0]
    workload = next((w for w in scenario.workloads if w.name == entity), None)
    if name in _EITHER:
        return OTHER, None
    if workload is not None:
        pool = next(pool for pool in scenario.pools if pool.name == workload.pool)
        return MORE, {pool.name} | ({pool.decode.pool} if pool.decode else set())
    if entity.startswith("pools["):
        pool_name = entity[len("pools[") : -1]
        return (MORE, {pool_name}) if name in _OF_POOLS else (OTHER, None)
    if name in _OF_REQUESTS:
        return MORE, None
    return (OTHER if line.more else FEWER), None
