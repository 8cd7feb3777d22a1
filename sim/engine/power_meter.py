"""The electrical graph at work: integer milliwatts from GPU to utility, exact at every change.

A change of one GPU's draw walks up through server, rack, feeds, UPS and utility as an integer
difference, so sums do not depend on the order of changes. Losses are added at each node.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from sim.engine.guard_meter import GuardMeters
from sim.engine.limits import Limits
from sim.engine.meters import Integral
from sim.engine.wiring import Wiring
from sim.site.guards import guards_of
from sim.site.load import intake, server_load, split
from sim.site.power import children_first
from sim.site.types import ON_INTAKE, PowerTree, Site

#: ``report(start_s, end_s, peak_mw, limit_mw)``.
Report = Callable[[float, float, int, int], None]


class NodeMeter:
    """One node: what it delivers and takes, its energy, peak and time over its limit.

    What is compared with the limit is the intake of the utility (the grid contract) and the
    delivery of everything else (its rating).
    """

    __slots__ = (
        "energy", "in_mw", "judged", "limit_mw", "mean", "on_intake", "out_mw", "over",
        "over_peak_mw", "over_since_s", "peak_mw", "report", "window_peak_mw",
    )  # fmt: skip

    def __init__(self, limit_w: float | None, on_intake: bool, report: Report) -> None:
        self.limit_mw = None if limit_w is None else round(limit_w * 1000)
        self.on_intake = on_intake
        self.report = report
        self.over_since_s: float | None = None  # above the limit since then; None: within it
        self.over_peak_mw = 0
        self.out_mw = 0
        self.in_mw = 0
        self.energy = Integral()  # intake, mW → mJ
        self.mean = Integral()  # what is judged, mW → mJ
        self.over = Integral()  # 1 while above the limit → s
        self.judged = 0
        self.peak_mw = 0
        self.window_peak_mw = 0

    def set(self, out_mw: int, in_mw: int, time_s: float) -> None:
        """From ``time_s`` on it delivers ``out_mw`` and takes ``in_mw``."""
        # A value held for no time at all (several changes at one instant) is not a peak.
        if time_s > self.mean.since_s:
            self.peak_mw = max(self.peak_mw, self.judged)
            self._watch()
        self.out_mw, self.in_mw = out_mw, in_mw
        self.judged = in_mw if self.on_intake else out_mw
        self.energy.set(in_mw, time_s)
        self.mean.set(self.judged, time_s)
        if self.limit_mw is not None:
            self.over.set(float(self.judged > self.limit_mw), time_s)

    def change_limit(self, limit_mw: int, time_s: float) -> float:
        """Another limit from ``time_s`` on; the peak since the last change, or the window's."""
        self.set(self.out_mw, self.in_mw, time_s)
        peak_mw, self.peak_mw = self.peak_mw, 0
        self._end_span(time_s)  # a span is above one limit
        self.limit_mw = limit_mw
        self.over.set(float(self.judged > limit_mw), time_s)
        return peak_mw

    def _watch(self) -> None:
        """A value that has lasted: does it begin, lengthen or end a span above the limit?"""
        if self.limit_mw is None:
            return
        if self.judged > self.limit_mw:
            if self.over_since_s is None:
                self.over_since_s, self.over_peak_mw = self.mean.since_s, 0
            self.over_peak_mw = max(self.over_peak_mw, self.judged)
        else:
            self._end_span(self.mean.since_s)

    def _end_span(self, time_s: float) -> None:
        if self.over_since_s is not None and self.limit_mw is not None:
            self.report(self.over_since_s, time_s, self.over_peak_mw, self.limit_mw)
            self.over_since_s = None

    def finish(self, time_s: float) -> None:
        """The run ends."""
        self.set(self.out_mw, self.in_mw, time_s)
        self._end_span(time_s)

    def judged_mj(self, time_s: float) -> float:
        """Energy of what is judged up to ``time_s``, mJ; changes nothing."""
        return self.mean.total + self.mean.value * (time_s - self.mean.since_s)

    def open_window(self, time_s: float) -> None:
        """The measurement window starts: the peak counts from here."""
        self.set(self.out_mw, self.in_mw, time_s)
        self.peak_mw = 0
        for integral in (self.energy, self.mean, self.over):
            integral.open_window(time_s)

    def close_window(self, time_s: float) -> None:
        """The measurement window ends."""
        self.set(self.out_mw, self.in_mw, time_s)
        self.window_peak_mw = self.peak_mw
        for integral in (self.energy, self.mean, self.over):
            integral.close_window(time_s)


