"""The facility: what is dead, what carries what, and what that does to replicas.

It hears of guards at their limit (from the serving plane), of scripted failures and of timers; it
decides what opens or changes over, works out which feeds are live, and tells the plane: the new
wiring, guards that change duty, replicas that fail or come back.

At one instant devices only open, drop or empty. Whatever closes again (a restored feed, a
generator, a replica that restarts) is a scripted event or a timer that takes time, so an instant
ends after as many rounds as there are devices. Among guards at their limit at one time the deepest
acts first, as selective breakers do; then the first by index.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from sim.engine.fleet import At, Fleet
from sim.engine.places import Places
from sim.engine.plane import ServingPlane
from sim.engine.recorder import Recorder
from sim.engine.weights import WeightLoader
from sim.engine.wiring import Wiring
from sim.engine.world import World
from sim.site.feeds import Feeds, Live
from sim.site.guards import (
    AT_FIRST,
    BREAKER,
    BYPASS,
    CHARGE,
    INVERTER,
    ON_BATTERY,
    bank_rating_mw,
    guards_of,
)
from sim.site.load import Intake, intake, milliwatts
from sim.site.power import depths as depths_of
from sim.site.power import module_ratings_w, parents_of


class Facility:
    """The state of the electrical tree's devices during one run."""

    def __init__(
        self,
        world: World,
        plane: ServingPlane,
        recorder: Recorder,
        at: At,
        places: Places,
        loader: WeightLoader | None = None,
    ) -> None:
        self._world, self._plane, self._recorder, self._at = world, plane, recorder, at
        self._tree = world.scenario.power
        self._nodes = self._tree.nodes
        self._guards = guards_of(self._tree)
        self._on = {at for at, guard in enumerate(self._guards) if guard.kind in AT_FIRST}
        self._depth = depths_of(parents_of(self._tree))
        self._feeds = Feeds(self._tree)
        self._failed: set[int] = set()  # by the script
        self._open: set[int] = set()  # breakers that opened, UPSs that dropped their load
        self._bypass: set[int] = set()
        self._empty: set[int] = set()  # batteries
        self._cooling_mw: dict[int, int] = {}  # what the cooling plant draws, by its node
        self._modules = {  # of a UPS that has them: how many are alive
            index: node.ups.modules.count
            for index, node in enumerate(self._nodes)
            if node.ups is not None and node.ups.modules is not None
        }
        self._uncharged: set[int] = set()  # UPSs whose battery is not full
        self._charging: frozenset[int] = frozenset()
        self._running: set[int] = set()  # generators
        self._starting: set[int] = set()
        self._dead: frozenset[int] = frozenset()  # nodes without power
        self._on_battery: frozenset[int] = frozenset()
        #: Which replicas serve, load or are away, as power and the script have it.
        self.fleet = Fleet(world, plane, recorder, at, places, loader)

    # ---- what happens --------------------------------------------------------------------

    def settle(self, time_s: float) -> None:
        """Guards of the plane are at their limit at ``time_s``: they act, one after another."""
        due = self._plane.due_guards(time_s)
        if not due:  # something else at this very time has relieved it
            return
        first = min(due, key=lambda at: (-self._depth[self._guards[at].node], at))
        guard = self._guards[first]
        charged = guard.kind == CHARGE and first not in self._on
        self._plane.give_up(first, time_s)
        self._on.discard(first)
        if charged:
            self._uncharged.discard(guard.node)
        else:
            self._act_on(guard.kind, guard.node, time_s)
        self._update(time_s)

    def fail(self, node: int, time_s: float) -> None:
        """The script takes a node out."""
        self._failed.add(node)
        self._tell(time_s, "fails", node, "by the scenario's events")
        self._update(time_s)

    def restore(self, node: int, time_s: float) -> None:
        """The script brings a node back: repaired, closed, a UPS on its inverter."""
        for states in (self._failed, self._open, self._bypass):
            states.discard(node)
        self._has_modules(node, None, time_s)
        self._tell(time_s, "is restored", node, "by the scenario's events")
        self._update(time_s)

    def fail_module(self, node: int, time_s: float) -> None:
        """The script takes one module of a UPS out; with the last one its inverter is gone."""
        self._has_modules(node, self._modules[node] - 1, time_s)
        self._tell(time_s, "module-fails", node, self._modules_left(node))
        if not self._modules[node] and node not in self._bypass | self._open | self._failed:
            if self._fed(node):
                self._bypass.add(node)
                self._tell(time_s, "to-bypass", node, "no module is left: its load goes to bypass")
            else:
                self._open.add(node)
                self._tell(time_s, "drops-load", node, "no module is left: it lets its load go")
        self._update(time_s)

    def restore_module(self, node: int, time_s: float) -> None:
        """The script brings one module of a UPS back."""
        self._has_modules(node, self._modules[node] + 1, time_s)
        self._tell(time_s, "module-returns", node, self._modules_left(node))
        self._update(time_s)

    def _modules_left(self, node: int) -> str:
        gear = self._nodes[node].ups
        assert gear is not None
        assert gear.modules is not None
        return f"{self._modules[node]} of {gear.modules.count}, {gear.modules.needed} are needed"

    def _has_modules(self, node: int, alive: int | None, time_s: float) -> None:
        """So many modules of a UPS share its load from now on (None: all it has)."""
        gear = self._nodes[node].ups
        if gear is None or gear.modules is None:
            return
        alive = gear.modules.count if alive is None else alive
        if alive == self._modules[node]:
            return
        self._modules[node] = alive
        for at, guard in enumerate(self._guards):
            if alive and guard.node == node and guard.kind in (INVERTER, ON_BATTERY):
                rating_mw = bank_rating_mw(self._nodes[node], alive)
                self._plane.resize_guard(at, rating_mw, time_s)

    def _curve(self, node: int) -> Intake:
        """The losses of a UPS with the modules that are alive: their no-load losses, too."""
        plan, alive = self._nodes[node], self._modules[node]
        if plan.ups is None or plan.rating_w is None or plan.loss is None or not alive:
            return intake(None)
        return intake(replace(plan.loss, rating_w=module_ratings_w(plan.ups, plan.rating_w, alive)))

    def cool(self, node: int, draw_mw: int, time_s: float) -> None:
        """The cooling plant draws this from ``time_s`` on, if it has power."""
        self._cooling_mw[node] = draw_mw
        self._plane.rewire(self._wiring(self._live()), time_s)

    def _act_on(self, kind: str, node: int, time_s: float) -> None:
        """What a device does at its limit."""
        if kind == BREAKER:
            self._open.add(node)
            self._tell(time_s, "trips", node, "its breaker opens")
        elif kind == INVERTER and self._fed(node):
            self._bypass.add(node)
            self._tell(time_s, "to-bypass", node, "overloaded: its load goes to bypass")
        elif kind == CHARGE:
            self._empty.add(node)
            self._tell(time_s, "battery-empty", node, "its load is lost until its input returns")
        else:
            self._open.add(node)
            what = {ON_BATTERY: "on battery", BYPASS: "in bypass", INVERTER: "without input"}[kind]
            self._tell(time_s, "drops-load", node, f"overloaded {what}: it lets its load go")

    def _tell(self, time_s: float, what: str, node: int, why: str) -> None:
        self._recorder.event(time_s, what, self._nodes[node].name, why)

    # ---- what follows --------------------------------------------------------------------

    def _update(self, time_s: float) -> None:
        """Work out what is live now and tell the plane what has changed."""
        self._start_generators(time_s)
        live = self._live()
        dead = frozenset(n for n in range(len(self._nodes)) if not live.has_power(n))
        on_battery = frozenset(
            n
            for n, node in enumerate(self._nodes)
            if node.ups is not None and n not in dead and not live.inputs(n)
        )
        for node in sorted(dead ^ self._dead):
            if self._nodes[node].kind == "generator":
                continue  # starts and stops
            if node in dead:
                self._tell(time_s, "loses-power", node, "nothing feeds it")
            else:
                self._tell(time_s, "has-power", node, "it is fed again")
        for node in sorted(on_battery - self._on_battery):
            self._tell(time_s, "on-battery", node, "its input is dead")
        for node in sorted(self._on_battery - on_battery - dead):
            self._tell(time_s, "on-mains", node, "its input is back")
        self._uncharged |= on_battery
        charging = frozenset(self._uncharged - on_battery - dead)
        self._empty -= {n for n in self._empty if live.inputs(n)}
        self._dead, self._on_battery = dead, on_battery
        self._change_duty(charging, time_s)
        self._plane.rewire(self._wiring(live), time_s)
        self.fleet.power(self._dead, time_s)

    def _live(self) -> Live:
        """What has power as things are now."""
        return Live(self._feeds, self._is_down, self._has_source)

    def _is_down(self, node: int) -> bool:
        """Whether a node has failed, opened or let its load go."""
        return node in self._failed or node in self._open

    def _has_source(self, node: int) -> bool:
        """Whether a node has power of itself."""
        kind, gear = self._nodes[node].kind, self._nodes[node].ups
        if kind in ("utility", "generator"):
            return kind == "utility" or node in self._running
        battery = gear is not None and gear.battery is not None
        return battery and node not in self._empty and node not in self._bypass

    def _fed(self, node: int) -> bool:
        """Whether a node's input is live at the moment."""
        return any(parent not in self._dead for parent, _ in self._feeds.primary[node]) or any(
            parent not in self._dead for parent in self._feeds.standby[node]
        )

    def _wiring(self, live: Live) -> Wiring:
        """What the plane needs to know of the tree."""
        unfed = self._dead | self._on_battery
        feeds = [[] if node in unfed else live.inputs(node) for node in range(len(self._nodes))]
        servers = self._tree.server_index.tolist()
        return Wiring(
            feeds,
            unfed=unfed,
            off=frozenset(s for s, node in enumerate(servers) if node in self._dead),
            extra_mw={node: self._recharge_mw(node) for node in self._charging} | self._cooling_mw,
            curves={node: self._curve(node) for node in self._modules},
        )

    def _recharge_mw(self, node: int) -> int:
        """What a UPS takes in beside its load while its battery charges."""
        gear, rating_w = self._nodes[node].ups, self._nodes[node].rating_w
        if gear is None or gear.battery is None or rating_w is None:
            raise AssertionError("only a UPS with a battery charges")
        return milliwatts(gear.battery.recharge_share * rating_w)

    def _change_duty(self, charging: frozenset[int], time_s: float) -> None:
        """Put the guards on duty that watch what the load goes through now."""
        on = {
            at
            for at, guard in enumerate(self._guards)
            if guard.node not in self._dead and guard.kind in self._duty(guard.node)
        }
        batteries = {
            at
            for at, guard in enumerate(self._guards)
            if guard.kind == CHARGE and guard.node in charging ^ self._charging
        }
        for at in sorted((on ^ self._on) | batteries):
            self._plane.switch_guard(at, at in on, self._guards[at].node in charging, time_s)
        self._on, self._charging = on, charging

    def _duty(self, node: int) -> tuple[str, ...]:
        """The kinds of guards that watch a node that has power."""
        if node in self._on_battery:
            return (BREAKER, ON_BATTERY, CHARGE)
        return (BREAKER, BYPASS if node in self._bypass else INVERTER)

    # ---- generators ----------------------------------------------------------------------

    def _start_generators(self, time_s: float) -> None:
        """A generator starts when a switchboard before it has no mains, and stops when all have."""
        without: dict[int, bool] = {}
        self._running, running = set(), self._running
        mains = self._live()
        for child, generator in self._tree.standby:
            if self._nodes[generator].kind == "generator":
                lost = not any(mains.has_power(p) for p, _ in self._feeds.primary[child])
                without[generator] = without.get(generator, False) or lost
        self._running = {g for g in running if without[g] and g not in self._failed}
        for generator in sorted(running - self._running - self._failed):
            self._tell(time_s, "stops", generator, "mains are back")
        for generator, lost in sorted(without.items()):
            if lost and generator not in self._running | self._starting | self._failed:
                self._starting.add(generator)
                start_s = self._nodes[generator].start_s or 0.0
                self._at(time_s + start_s, partial(self._started, generator))

    def _started(self, generator: int, time_s: float) -> None:
        """A generator is up to speed; if mains are back meanwhile it stops again at once."""
        self._starting.discard(generator)
        if generator in self._failed:
            return
        self._running.add(generator)
        self._tell(time_s, "starts", generator, "up to speed")
        self._update(time_s)
