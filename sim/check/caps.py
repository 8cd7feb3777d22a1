"""Power caps of the start against what the GPUs that are to keep to them draw."""

from __future__ import annotations

from collections.abc import Iterable

from sim.check.collector import Collector
from sim.check.scenario import Pool
from sim.policies.power.base import PowerPolicy, priority_name
from sim.units import format_si

#: The last priority of a pool.
LOWEST = 7


def check_caps(found: Collector, policy: PowerPolicy | None, pools: Iterable[Pool]) -> None:
    """A cap above the draw of any iteration does nothing, one below that of every clock is broken.

    One that is not above the draw without work is an error: no clock keeps to it.
    """
    if policy is None:
        return
    every = tuple(pools)
    capped = {p for p in range(LOWEST + 1) if policy.cap_at_start(p) is not None}
    if capped and every and not any(pool.priority in capped for pool in every):
        have = ", ".join(sorted({priority_name(pool.priority) for pool in every}))
        found.warn(("policies", "power"), f"caps no pool: all have priority {have}")
    for pool in every:
        cap_w = policy.cap_at_start(pool.priority)
        if cap_w is None:
            continue
        for gpu, model in pool.models.items():
            idle_w = model.power[0].idle_mw / 1000
            highest_w, lowest_w = (model.power[at].most_mw / 1000 for at in (0, -1))
            whose = f"a cap of {_w(cap_w)}: each {gpu} of pool {pool.name!r}"
            if cap_w <= idle_w:
                found.error(
                    ("policies", "power"),
                    f"{whose} draws {_w(idle_w)} without work, so no clock keeps to it; write more",
                )
            elif cap_w >= highest_w:
                found.warn(
                    ("policies", "power"),
                    f"{whose} never draws more than {_w(highest_w)}, so it has no effect",
                )
            elif cap_w < lowest_w:
                found.warn(
                    ("policies", "power"),
                    f"{whose} draws up to {_w(lowest_w)} at its lowest clock, so not every "
                    "iteration keeps to it",
                )


def _w(watts: float) -> str:
    return format_si(watts, "W")
