"""The loss of each feed, in numbers, before any run: who carries what, for how long, who can help.

The load is the worst that is planned: every replica at its highest predicted draw, GPUs without one
parked. The IT load of a run is never more, because it draws from the same tables; a cooling plant
that the tree feeds is left out. What actuators take off it is
predicted for two moments: every replica decoding at the highest draw that decoding has, and every
replica in prefill at the highest that prefill has.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from sim.check.scenario import Scenario
from sim.engine.actuation import level_at
from sim.engine.build import build
from sim.engine.controllers import Controller, build_controllers
from sim.engine.world import World
from sim.perf.step import StepPower
from sim.site.guards import INVERTER, ON_BATTERY, Guard, bank_rating_mw, guards_of
from sim.site.load import milliwatts, server_out_mw, tree_flow
from sim.site.losses import (
    FEEDERS,
    MODES,
    AfterLoss,
    Tolerance,
    after_loss,
    bridges,
    time_left_s,
    tolerance,
)
from sim.site.types import IntArray, Modules

DECODE, PREFILL = PHASES = ("decode", "prefill")


@dataclass(frozen=True)
class Cut:
    """What an actuator takes off a survivor's load while all replicas are in one phase, W."""

    phase: str
    before_w: float
    after_w: float

    @property
    def removed_w(self) -> float:
        """What it takes off."""
        return self.before_w - self.after_w


@dataclass(frozen=True)
class Help:
    """An actuator, as far as one survivor is concerned.

    Attributes:
        actuator: "clock" or "brake".
        share: the lowest share of the maximum clock at which it lets a replica run.
        acts_s: from a command to its full effect.
        commanded: whether the policy ever commands it at a node that has this one's load.
        margin_s: by mode, the time left when it has acted; negative: too late; None: no tolerance
            is stated.
        cuts: by phase.
        enough: by mode, whether what is left in both phases is carried for ever.
    """

    actuator: str
    share: float
    acts_s: float
    commanded: bool
    margin_s: dict[str, float | None]
    cuts: tuple[Cut, ...]
    enough: dict[str, bool | None]


@dataclass(frozen=True)
class Survivor:
    """A node that carries more once another is lost.

    ``left_s``: by mode, what is left of the tolerance when the overload shows in telemetry.
    ``seen_by``: the controllers that have its load in their readings; itself alone if it is
    watched.
    """

    name: str
    kind: str
    rating_before_w: float | None  # of the modules alive, where it has some
    rating_w: float | None
    product: str | None
    before_w: float
    after_w: float
    tolerance: Tolerance
    left_s: dict[str, float | None]
    seen_by: tuple[str, ...]
    helps: tuple[Help, ...]


@dataclass(frozen=True)
class Loss:
    """The loss of one node.

    ``bridged``: UPSs that go on on their batteries at first, for how long, s.
    """

    name: str
    kind: str
    dark_racks: tuple[str, ...]
    bridged: dict[str, float]
    survivors: tuple[Survivor, ...]


def losses(scenario: Scenario) -> Iterator[Loss]:
    """The loss of each switchboard, UPS (and one module of it) and PDU, from the top down.

    Raises:
        BuildError: a replica that has no place.
    """
    outlook = _Outlook(build(scenario, scenario.seed, peak=True))
    nodes = scenario.power.nodes
    for kind in FEEDERS:
        for index, node in enumerate(nodes):
            if node.kind == kind:
                yield outlook.loss(index)
            modules = None if node.ups is None else node.ups.modules
            if node.kind == kind and modules is not None and modules.count > 1:
                yield outlook.module_loss(index, modules)


@dataclass(frozen=True)
class _Actuator:
    """An actuator, and [phase] what servers draw before and after every controller used it."""

    name: str
    share: float
    acts_s: float
    used: bool
    servers_mw: dict[str, tuple[IntArray, IntArray]]


#: (actuator, phase) → what every node delivers before it acts and after, [nodes] mW.
Flows: TypeAlias = dict[tuple[str, str], tuple[IntArray, ...]]


@dataclass(frozen=True)
class _Carrier:
    """A node that carries more than before, or with less."""

    node: int
    guards: Sequence[Guard]
    before_w: float | None  # its rating before
    rating_w: float | None


