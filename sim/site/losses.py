"""What one loss does to the electrical tree: who carries what afterwards, and for how long.

Arithmetic alone, before anything runs: loads are given, feeds move over as in a run (``Live``), and
each device holds its new load for as long as the very guards of a run say (``sim.site.guards``).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from sim.site.feeds import Feeds, Live
from sim.site.guards import BREAKER, BYPASS, CHARGE, INVERTER, ON_BATTERY, Guard
from sim.site.load import tree_flow
from sim.site.types import IntArray, PowerTree

#: Kinds of nodes whose loss is looked at, from the top down.
FEEDERS = ("msb", "ups", "pdu")
#: What feeds a UPS that carries its load.
MODES = ("mains", "battery")


@dataclass(frozen=True)
class AfterLoss:
    """The tree once the node ``lost`` is dead and the batteries below it have run out.

    ``bridged``: the UPSs that go on on their batteries at first. Until those are empty, all that
    hangs from them stays as it was.
    """

    lost: int
    tree: PowerTree  # rewired: its edges are the feeds that are left
    dead: frozenset[int]
    bridged: tuple[int, ...]

    def out_mw(self, server_out_mw: IntArray) -> IntArray:
        """[nodes] what each delivers where servers with power deliver ``server_out_mw``."""
        lit = [node not in self.dead for node in self.tree.server_index.tolist()]
        return tree_flow(self.tree, np.where(lit, server_out_mw, 0))[0]


def after_loss(
    tree: PowerTree,
    lost: int,
    on_battery: frozenset[int] = frozenset(),
    empty: frozenset[int] = frozenset(),
) -> AfterLoss:
    """The tree without the node ``lost``, the utility and everything else being well.

    UPSs ``on_battery`` still have charge, those that are ``empty`` have let their load go.
    """
    live = Live(
        Feeds(tree),
        lambda node: node == lost or node in empty,
        lambda node: tree.nodes[node].kind == "utility" or node in on_battery,
    )
    everyone = range(len(tree.nodes))
    dead = frozenset(node for node in everyone if not live.has_power(node))
    edges = tuple(
        (node, parent, share)
        for node in everyone
        if node not in dead  # it takes in nothing, not even its losses
        for parent, share in live.inputs(node)
    )
    gear = {node: tree.nodes[node].ups for node in dead if node != lost}
    bridged = tuple(sorted(node for node, ups in gear.items() if ups and ups.battery))
    return AfterLoss(lost, replace(tree, edges=edges), dead, bridged)


def bridges(
    after: AfterLoss,
    whole: PowerTree,
    guards: Mapping[int, Sequence[Guard]],
    server_out_mw: IntArray,
    before_mw: IntArray,
) -> dict[int, float]:
    """How long each UPS of ``after.bridged`` carries load on its battery, s; inf = for ever.

    One that lets its load go hands it to the others, which then end sooner: they do so in turn.
    ``whole`` is the tree before the loss, ``before_mw`` [nodes] what each delivered in it. Devices
    of other nodes are taken to hold meanwhile.
    """
    held = {
        node: [one for one in guards[node] if one.kind in (CHARGE, ON_BATTERY, BREAKER)]
        for node in after.bridged
    }
    gathered = {
        (node, one.kind): one.steady(int(before_mw[node]))
        for node, own in held.items()
        for one in own
    }
    ends: dict[int, float] = {}
    now_s = 0.0
    while held:
        left = after_loss(whole, after.lost, frozenset(held), frozenset(ends))
        out_mw = left.out_mw(server_out_mw).tolist()
        left_s = {
            node: min(one.seconds_left(gathered[node, one.kind], out_mw[node], True) for one in own)
            for node, own in held.items()
        }
        first = min(left_s, key=lambda node: (left_s[node], node))
        step_s = left_s[first]
        now_s += step_s
        if math.isinf(step_s):
            return ends | dict.fromkeys(held, math.inf)
        for node, own in held.items():
            for one in own:
                before = gathered[node, one.kind]
                gathered[node, one.kind] = one.after(before, out_mw[node], step_s, True)
        ends[first] = now_s
        del held[first]
    return ends


@dataclass(frozen=True)
class Tolerance:
    """How long a node carries a load, s: inf = for ever, None = nothing stated says.

    Attributes:
        mains_s: a UPS's inverter, from rested.
        bypass_s: its bypass, from when the inverter gives up.
        battery_s: its inverter on battery.
        charge_s: the charge of its full battery.
        breaker_s: the breaker, as warm as the load before has left it.
        is_ups: what carries it is a UPS: without a product its breaker alone says nothing.
    """

    mains_s: float | None
    bypass_s: float | None
    battery_s: float | None
    charge_s: float | None
    breaker_s: float | None
    is_ups: bool

    def overload_s(self, mode: str) -> float | None:
        """How long the load itself is carried; the charge of a battery apart."""
        if not self.is_ups:
            return self.breaker_s
        own_s = self.mains_s if mode == "mains" else self.battery_s
        return own_s if own_s is None or self.breaker_s is None else min(own_s, self.breaker_s)

    def carried_s(self, mode: str) -> float | None:
        """Until the first of all gives up."""
        overload_s = self.overload_s(mode)
        if overload_s is None or mode == "mains" or self.charge_s is None:
            return overload_s
        return min(overload_s, self.charge_s)


def tolerance(guards: Sequence[Guard], is_ups: bool, out_mw: int, before_mw: int) -> Tolerance:
    """How long a node with these guards delivers ``out_mw`` after long at ``before_mw``."""
    left_s: dict[str, float] = {}
    for guard in guards:
        gathered = guard.steady(before_mw) if guard.kind == BREAKER else 0.0
        left_s[guard.kind] = guard.seconds_left(gathered, out_mw, True)
    return Tolerance(
        mains_s=left_s.get(INVERTER),
        bypass_s=left_s.get(BYPASS),
        battery_s=left_s.get(ON_BATTERY),
        charge_s=left_s.get(CHARGE),
        breaker_s=left_s.get(BREAKER),
        is_ups=is_ups,
    )


def time_left_s(tolerated_s: float, period_s: float, delay_s: float) -> float:
    """What is left of ``tolerated_s`` once an overload shows in full: 2 periods and the delay.

    A surge that begins just after a reading shows in full only in the second one after it.
    """
    return math.inf if math.isinf(tolerated_s) else tolerated_s - (2.0 * period_s + delay_s)
