"""The loop of the compiled serving plane: time-outs, arrivals and boundaries in order of time.

Events at equal times run in the order power, handing over to another pool, time-out and
cancellation, arrival, boundary; then by id. Power events, a breaker or a UPS at its limit, are for
Python, as is whatever else ``advance`` returns a code for (rows to drain, arrays to grow, the next
chunk of a source, a routing decision); it is called again with the same state.
"""

from __future__ import annotations

from sim.kernels.alarms import take_alarm
from sim.kernels.arrivals import arrival
from sim.kernels.bits import value_of
from sim.kernels.boundary import boundary
from sim.kernels.jit import entry, kernel
from sim.kernels.layout import (
    ARRIVED,
    BETWEEN,
    CANCELLED,
    CHUNK,
    DONE,
    GROW,
    HAND_OVER,
    MOVES,
    NONE,
    ORPHANS,
    POWER,
    ROOM,
    TIMED_OUT,
    WHOLE,
)
from sim.kernels.state import Ints, State, state_of
from sim.kernels.stops import withdraw


@entry
def advance(table: Ints, until_s: float) -> int:
    """Handle every event strictly before ``until_s``; DONE, or what Python must do first."""
    s = state_of(table)
    all_ = s.all[0]
    while True:
        if all_.fault != DONE:
            return all_.fault
        if all_.moves > 0:
            return MOVES
        if all_.orphans > 0:
            return ORPHANS
        if all_.hungry != NONE:
            return CHUNK
        first = s.event[1]
        t = min(value_of(first.key), all_.arrival_s, all_.alarm_s, all_.handover_s)
        power_s = value_of(s.power.due[1].key)
        if min(t, power_s) >= until_s:
            return DONE
        if power_s <= t:
            return POWER
        if lacks_room(s):
            return ROOM
        if all_.handover_s == t:
            return HAND_OVER
        if all_.alarm_s == t:
            alarm(s, t)
            if all_.between != NONE:
                return BETWEEN
        elif all_.arrival_s == t:
            code = arrival(s, t)
            if code != DONE:
                return code
        elif s.replica[first.id].new_entries > all_.free_entries:
            return GROW
        else:
            r = first.id
            if all_.boundary_s != t or all_.boundary_replica < r:
                all_.boundary_replica = r
            all_.boundary_s = t
            boundary(s, r, t)


@kernel
def lacks_room(s: State) -> bool:
    """Whether the buffers of rows might not hold what the next event makes of them."""
    all_, power = s.all[0], s.power.count[0]
    return (
        all_.rows > all_.most_rows
        or all_.decisions >= len(s.decision)
        or all_.iterations >= len(s.iteration)
        or power.power_rows > power.power_full
        or power.minute_rows > power.minute_full
        or power.over_rows > power.over_full
    )


@kernel
def alarm(s: State, t: float) -> None:
    """The server gives up on a request that was never admitted, or its client does on any."""
    cancels = s.all[0].alarm_workload == NONE
    slot = take_alarm(s)
    if slot == NONE:
        return
    if is_between(s, slot):
        s.all[0].between = slot
        s.all[0].between_s = t
    else:
        withdraw(s, slot, CANCELLED if cancels else TIMED_OUT, t)


@kernel
def is_between(s: State, slot: int) -> bool:
    """Whether a request, which may only be cancelled then, is on its way to another pool."""
    request = s.request[slot]
    if request.role == WHOLE:
        return False
    return s.handover[slot].peer != NONE or request.state == ARRIVED
