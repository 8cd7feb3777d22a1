"""Guards in compiled form: equal to ``sim.site.guards``, change by change.

Each visit of a node brings its guards up to the visit's time and asks anew when they give up. What
that costs is what the common case costs: a thermal breaker far below its limit. Its heat takes
1 − e^(−x), x = Δ/τ, which for the short spans between visits is six terms of its series.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from sim.kernels.jit import kernel, rare
from sim.kernels.layout import BATTERY, ELECTRONIC, OVERLOAD, THERMAL
from sim.kernels.power_state import PowerState
from sim.kernels.tree import update

#: Below it the series is exact to a part in 10^16.
_SHORT = 1e-2


@kernel
def watch(power: PowerState, index: np.uint32, t: float) -> None:
    """A node delivers what it now does from ``t`` on: look at each of its guards."""
    node = power.node[index]
    for place in range(node.first_guard, node.first_guard + node.guards):
        guard = power.guard[place]
        settle_guard(power, guard, t)
        guard.out_mw = node.out_mw
        look_ahead(power, place, t)


@kernel
def settle_guard(power: PowerState, guard: Any, t: float) -> None:
    """Gather up to ``t``; a load held for no time gathers nothing, and is not a pause either."""
    dt = t - guard.since_s
    if dt > 0.0:
        if guard.kind == THERMAL:
            load = guard.out_mw * guard.per_mw if guard.on else 0.0
            guard.gathered += (load * load - guard.gathered) * approach(dt * guard.per_tau)
        else:
            guard.gathered = gathered_after(power, guard, dt)
    guard.since_s = t


@kernel
def approach(x: float) -> float:
    """1 − e^(−x)."""
    if x < _SHORT:
        beyond = x * (1.0 / 24.0 - x * (1.0 / 120.0 - x * (1.0 / 720.0)))
        return x * (1.0 - x * (0.5 - x * (1.0 / 6.0 - beyond)))
    return -math.expm1(-x)


@rare
def gathered_after(power: PowerState, guard: Any, dt: float) -> float:
    """As ``Guard.after`` of everything that is no thermal breaker."""
    load = load_of(guard) if guard.on else 0.0
    if guard.kind == ELECTRONIC:
        above = load * load - guard.pickup * guard.pickup
        if above > 0.0:
            return guard.gathered + above * dt / guard.span_s
        return max(0.0, guard.gathered - dt / guard.recovery_s)
    if guard.kind == OVERLOAD:
        if load > guard.pickup:
            allowed_s = allowed(power, guard, load)
            return 1.0 if allowed_s == 0.0 else guard.gathered + dt / allowed_s
        if guard.recovery_s == 0.0:
            return 0.0
        return max(0.0, guard.gathered - dt / guard.recovery_s)
    if guard.on:
        return guard.gathered + battery_rate(guard, load) * dt
    if not guard.charging:
        return guard.gathered
    return max(0.0, guard.gathered - dt / guard.recovery_s)


@kernel
def load_of(guard: Any) -> float:
    """What its node delivers, as a multiple of the rating; whole milliwatts meet steps exactly."""
    load: float = guard.out_mw / guard.rating_mw
    return load


@kernel
def allowed(power: PowerState, guard: Any, load: float) -> float:
    """As ``Overload.allowed_s``."""
    for place in range(guard.first_step, guard.first_step + guard.steps):
        if load <= power.step[place].load:
            return power.step[place].seconds
    return guard.span_s


@kernel
def battery_rate(guard: Any, load: float) -> float:
    """As ``Battery.rate``."""
    return load**guard.pickup / guard.span_s


@kernel
def look_ahead(power: PowerState, place: int, t: float) -> None:
    """When the guard gives up, if all stays as it is."""
    guard = power.guard[place]
    if guard.on and guard.kind == THERMAL and guard.out_mw <= guard.trip_mw:
        due_s = math.inf
    else:
        due_s = t + seconds_left(power, guard)
    if due_s != guard.due_s:
        guard.due_s = due_s
        update(power.due, 0, len(power.due) >> 1, place, due_s)


@rare
def seconds_left(power: PowerState, guard: Any) -> float:
    """As ``Guard.seconds_left``."""
    left = 1.0 - guard.gathered
    if guard.kind == BATTERY:
        if guard.on:
            if guard.out_mw == 0.0:
                return math.inf
            return left / battery_rate(guard, load_of(guard))
        full = not guard.charging or guard.gathered == 0.0
        return math.inf if full else guard.gathered * guard.recovery_s
    if not guard.on:
        return math.inf
    load = load_of(guard)
    if guard.kind == OVERLOAD:
        if load <= guard.pickup:
            return math.inf
        return max(left, 0.0) * allowed(power, guard, load)
    if guard.out_mw >= guard.magnetic_mw:
        return 0.0
    if guard.kind == ELECTRONIC:
        above = load * load - guard.pickup * guard.pickup
        return math.inf if above <= 0.0 else max(left, 0.0) * guard.span_s / above
    if guard.out_mw <= guard.trip_mw:
        return math.inf
    edge_mw = guard.edge_mw
    above = (guard.out_mw - edge_mw) * (guard.out_mw + edge_mw) * guard.per_mw * guard.per_mw
    return math.log1p(max(guard.limit - guard.gathered, 0.0) / above) / guard.per_tau


@kernel
def switch_guard(power: PowerState, place: int, on: bool, charging: bool, t: float) -> None:
    """The guard is on duty from ``t`` on, or off it; a battery off duty charges or rests."""
    guard = power.guard[place]
    settle_guard(power, guard, t)
    guard.on = on
    guard.charging = charging
    look_ahead(power, place, t)


@kernel
def resize_guard(power: PowerState, place: int, rating_mw: float, t: float) -> None:
    """A UPS's table counts for another rating from ``t`` on: modules come or go."""
    guard = power.guard[place]
    settle_guard(power, guard, t)
    guard.rating_mw = rating_mw
    guard.per_mw = 1.0 / rating_mw
    look_ahead(power, place, t)


@kernel
def warm_up_guard(power: PowerState, place: int, t: float) -> None:
    """What is drawn at ``t`` has been drawn for long."""
    guard = power.guard[place]
    if guard.on and guard.kind == THERMAL:
        load = load_of(guard)
        guard.gathered = min(load * load, guard.limit)
    look_ahead(power, place, t)


@kernel
def give_up_guard(power: PowerState, place: int, t: float) -> None:
    """It reaches its limit at ``t``: exactly there, whatever rounding says; then it is off."""
    guard = power.guard[place]
    settle_guard(power, guard, t)
    guard.gathered = guard.limit if guard.on else 0.0
    guard.on = False
    guard.due_s = math.inf
    update(power.due, 0, len(power.due) >> 1, place, math.inf)