class _Outlook:
    """One world, its draws by phase and clock, and its controllers."""

    def __init__(self, world: World) -> None:
        self._world, self._scenario = world, world.scenario
        self._tree, self._policy = world.scenario.power, world.scenario.power_policy
        self._highest: dict[tuple[int, str], int] = {}
        self._controllers = build_controllers(world, self._policy)
        self._guards: dict[int, list[Guard]] = defaultdict(list)
        for guard in guards_of(self._tree):
            self._guards[guard.node].append(guard)
        self._priority = [world.scenario.pools[one.pool].priority for one in world.replicas]
        self._first = [self._policy.at_start(priority) for priority in self._priority]
        self._peak_mw = self._servers_mw((DECODE, PREFILL), self._first)
        self._before_mw = tree_flow(self._tree, self._peak_mw)[0]

    def loss(self, lost: int) -> Loss:
        """What the loss of one node does."""
        after, nodes = after_loss(self._tree, lost), self._tree.nodes
        out_mw = after.out_mw(self._peak_mw)
        bridged = bridges(after, self._tree, self._guards, self._peak_mw, self._before_mw)
        loaded = [
            node
            for node, plan in enumerate(nodes)
            if plan.kind in FEEDERS and out_mw[node] > self._before_mw[node]
        ]
        actuators = self._actuators(after) if loaded else ()
        flows = self._flows(after, actuators)
        return Loss(
            nodes[lost].name,
            nodes[lost].kind,
            tuple(nodes[n].name for n in sorted(after.dead) if nodes[n].kind == "rack"),
            {nodes[n].name: bridged[n] for n in after.bridged},
            tuple(
                self._survivor(self._carrier(n), after, int(out_mw[n]), actuators, flows)
                for n in loaded
            ),
        )

    def module_loss(self, node: int, modules: Modules) -> Loss:
        """What the loss of one module of a UPS does to the others."""
        plan, left = self._tree.nodes[node], modules.count - 1
        after = AfterLoss(-1, self._tree, frozenset(), ())
        assert plan.rating_w is not None
        rating_mw = bank_rating_mw(plan, left)
        guards = [
            replace(one, rating_mw=rating_mw) if one.kind in (INVERTER, ON_BATTERY) else one
            for one in self._guards[node]
        ]
        whole_w, left_w = (modules.rating(plan.rating_w, n) for n in (modules.count, left))
        carrier = _Carrier(node, guards, whole_w, left_w)
        actuators = self._actuators(after)
        out_mw = int(self._before_mw[node])
        flows = self._flows(after, actuators)
        survivor = self._survivor(carrier, after, out_mw, actuators, flows)
        return Loss(f"{plan.name}.module", "module", (), {}, (survivor,))

    def _flows(self, after: AfterLoss, actuators: tuple[_Actuator, ...]) -> Flows:
        """What every node delivers in each phase before and after each actuator."""
        return {
            (one.name, phase): tuple(after.out_mw(mw) for mw in pair)
            for one in actuators
            for phase, pair in one.servers_mw.items()
        }

    def _carrier(self, node: int) -> _Carrier:
        rating_w = self._tree.nodes[node].rating_w
        return _Carrier(node, self._guards[node], rating_w, rating_w)

    def _survivor(
        self,
        carrier: _Carrier,
        after: AfterLoss,
        out_mw: int,
        actuators: tuple[_Actuator, ...],
        flows: Flows,
    ) -> Survivor:
        node = carrier.node
        plan, before_mw = self._tree.nodes[node], int(self._before_mw[node])
        held = self._held(carrier, out_mw)
        told = self._scenario.telemetry
        left_s: dict[str, float | None] = {}
        for mode in MODES:
            carried_s = held.carried_s(mode)
            left_s[mode] = (
                None if carried_s is None
                else time_left_s(carried_s, told.period_s, told.delay_s)
            )  # fmt: skip
        seen_by = self._seen_by(node, after)
        helps = tuple(self._help(carrier, one, bool(seen_by), left_s, flows) for one in actuators)
        product = None if plan.ups is None else plan.ups.product
        return Survivor(
            plan.name, plan.kind, carrier.before_w, carrier.rating_w,
            None if product is None else product.name, before_mw / 1000.0, out_mw / 1000.0,
            held, left_s, seen_by, helps,
        )  # fmt: skip

    def _help(
        self,
        carrier: _Carrier,
        one: _Actuator,
        seen: bool,
        left_s: dict[str, float | None],
        flows: Flows,
    ) -> Help:
        cuts, calm = [], []
        for phase in PHASES:
            before_mw, after_mw = (int(mw[carrier.node]) for mw in flows[one.name, phase])
            cuts.append(Cut(phase, before_mw / 1000.0, after_mw / 1000.0))
            calm.append(self._held(carrier, after_mw))
        return Help(
            one.name,
            one.share,
            one.acts_s,
            one.used and seen,
            {mode: None if s is None else s - one.acts_s for mode, s in left_s.items()},
            tuple(cuts),
            {mode: _for_ever(calm, mode) for mode in MODES},
        )

    def _held(self, carrier: _Carrier, out_mw: int) -> Tolerance:
        """How long a node holds a load after long at that of before."""
        is_ups = self._tree.nodes[carrier.node].kind == "ups"
        return tolerance(carrier.guards, is_ups, out_mw, int(self._before_mw[carrier.node]))

    # ---- who sees and who acts -----------------------------------------------------------

    def _alive(self, after: AfterLoss) -> list[Controller]:
        return [one for one in self._controllers if one.node not in after.dead]

    def _seen_by(self, node: int, after: AfterLoss) -> tuple[str, ...]:
        """Itself if it is watched; else the controllers below it, else those above it."""
        alive = self._alive(after)
        above = _ancestors(after.tree.edges)
        own = [one.name for one in alive if one.node == node]
        below = [one.name for one in alive if node in above[one.node]]
        return tuple(own or below or [one.name for one in alive if one.node in above[node]])

    def _actuators(self, after: AfterLoss) -> tuple[_Actuator, ...]:
        """The clocks, if any policy sets them, and the brake, as all controllers alive use them.

        Without a controller the brake is shown as if it reached everyone: what it could do.
        """
        acts, policy = self._scenario.actuation, self._policy
        obey = {replica for one in self._alive(after) for replica in one.replicas}
        everyone = range(len(self._first))
        braked = [
            min(self._first[r], acts.brake_clock) if r in obey or not self._controllers
            else self._first[r]
            for r in everyone
        ]  # fmt: skip
        brake = _Actuator(
            "brake", acts.brake_clock, acts.brake_delay_s, policy.fastest == "brake",
            self._by_phase(braked),
        )  # fmt: skip
        if not self._controllers:
            return (brake,)
        deepest = [
            min(self._first[r], policy.deepest(self._priority[r])) if r in obey else self._first[r]
            for r in everyone
        ]
        lowest = min((self._clock(r, deepest[r]) for r in obey), default=1.0)
        clock = _Actuator("clock", lowest, acts.clock_s, True, self._by_phase(deepest))
        return (clock, brake)

    def _clock(self, replica: int, share: float) -> float:
        """The share of its maximum clock at which a replica told ``share`` runs."""
        model = self._world.replicas[replica].model
        return model.clocks_hz[level_at(model, share)] / max(model.clocks_hz)

    # ---- what servers draw ---------------------------------------------------------------

    def _by_phase(self, shares: list[float]) -> dict[str, tuple[IntArray, IntArray]]:
        """What servers draw in each phase at the clocks of the start, and at these."""
        return {
            phase: (self._servers_mw((phase,), self._first), self._servers_mw((phase,), shares))
            for phase in PHASES
        }

    def _servers_mw(self, phases: tuple[str, ...], shares: list[float]) -> IntArray:
        """[servers] mW with every replica at its highest draw in ``phases``, at these clocks."""
        site = self._scenario.site
        gpu_mw = [
            node.gpus * milliwatts(gpu.parked_w)
            for node, gpu in zip(site.node_types, site.gpu_types, strict=True)
        ]
        for placed, share in zip(self._world.replicas, shares, strict=True):
            table = placed.model.power[level_at(placed.model, share)]
            draw_mw = max(self._highest_mw(table, phase) for phase in phases)
            for server, gpus in placed.servers:
                gpu_mw[server] += gpus * (draw_mw - milliwatts(site.gpu_types[server].parked_w))
        outputs = map(server_out_mw, site.node_types, gpu_mw)
        return np.array(list(outputs), dtype=np.int64)

    def _highest_mw(self, table: StepPower, phase: str) -> int:
        """``highest_mw``, looked up once for each table: replicas of a pool share theirs."""
        key = (id(table), phase)
        if key not in self._highest:
            self._highest[key] = highest_mw(table, phase)
        return self._highest[key]


def highest_mw(table: StepPower, phase: str) -> int:
    """The highest draw of one GPU in a phase, whatever the batch and its context."""
    if phase == PREFILL:
        return max(table.idle_mw, table.most_prefill_mw)
    return table.most_decode_mw


def _for_ever(all_held: list[Tolerance], mode: str) -> bool | None:
    """Whether each of these loads is carried for ever; None: nothing is stated."""
    times = [held.overload_s(mode) for held in all_held]
    return None if None in times else all(math.isinf(s) for s in times if s is not None)


def _ancestors(edges: tuple[tuple[int, int, int], ...]) -> dict[int, set[int]]:
    """Everything above each node; edges come parents first."""
    above: dict[int, set[int]] = defaultdict(set)
    for child, parent, _ in edges:
        above[child] |= above[parent] | {parent}
    return above
