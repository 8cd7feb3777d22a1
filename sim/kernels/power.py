"""The electrical tree in compiled form: equal to ``sim.engine.power_meter``, change by change.

**Draw.** Every node delivers ``out`` and takes in ``in = out + loss(out)``, whole milliwatts. They
are held as float64, which saves every conversion on the way up and is exact: sums stay below 2^53,
and so do the products with a share in 1/256 up to 35 GW. ``change`` gives the server its new output
and walks the nodes above it, children before parents. A visited node whose intake moved from ``a``
to ``b`` adds, for each of its feeds, floor(b·share) − floor(a·share) to the parent's ``next_out``;
the last feed takes what is left of b − a. All children that this change reaches come before their
parent, so ``next_out`` is final when the walk arrives, and each node is visited once; one whose
``next_out`` still equals its ``out`` is passed over. The reference recurses depth first and meets a
parent of two changed children twice. Intake rises with output, so all differences of one change
have one sign and both visit the same nodes; the reference's values between two visits last no time.

**Meters.** A node's values are held from ``since`` to the next visit at t, so its integrals grow by
value·(t − since): the intake and what is judged in mJ, and t − since if the latter was above the
limit. The lowest and highest value judged count if t > since: a value held for no time is nowhere.

**Turns.** What the hot record gathers is moved to the ledger, and the gathering starts anew, at the
ends of minutes only: a *turn*. The total of a meter is ledger + record. A minute's energy is what
the record gathered, with no difference of large totals; its highest value also serves the peak of
the window, so the minutes cost one comparison a visit. ``turn_s`` is the end E of the minute being
counted. The first visit at t ≥ E

1. settles up to E and hands on the minute that ended there: its energy, its seconds (E less where
   the minute, or the node's life, began), lowest and highest;
2. if the value was held over k = floor((t − E)/60) > 0 whole minutes more, settles up to E + 60·k
   and hands them on as one row: energy value·60 each, lowest = highest = value;
3. leaves [E + 60·k, t) to the visit itself, as the beginning of minute E/60 + k.

All of this is exact in float64: t and E are multiples of the last place of t, so t − E is too, and
is no larger. A float x below 60·k is below it by more than a part in 2^53, which is more than
rounding the quotient can make up, so x/60 rounded stays below k, and the floor is right.

**Window.** It opens and closes between turns: settle, then remember the totals; the window holds
the differences. Its peak starts at zero, so the highest value up to there moves aside
(``minute_high``) until the minute is handed on.

**Over the limit.** ``alert_mw`` is the limit, so a visit of a node that keeps to it costs the one
comparison; the rest is in ``sim.kernels.over_limit``.

**Rows.** A state becomes a row when it has lasted: at the first visit later than the one that made
it. So one instant makes at most one POWER_ROW, one OVER_ROW and two MINUTE_ROWs a node, and
``finish`` a last one of each. Whoever calls ``change`` asks ``full`` before each event.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sim.kernels.guards import give_up_guard, resize_guard, switch_guard, warm_up_guard, watch
from sim.kernels.jit import entry, kernel, rare
from sim.kernels.over_limit import look_closer, write_over
from sim.kernels.power_state import (
    MINUTE_S,
    NO_LOW_MW,
    OVER_MW,
    FloatArray,
    IntArray,
    PowerState,
)


@kernel
def full(power: PowerState) -> bool:
    """Whether one more event may find no room for its rows."""
    count = power.count[0]
    return (
        count.power_rows > count.power_full
        or count.minute_rows > count.minute_full
        or count.over_rows > count.over_full
    )


@kernel
def change(power: PowerState, server: int, delta_mw: int, t: float) -> None:
    """The GPUs of ``server`` draw ``delta_mw`` more from ``t`` on; times never go back."""
    load = power.server[server]
    load.gpu_mw += delta_mw
    index = load.node
    power.node[index].next_out_mw = server_out_mw(load)
    # Unsigned 32-bit indices: numba counts signed ones from the end when negative, at a price.
    at, end = load.first, load.end
    while True:
        visit(power, index, t)
        while at < end and unmoved(power.node[power.path[at]]):
            at = np.uint32(at + 1)
        if at == end:
            return
        index = power.path[at]
        at = np.uint32(at + 1)


@kernel
def unmoved(node: Any) -> bool:
    """Whether no child of ``node`` changed what it takes."""
    return node.next_out_mw == node.out_mw


@kernel
def server_out_mw(load: Any) -> float:
    """``sim.site.load.ServerLoad.out_mw`` of a SERVER record."""
    if load.off:
        return 0.0
    gpu_mw = float(load.gpu_mw)
    return np.rint((load.base_mw + gpu_mw) + (gpu_mw * gpu_mw) * (gpu_mw * load.fan_per_mw2))


@kernel
def taken_mw(node: Any, out_mw: float) -> float:
    """``sim.site.load.Intake.in_mw``: what ``node`` takes in to deliver ``out_mw``."""
    if not node.fed:
        return 0.0
    if node.lossless:
        return out_mw + node.extra_mw
    line_mw = node.constant_mw + out_mw * node.linear
    return np.rint(line_mw + (out_mw * out_mw) * node.square_per_mw) + node.extra_mw


@kernel
def visit(power: PowerState, index: np.uint32, t: float) -> None:
    """From ``t`` on a node delivers its ``next_out``: meter what was, tell its parents."""
    node = power.node[index]
    settle(power, index, t)
    if power.count[0].changes:
        note(power, index, t)
    out_mw = node.next_out_mw
    before_mw = node.in_mw
    in_mw = taken_mw(node, out_mw)
    node.out_mw = out_mw
    node.in_mw = in_mw
    if node.guards > 0:
        watch(power, index, t)
    if in_mw == before_mw:
        return
    if node.feeds == 1:
        move(power, power.edge[node.first_edge].parent, before_mw, in_mw)
    elif node.feeds > 1:
        feed(power, node.first_edge, before_mw, in_mw)


@kernel
def feed(power: PowerState, at: np.uint32, before_mw: float, in_mw: float) -> None:
    """Split a change of intake over the edges from ``at`` on, each part a difference of floors."""
    left_mw, left_before_mw = in_mw, before_mw
    edge = power.edge[at]
    while not edge.last:
        part_mw = np.floor(in_mw * edge.share)
        part_before_mw = np.floor(before_mw * edge.share)
        move(power, edge.parent, part_before_mw, part_mw)
        left_mw -= part_mw
        left_before_mw -= part_before_mw
        at = np.uint32(at + 1)
        edge = power.edge[at]
    move(power, edge.parent, left_before_mw, left_mw)


@kernel
def move(power: PowerState, parent: np.uint32, before_mw: float, in_mw: float) -> None:
    """A feed of ``parent`` takes ``in_mw`` where it took ``before_mw``."""
    node = power.node[parent]
    # In this order all but the last sum is done before ``in_mw`` is known.
    node.next_out_mw = (node.next_out_mw - before_mw) + in_mw


@kernel
def settle(power: PowerState, index: np.uint32, t: float) -> None:
    """Meter a node's values up to ``t``, minute by minute."""
    node = power.node[index]
    if t >= node.turn_s:
        turn(power, index, t)
    gather(power, index, t)


