"""A plant for the control chain: a plane without requests, whose draw follows clocks and a script.

Every power node draws ``base_w(t) · f``, where f is the mean clock share of the replicas.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.check.scenario import Actuation, Telemetry
from sim.engine.control import Chain
from sim.engine.environment import OrderedEnvironment
from sim.engine.recorder import Recorder
from sim.policies.base import register
from sim.policies.power.base import Command, PowerPolicy, PowerView
from sim.rng import KeyedBits
from tests.engine_world import ListSink, model, pool, scenario, world

SHARES = (1.0, 0.93, 0.9, 0.79, 0.5, 0.2)
LIMIT_W = 10_000.0
TELEMETRY, ACTUATION = Telemetry(), Actuation()


@dataclass
class Seen:
    """What a scripted controller was shown, and how far its script has come."""

    views: list[PowerView] = field(default_factory=list)
    said: int = 0


@register("power", "test-scripted")
@dataclass(frozen=True)
class Scripted(PowerPolicy):
    """Gives each command at the first decision at or after its time, on nodes of its name."""

    script: Any = None  # of (time, command, beginning of the node's name)
    watch: str = "pdu"

    def new_state(self) -> Seen:
        return Seen()

    def decide(self, view: PowerView, state: Seen, rng: KeyedBits) -> Iterator[Command]:
        state.views.append(view)
        mine = [(t, c) for t, c, name in self.script or () if view.node.startswith(name)]
        while state.said < len(mine) and mine[state.said][0] <= view.time_s:
            yield mine[state.said][1]
            state.said += 1


class Plant:
    """Implements what the chain needs of ``ServingPlane``."""

    def __init__(self, replicas: int, nodes: int, base_w: Callable[[float], float]) -> None:
        self.calls: list[tuple[float, tuple[int, ...], float]] = []  # time, replicas, share
        self.caps: list[tuple[float, tuple[int, ...], int | None]] = []  # time, replicas, mW
        self.holds: list[tuple[float, int, bool]] = []  # time, replica, admit
        self.held_mw: set[int | None] = set()
        self.shares = [1.0] * replicas
        self.nodes, self.base_w = nodes, base_w
        self.time_s, self.energy_mj = 0.0, 0.0

    def advance(self, until_s: float, step_s: float = 0.125) -> None:
        """Integrate the draw (of steps on the grid of eighths, exactly)."""
        while self.time_s < until_s:
            after_s = min(until_s, (self.time_s // step_s + 1) * step_s)
            draw_w = self.base_w(self.time_s) * sum(self.shares) / len(self.shares)
            self.energy_mj += 1000 * draw_w * (after_s - self.time_s)
            self.time_s = after_s

    def set_clocks(self, replicas: Sequence[int], level: int, time_s: float) -> None:
        self.calls.append((time_s, tuple(replicas), SHARES[level]))
        for replica in replicas:
            self.shares[replica] = SHARES[level]

    def set_caps(self, replicas: Sequence[int], cap_mw: int | None, time_s: float) -> None:
        self.caps.append((time_s, tuple(replicas), cap_mw))

    def set_admission(self, replica: int, admits: bool, held_mw: int | None, time_s: float) -> None:
        self.holds.append((time_s, replica, admits))
        self.held_mw.add(held_mw)

    def is_busy(self, replica: int) -> bool:
        return False

    def judged_mj(self, time_s: float) -> NDArray[np.float64]:
        assert time_s == self.time_s
        return np.full(self.nodes, self.energy_mj)


@dataclass
class Run:
    """A chain that has run."""

    chain: Chain
    plant: Plant
    events: list[dict[str, Any]]
    decisions: list[dict[str, Any]]
    warnings: list[str]

    def times(self, kind: str) -> list[float]:
        """When events of a kind happened."""
        return [row["t_s"] for row in self.events if row["kind"] == kind]

    def views(self, node: str = "row-pdu-a") -> list[PowerView]:
        """What a scripted controller was shown."""
        return next(c for c in self.chain.controllers if c.name == node).state.views


def control(
    policy: Any, until_s: float, base_w: Callable[[float], float] = lambda _: 9_000.0, *,
    telemetry: Telemetry = TELEMETRY, actuation: Actuation = ACTUATION,
    priorities: Sequence[int] = (0, 2), seed: int = 1,
) -> Run:  # fmt: skip
    """Two replicas for each priority, on two PDUs that feed one rack, under ``policy``."""
    cost = model()
    levels = replace(
        cost,
        cost=(cost.cost[0],) * len(SHARES),
        power=(cost.power[0],) * len(SHARES),
        clocks_hz=tuple(2e9 * share for share in SHARES),
    )
    pools = [
        replace(pool(levels, name=f"pool-{n}", replicas=2), priority=priority)
        for n, priority in enumerate(priorities)
    ]
    setup = scenario(pools, [], duration_s=until_s, drain_s=0.0)
    nodes = tuple(
        replace(node, budget_w=LIMIT_W, rating_w=LIMIT_W) if node.kind == "pdu" else node
        for node in setup.power.nodes
    )
    setup = replace(
        setup, power=replace(setup.power, nodes=nodes), power_policy=policy, telemetry=telemetry,
        actuation=actuation,
    )  # fmt: skip
    sink = ListSink()
    recorder = Recorder(setup, sink)
    plant = Plant(2 * len(priorities), len(nodes), base_w)
    env = OrderedEnvironment()
    chain = Chain(env, plant, world(setup, [], seed), recorder)
    chain.start()
    chain.open_window(0.0)
    while env.peek() <= until_s:
        plant.advance(env.peek())
        env.step()
    chain.close_window(until_s)
    chain.finish(until_s)
    recorder.close()
    return Run(chain, plant, sink.rows("events"), sink.rows("decisions"), recorder.warnings)