class PowerMeter:
    """Every node of the electrical graph, and the rows of the ``power`` table.

    ``record(node, t_s, out_mw, in_mw)`` is called with each node's state that lasted some time, in
    order of time for each node; ``record_over(node, start_s, end_s, peak_mw, limit_mw)`` with each
    longest span of time in which it was above its limit.
    """

    def __init__(
        self,
        site: Site,
        tree: PowerTree,
        record: Callable[[int, float, int, int], None],
        record_over: Callable[[int, float, float, int, int], None],
    ) -> None:
        self._server_out_mw = [server_load(kind).out_mw for kind in site.node_types]
        self._in_mw = [intake(node.loss).in_mw for node in tree.nodes]
        self._tree = tree
        self._record = record
        self._feeds: list[tuple[list[int], list[int]]] = [([], []) for _ in tree.nodes]
        for child, parent, share in tree.edges:
            self._feeds[child][0].append(parent)
            self._feeds[child][1].append(share)
        self.nodes = [
            NodeMeter(
                node.budget_w if node.budget_w is not None else node.rating_w,
                on_intake=node.kind in ON_INTAKE,
                report=partial(record_over, index),
            )
            for index, node in enumerate(tree.nodes)
        ]
        self._pending: list[tuple[float, int, int] | None] = [(0.0, 0, 0)] * len(tree.nodes)
        self._gpu_mw = [0] * len(site.node_names)
        self.guards = GuardMeters(guards_of(tree))
        #: What takes no part: nodes that take in nothing, servers without power; and what nodes
        #: take in beside what they deliver.
        self._unfed: frozenset[int] = frozenset()
        self._off: frozenset[int] = frozenset()
        self._extra_mw: dict[int, int] = {}
        self._order = children_first(tree)

    def start(self, gpu_mw: Sequence[int]) -> None:
        """Set every server's GPU draw (mW, sum over its GPUs) at time 0."""
        for server, draw_mw in enumerate(gpu_mw):
            self.change(server, draw_mw, 0.0)
        self._carry_up(0.0)  # what carries nothing has no-load losses, too

    def change(self, server: int, delta_mw: int, time_s: float) -> None:
        """The GPUs of ``server`` draw ``delta_mw`` more from ``time_s`` on."""
        self._gpu_mw[server] += delta_mw
        self._set_out(int(self._tree.server_index[server]), self._delivered_mw(server), time_s)

    def _delivered_mw(self, server: int) -> int:
        """What a server's supplies deliver."""
        return 0 if server in self._off else self._server_out_mw[server](self._gpu_mw[server])

    def _taken_mw(self, node: int, out_mw: int) -> int:
        """What a node takes in to deliver ``out_mw``."""
        if node in self._unfed:
            return 0
        return self._in_mw[node](out_mw) + self._extra_mw.get(node, 0)

    def reroute(self, wiring: Wiring, time_s: float) -> None:
        """Feeds, or what takes part at all, change at ``time_s``: carry every load up anew."""
        for node, feeds in enumerate(wiring.feeds):
            self._feeds[node] = ([parent for parent, _ in feeds], [share for _, share in feeds])
        self._unfed, self._off = wiring.unfed, wiring.off
        self._extra_mw = dict(wiring.extra_mw)
        for node, curve in wiring.curves.items():
            self._in_mw[node] = curve.in_mw
        self._carry_up(time_s)

    def _carry_up(self, time_s: float) -> None:
        """Every load from the servers to the top; what is as it was is left alone."""
        out_mw = [0] * len(self.nodes)
        for server, node in enumerate(self._tree.server_index.tolist()):
            out_mw[node] = self._delivered_mw(server)
        for node in self._order:
            in_mw = self._taken_mw(node, out_mw[node])
            parents, shares = self._feeds[node]
            if parents:
                for parent, part in zip(parents, split(in_mw, shares), strict=True):
                    out_mw[parent] += part
            meter = self.nodes[node]
            if (meter.out_mw, meter.in_mw) != (out_mw[node], in_mw):
                self._hold(node, out_mw[node], in_mw, time_s)

    def _set_out(self, node: int, out_mw: int, time_s: float) -> None:
        before_mw = self.nodes[node].in_mw
        in_mw = self._taken_mw(node, out_mw)
        self._hold(node, out_mw, in_mw, time_s)
        parents, shares = self._feeds[node]
        if not parents or in_mw == before_mw:
            return
        for parent, old, new in zip(
            parents, split(before_mw, shares), split(in_mw, shares), strict=True
        ):
            if new != old:
                self._set_out(parent, self.nodes[parent].out_mw + new - old, time_s)

    def _hold(self, node: int, out_mw: int, in_mw: int, time_s: float) -> None:
        """From ``time_s`` on a node delivers and takes this."""
        self._note(node, out_mw, in_mw, time_s)
        self.nodes[node].set(out_mw, in_mw, time_s)
        self.guards.set(node, out_mw, time_s)

    def _note(self, node: int, out_mw: int, in_mw: int, time_s: float) -> None:
        """Keep the last state of an instant; hand on the one before once time has moved."""
        pending = self._pending[node]
        if pending is not None and pending[0] < time_s:
            self._record(node, *pending)
        self._pending[node] = (time_s, out_mw, in_mw)

    def finish(self, time_s: float) -> None:
        """The run ends: hand on the states that still last and read every meter."""
        for node, pending in enumerate(self._pending):
            if pending is not None:
                self._record(node, *pending)
        self._pending = [None] * len(self._pending)
        for meter in self.nodes:
            meter.finish(time_s)

    def open_window(self, time_s: float) -> None:
        """The measurement window starts."""
        for meter in self.nodes:
            meter.open_window(time_s)

    def close_window(self, time_s: float) -> None:
        """The measurement window ends."""
        for meter in self.nodes:
            meter.close_window(time_s)


class TreeControl:
    """The part of the reference plane that the facility talks to about the electrical tree."""

    power: PowerMeter
    limits: Limits

    def change_limit(self, node: int, limit_mw: int, time_s: float) -> None:
        """A node has another limit."""
        peak_mw = self.power.nodes[node].change_limit(limit_mw, time_s)
        self.limits.change(node, limit_mw, peak_mw, time_s)

    def due_guards(self, time_s: float) -> list[int]:
        """The guards that are at their limit by ``time_s``."""
        return [at for at, one in enumerate(self.power.guards.all) if one.due_s <= time_s]

    def give_up(self, guard: int, time_s: float) -> None:
        """A guard is at its limit."""
        self.power.guards.all[guard].give_up(time_s)

    def switch_guard(self, guard: int, on: bool, charging: bool, time_s: float) -> None:
        """A guard is on duty or off it."""
        self.power.guards.all[guard].switch(on, charging, time_s)

    def resize_guard(self, guard: int, rating_mw: int, time_s: float) -> None:
        """A guard is of another rating."""
        self.power.guards.all[guard].resize(rating_mw, time_s)

    def rewire(self, wiring: Wiring, time_s: float) -> None:
        """The electrical tree is connected otherwise."""
        self.power.reroute(wiring, time_s)