@kernel
def gather(power: PowerState, index: np.uint32, t: float) -> None:
    """Meter a node's values up to ``t``, within a minute or over equal ones."""
    node = power.node[index]
    held_s = t - node.since_s
    if held_s > 0.0:
        in_mw = node.in_mw
        judged_mw = in_mw if node.on_intake else node.out_mw
        node.energy_mj += in_mw * held_s
        node.judged_mj += judged_mw * held_s
        if judged_mw > node.alert_mw:
            look_closer(power, index, judged_mw, held_s)
        node.low_mw = judged_mw if judged_mw < node.low_mw else node.low_mw
        node.high_mw = judged_mw if judged_mw > node.high_mw else node.high_mw
    node.since_s = t


@rare
def turn(power: PowerState, index: np.uint32, t: float) -> None:
    """Hand on the minute being counted, which has ended by ``t``, and whole ones held since."""
    node = power.node[index]
    ended_s = node.turn_s
    held = int((t - ended_s) / MINUTE_S)
    minute = int(ended_s / MINUTE_S)
    gather(power, index, ended_s)
    write_minute(power, index, minute - 1, 1)
    if held > 0:
        gather(power, index, ended_s + held * MINUTE_S)
        write_minute(power, index, minute, held)
    node.turn_s = ended_s + (held + 1) * MINUTE_S


