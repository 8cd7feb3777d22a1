"""Controllers of power nodes: what each has commanded, what has acted, and which replicas obey it.

A controller stands at every watched node with a limit. Below it are the replicas with a GPU on a
server that the node feeds, in classes by the priority of their pools.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sim.check.control import controlled_nodes
from sim.check.scenario import Scenario
from sim.engine.levers import Lever, levers
from sim.engine.meters import Integral
from sim.engine.world import PlacedReplica, World
from sim.policies.power.base import SAME, ClassView, PowerPolicy, PowerView
from sim.rng import KeyedBits
from sim.site.types import PowerTree

#: What is counted of a controller inside the measurement window.
COUNTED = ("clock", "cap", "admission", "brakes", "refused", "lost")


@dataclass
class ClassState:
    """One class of a controller's replicas, and the levers over it by name."""

    priority: int
    levers: dict[str, Lever]
    replicas: tuple[int, ...] = ()
    place: dict[int, int] = field(default_factory=dict)  # replica → its place among them

    def have(self, replicas: Iterable[int]) -> None:
        """These are its replicas from now on."""
        self.replicas = tuple(sorted(replicas))
        self.place = {replica: place for place, replica in enumerate(self.replicas)}

    def seen(self, from_s: float) -> bool:
        """Whether everything commanded shows in a reading of a period that began at ``from_s``."""
        return all(lever.seen(from_s) for lever in self.levers.values())

    def view(self, from_s: float) -> ClassView:
        """What the policy sees of it beside such a reading."""
        clock, cap_w = self.levers["clock"], self.levers["cap"].commanded
        return ClassView(
            priority=self.priority,
            commanded=clock.commanded,
            in_force=clock.in_force,
            seen=self.seen(from_s),
            cap_w=None if cap_w == math.inf else cap_w,
            admitting=self.levers["admission"].commanded,
            replicas=len(self.replicas),
        )

    def admits(self, replica: int) -> bool:
        """Whether a replica is among those that admit requests."""
        share = self.levers["admission"].in_force
        return self.place[replica] < math.ceil(share * len(self.replicas) - SAME)


@dataclass
class BrakeState:
    """The brake of one controller."""

    commanded: bool = False
    on: bool = False
    since_s: float = 0.0  # when it last took hold
    released_s: float = -math.inf
    in_flight: int = 0
    time_on: Integral = field(default_factory=Integral)  # 1 while it is on → s

    @property
    def word(self) -> str:
        """As ``PowerView.brake``."""
        if self.on:
            return "on" if self.commanded else "releasing"
        return "commanded" if self.commanded else "off"


@dataclass
class Controller:
    """One watched node, and everything about it that changes during a run."""

    node: int  # index in the electrical tree
    name: str
    kind: str
    limit_w: float | None
    every: tuple[ClassState, ...]  # of each priority that a pool has, the one served last first
    state: Any  # of the policy
    rng: KeyedBits  # of the policy, keyed by period
    losses: KeyedBits  # of its telemetry, keyed by period
    brake: BrakeState = field(default_factory=BrakeState)
    number: int = 0  # of the period of the last reading that arrived
    from_s: float = 0.0  # that period
    until_s: float = 0.0
    blind: bool = False
    refused: dict[str, str] = field(default_factory=dict)  # suggestion → why, since the last taken
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COUNTED, 0))

    measuring: bool = False  # the measurement window is open

    def count(self, what: str) -> None:
        """One more of ``counts``, if the window is open."""
        if self.measuring:
            self.counts[what] += 1

    @property
    def classes(self) -> tuple[ClassState, ...]:
        """Those that have replicas below the node, the one served last first."""
        return tuple(one for one in self.every if one.replicas)

    @property
    def replicas(self) -> tuple[int, ...]:
        """Every replica below the node."""
        return tuple(sorted(replica for one in self.classes for replica in one.replicas))

    def view(
        self, time_s: float, number: int, reading_w: float | None, refractory_s: float
    ) -> PowerView:
        """What the policy sees at a decision."""
        return PowerView(
            time_s=time_s,
            number=number,
            node=self.name,
            kind=self.kind,
            limit_w=self.limit_w,
            reading_w=reading_w,
            from_s=self.from_s,
            until_s=self.until_s,
            classes=tuple(one.view(self.from_s) for one in self.classes),
            brake=self.brake.word,
            refractory=self.refractory(time_s, refractory_s),
        )

    def refractory(self, time_s: float, refractory_s: float) -> bool:
        """Whether its brake was released less than ``refractory_s`` ago."""
        return not self.brake.on and time_s < self.brake.released_s + refractory_s


def build_controllers(world: World, policy: PowerPolicy) -> tuple[Controller, ...]:
    """A controller for each node that ``policy`` watches, in the order of the tree."""
    scenario = world.scenario
    tree = scenario.power
    priorities = sorted({pool.priority for pool in scenario.pools}, reverse=True)
    found = []
    for node in controlled_nodes(tree, policy):
        plan = tree.nodes[node]
        found.append(
            Controller(
                node=node,
                name=plan.name,
                kind=plan.kind,
                limit_w=plan.rating_w if plan.budget_w is None else plan.budget_w,
                every=tuple(ClassState(one, levers(scenario.actuation)) for one in priorities),
                state=policy.new_state(),
                rng=KeyedBits(world.seed, f"policy/power/{plan.name}"),
                losses=KeyedBits(world.seed, f"telemetry/{plan.name}/lost"),
            )
        )
    assign(found, scenario, dict(enumerate(world.replicas)))
    return tuple(found)


def assign(
    controllers: Sequence[Controller], scenario: Scenario, places: Mapping[int, PlacedReplica]
) -> None:
    """Put replicas below the controllers that feed their places, and below no others."""
    if not controllers:
        return
    above = _above(scenario.power)
    here: dict[tuple[int, int], set[int]] = {}  # (node, priority) → of these replicas, those below
    for replica, placed in places.items():
        fed_by: set[int] = set()
        rest = [int(scenario.power.server_index[server]) for server, _ in placed.servers]
        while rest:
            node = rest.pop()
            if node not in fed_by:
                fed_by.add(node)
                rest += above[node]
        for node in fed_by:
            here.setdefault((node, scenario.pools[placed.pool].priority), set()).add(replica)
    for controller in controllers:
        for one in controller.every:
            stay = set(one.replicas).difference(places)
            come = here.get((controller.node, one.priority), set())
            one.have(stay | come)


def _above(tree: PowerTree) -> list[list[int]]:
    """[nodes] what feeds each."""
    above: list[list[int]] = [[] for _ in tree.nodes]
    for child, parent, _ in tree.edges:
        above[child].append(parent)
    return above