@kernel
def write_minute(power: PowerState, index: np.uint32, minute: int, minutes: int) -> None:
    """Hand on what the record gathered, ``minutes`` equal ones from ``minute`` on; start anew."""
    count = power.count[0]
    row = power.minute_row[count.minute_rows]
    node = power.node[index]
    ledger = power.ledger[index]
    row.energy_mj = node.judged_mj / minutes
    row.seconds = (node.since_s - ledger.minute_since_s) / minutes
    row.low_mw = int(node.low_mw)
    row.high_mw = int(max(node.high_mw, ledger.minute_high_mw))
    row.node = index
    row.minute = minute
    row.minutes = minutes
    count.minute_rows += 1
    ledger.energy_mj += node.energy_mj
    ledger.judged_mj += node.judged_mj
    ledger.over_s += node.over_s
    ledger.peak_mw = max(ledger.peak_mw, node.high_mw)
    ledger.minute_since_s = node.since_s
    ledger.minute_high_mw = 0.0
    node.energy_mj = 0.0
    node.judged_mj = 0.0
    node.over_s = 0.0
    node.low_mw = NO_LOW_MW
    node.high_mw = 0.0


@kernel
def note(power: PowerState, index: np.uint32, t: float) -> None:
    """Hand on the node's state if it has lasted until ``t``; the one from ``t`` on waits."""
    ledger = power.ledger[index]
    if ledger.row_since_s < t:
        write_change(power, index)
    ledger.row_since_s = t


@kernel
def write_change(power: PowerState, index: np.uint32) -> None:
    """Hand on the node's state."""
    count = power.count[0]
    row = power.power_row[count.power_rows]
    node = power.node[index]
    row.t_s = power.ledger[index].row_since_s
    row.out_mw = int(node.out_mw)
    row.in_mw = int(node.in_mw)
    row.node = index
    count.power_rows += 1


@entry
def start(power: PowerState, gpu_mw: IntArray) -> None:
    """Set every server's GPU draw ([servers] mW, sum over its GPUs) at time 0."""
    for server in range(len(gpu_mw)):
        change(power, server, gpu_mw[server], 0.0)
    reroute(power, 0.0)  # what carries nothing has no-load losses, too


@entry
def warm_up(power: PowerState, t: float) -> None:
    """What is drawn at ``t`` has been drawn for long: breakers are as warm as that makes them."""
    for place in range(len(power.guard)):
        warm_up_guard(power, place, t)


@entry
def switch(power: PowerState, place: int, on: bool, charging: bool, t: float) -> None:
    """Guard ``place`` is on duty from ``t`` on, or off it; a battery off duty charges or rests."""
    switch_guard(power, place, on, charging, t)


@entry
def give_up(power: PowerState, place: int, t: float) -> None:
    """Guard ``place`` is at its limit at ``t``."""
    give_up_guard(power, place, t)


@entry
def resize(power: PowerState, place: int, rating_mw: float, t: float) -> None:
    """Guard ``place`` is of another rating from ``t`` on."""
    resize_guard(power, place, rating_mw, t)


@entry
def reroute(power: PowerState, t: float) -> None:
    """Feeds, or what takes part at all, have changed at ``t``: carry every load up anew.

    Nodes whose load is what it was are passed over, as if nothing had happened to them.
    """
    for index in range(len(power.node)):
        power.node[index].next_out_mw = 0.0
    for server in range(len(power.server)):
        load = power.server[server]
        power.node[load.node].next_out_mw = server_out_mw(load)
    for place in range(len(power.order)):
        index = power.order[place]
        node = power.node[index]
        out_mw = node.next_out_mw
        in_mw = taken_mw(node, out_mw)
        if out_mw != node.out_mw or in_mw != node.in_mw:
            settle(power, index, t)
            if power.count[0].changes:
                note(power, index, t)
            node.out_mw = out_mw
            node.in_mw = in_mw
            if node.guards > 0:
                watch(power, index, t)
        if node.feeds == 1:
            move(power, power.edge[node.first_edge].parent, 0.0, in_mw)
        elif node.feeds > 1:
            feed(power, node.first_edge, 0.0, in_mw)


@entry
def changes(power: PowerState, servers: IntArray, deltas_mw: IntArray, times_s: FloatArray) -> int:
    """Many changes, in order of time; returns how many were made before the rows filled up."""
    for at in range(len(servers)):
        if full(power):
            return at
        change(power, servers[at], deltas_mw[at], times_s[at])
    return len(servers)


@entry
def change_limit(power: PowerState, index: int, limit_mw: float, t: float) -> float:
    """A node has another limit from ``t`` on; returns its peak under the one before.

    That is since the window opened or the limit last changed. Makes rows as an event does.
    """
    node, ledger = power.node[index], power.ledger[index]
    if node.since_s <= t:
        settle(power, np.uint32(index), t)
    peak_mw: float = max(ledger.peak_mw, node.high_mw)
    ledger.minute_high_mw = max(ledger.minute_high_mw, node.high_mw)
    ledger.peak_mw = 0.0
    node.high_mw = 0.0
    if node.alert_mw == OVER_MW:  # a span is above one limit
        write_over(power, np.uint32(index))
    ledger.limit_mw = limit_mw
    node.alert_mw = limit_mw
    return peak_mw


@entry
def open_window(power: PowerState, t: float) -> None:
    """The measurement window starts. Makes rows as an event does."""
    for index in range(len(power.node)):
        node, ledger = power.node[index], power.ledger[index]
        if node.since_s <= t:
            settle(power, np.uint32(index), t)
        ledger.opened_energy_mj = ledger.energy_mj + node.energy_mj
        ledger.opened_judged_mj = ledger.judged_mj + node.judged_mj
        ledger.opened_over_s = ledger.over_s + node.over_s
        ledger.minute_high_mw = max(ledger.minute_high_mw, node.high_mw)
        ledger.peak_mw = 0.0
        node.high_mw = 0.0


@entry
def close_window(power: PowerState, t: float) -> None:
    """The measurement window ends. Makes rows as an event does."""
    for index in range(len(power.node)):
        node, ledger = power.node[index], power.ledger[index]
        if node.since_s <= t:
            settle(power, np.uint32(index), t)
        ledger.window_energy_mj = ledger.energy_mj + node.energy_mj - ledger.opened_energy_mj
        ledger.window_judged_mj = ledger.judged_mj + node.judged_mj - ledger.opened_judged_mj
        ledger.window_over_s = ledger.over_s + node.over_s - ledger.opened_over_s
        ledger.window_peak_mw = max(ledger.peak_mw, node.high_mw)


@entry
def finish(power: PowerState, t: float) -> None:
    """The run ends: hand on the states that still last and the minutes begun, by node."""
    count = power.count[0]
    for at in range(len(power.node)):
        index = np.uint32(at)
        node, ledger = power.node[index], power.ledger[index]
        settle(power, index, t)
        if node.alert_mw == OVER_MW:
            write_over(power, index)
        if count.changes:
            write_change(power, index)
            ledger.row_since_s = np.nan
        if count.minutes and t > ledger.minute_since_s:
            write_minute(power, index, int(node.turn_s / MINUTE_S) - 1, 1)
