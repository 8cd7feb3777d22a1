"""Flows that share links at max-min fair rates, step by step: for whoever owns the clock.

The owner adds and changes flows at times that never go back, asks when the next one is complete,
and takes it out then. Whatever happens at one time is solved once. Nothing here is Python objects
a flow: ids are integers, and never used twice.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sim.kernels import flow_events as events
from sim.kernels.flow_meter_state import Meters, meters_with_room, new_meters, table_of_meters
from sim.kernels.flow_readings import Completion, LinkMeters, SlotMeters, read, take_slot
from sim.kernels.flow_share import share_of
from sim.kernels.flow_state import Floats, Flows, Ints, new_flows, table_of_flows, with_room

#: Room to begin with; it doubles.
_SLOTS, _HOPS, _MEMBERS = 64, 7, 1024


class FlowNetwork:
    """Links with a capacity each, and the flows on them.

    Args:
        capacity_bytes_per_s: [links] bytes/s, 0 for a link that is down.
        metered: keep what ``close_window`` and ``pop_metered`` tell. Rates and times are the same,
            to the last bit, as without.

    Raises:
        ValueError: of any method, where an argument makes no sense; it says why.
        KeyError: of any method that takes an id: no such flow is in flight.
    """

    def __init__(self, capacity_bytes_per_s: ArrayLike, metered: bool = False) -> None:
        capacity = np.array(capacity_bytes_per_s, np.float64)
        if capacity.ndim != 1:
            raise ValueError(f"capacities have shape {capacity.shape}; there is one for each link")
        for link in np.flatnonzero(~((capacity >= 0.0) & np.isfinite(capacity)))[:1]:
            raise ValueError(_bad_capacity(int(link), float(capacity[link])))
        self.links = len(capacity)
        self._opened_s: float | None = None
        self._slots, self._hops, self._members = _SLOTS, _HOPS, max(_MEMBERS, 8 * len(capacity))
        self._meters: Meters | None = None
        flows = new_flows(capacity, self._slots, self._hops, self._members, capped=True)
        if metered:
            self._meters = new_meters(len(capacity), self._slots, int(flows.all["shift"][0]))
            flows.all["metered"] = 1
        self._keep(flows)

    def _keep(self, flows: Flows) -> None:
        if self._meters is not None:
            flows = flows._replace(meters=table_of_meters(self._meters))
        self._flows = flows
        self._table: Ints = table_of_flows(flows)
        self._path = flows.path

    # ---- changes -----------------------------------------------------------------------------

    def add(
        self,
        now_s: float,
        size_bytes: float,
        links: Sequence[int] | Ints,
        cap_bytes_per_s: float = math.inf,
    ) -> int:
        """Start a flow; returns its id.

        Args:
            now_s: not before any other change, nor after a completion that was not taken out.
            size_bytes: 0 or more, and infinite for a standing flow. Without bytes, and without
                links or a cap, a flow is complete at once.
            links: its path, in any order; none twice.
            cap_bytes_per_s: it is never faster.
        """
        if not size_bytes >= 0.0:
            raise ValueError(f"a flow has {size_bytes} bytes; it takes 0 or more")
        if not cap_bytes_per_s >= 0.0:
            raise ValueError(_bad_cap(cap_bytes_per_s))
        if size_bytes == math.inf and not len(links) and cap_bytes_per_s == math.inf:
            raise ValueError("a standing flow takes links or a cap")
        self._write_path(links)
        now_s, size_bytes, cap = _time(now_s), float(size_bytes), float(cap_bytes_per_s)
        while (number := events.add(self._table, now_s, size_bytes, len(links), cap)) < 0:
            if number == events.NO_SLOT:
                self._grow(slots=2 * self._slots)
            elif number == events.NO_MEMBERS:
                self._grow(members=2 * self._members)
            elif number == events.NO_LINK:
                wrong = next(link for link in links if not 0 <= link < self.links)
                raise ValueError(f"there is no link {wrong}; links are 0 to {self.links - 1}")
            elif number == events.TWICE:
                raise ValueError(f"a path has a link twice: {[int(link) for link in links]}")
            else:
                self._refuse_time(now_s)
        return number

    def stand(self, now_s: float, links: Sequence[int] | Ints, demand_bytes_per_s: float) -> int:
        """Start a flow that takes up to its demand and never ends; returns its id."""
        if not 0.0 <= demand_bytes_per_s < math.inf:
            raise ValueError(f"a demand is {demand_bytes_per_s} bytes/s; it takes 0 or more")
        return self.add(now_s, math.inf, links, demand_bytes_per_s)

    def remove(self, now_s: float, flow: int) -> float:
        """Take a flow out before it is complete; returns the bytes it has left."""
        now_s = _time(now_s)
        left = events.remove(self._table, now_s, flow)
        self._refuse(left, now_s, flow)
        return left

    def set_capacity(self, now_s: float, link: int, capacity_bytes_per_s: float) -> None:
        """Change what a link carries; 0 is down, and its flows stand still."""
        self._check_link(link)
        if not 0.0 <= capacity_bytes_per_s < math.inf:
            raise ValueError(_bad_capacity(link, capacity_bytes_per_s))
        now_s = _time(now_s)
        self._refuse(
            events.set_capacity(self._table, now_s, int(link), float(capacity_bytes_per_s)), now_s
        )

    def set_cap(self, now_s: float, flow: int, cap_bytes_per_s: float) -> None:
        """Change the cap, or the demand, of a flow that has one."""
        if not 0.0 <= cap_bytes_per_s < math.inf:
            raise ValueError(_bad_cap(cap_bytes_per_s))
        now_s = _time(now_s)
        code = events.set_cap(self._table, now_s, flow, float(cap_bytes_per_s))
        if code == events.NO_LINK:
            raise ValueError(f"flow {flow} was added without a cap; add it with one to change it")
        self._refuse(code, now_s, flow)

    # ---- completions -------------------------------------------------------------------------

    def next_completion_s(self) -> float:
        """When the next flow is complete if nothing changes before; infinite if none will be."""
        return events.next_completion(self._table)

    def pop(self, now_s: float) -> list[tuple[int, float]]:
        """Take out the flows that are complete at ``now_s`` or before: ids and exact times."""
        count = events.pop(self._table, _time(now_s))
        return self._flows.done[:count].tolist() if count else []

    def pop_metered(self, now_s: float) -> list[Completion]:
        """``pop`` with what held each flow back, of a metered network."""
        meters = self._with_meters()
        count = events.pop(self._table, _time(now_s))
        return [Completion(*told) for told in meters.story[:count].tolist()] if count else []

    # ---- meters ------------------------------------------------------------------------------

    def open_window(self, now_s: float) -> None:
        """Count from ``now_s`` on what links do; what they did before is forgotten.

        Flows in flight count as flows of the window, with the bytes that they send from now on.
        Times are as those of any change.
        """
        self._count(now_s, afresh=True)
        self._opened_s = float(now_s)

    def close_window(self, now_s: float) -> LinkMeters:
        """What links did since the window was opened. It stays open: a later reading has more."""
        meters = self._with_meters()
        if self._opened_s is None:
            raise ValueError("no window is open: open_window says from when on links are counted")
        self._count(now_s, afresh=False)
        return read(meters, float(now_s) - self._opened_s)

    def read_slot(self, now_s: float) -> SlotMeters:
        """What links carried since this was asked last, or since the beginning.

        Times are as those of any change. The meters of the window are the same with and without.
        """
        link = self._with_meters().link
        now_s = _time(now_s)
        self._refuse(events.read_slots(self._table, now_s), now_s)
        return take_slot(link)

    def _count(self, now_s: float, afresh: bool) -> None:
        self._with_meters()
        now_s = _time(now_s)
        self._refuse(events.read_meters(self._table, now_s, afresh), now_s)

    def _with_meters(self) -> Meters:
        if self._meters is None:
            raise ValueError("this network has no meters: make it with metered=True")
        return self._meters

    # ---- readings ----------------------------------------------------------------------------

    def rate(self, flow: int) -> float:
        """Bytes/s that a flow gets now."""
        rate = events.rate_of(self._table, flow)
        self._refuse(rate, 0.0, flow)
        return rate

    def share(self, flow: int) -> float:
        """Bytes/s that a flow would get without its cap, if no other were faster than it is now.

        That is what a standing flow has while it sends, where its demand is a mean over time.
        """
        share = share_of(self._table, flow)
        self._refuse(share, 0.0, flow)
        return share

    def left_bytes(self, now_s: float, flow: int) -> float:
        """Bytes that a flow has left at ``now_s``, which is not before the last change."""
        left = events.left_of(self._table, _time(now_s), flow)
        self._refuse(left, now_s, flow)
        return left

    def load(self, link: int) -> float:
        """Bytes/s that a link carries now."""
        self._check_link(link)
        return events.load_of(self._table, int(link))

    def rates(self) -> tuple[Ints, Floats]:
        """Ids and rates of all flows in flight, in no order."""
        events.look(self._table)
        size = int(self._flows.all["heap"][0])
        slots: NDArray[np.int64] = self._flows.heap["slot"][1 : size + 1]
        return self._flows.flow["id"][slots], self._flows.flow["rate"][slots]

    # ---- room and refusals -------------------------------------------------------------------

    def _write_path(self, links: Sequence[int] | Ints) -> None:
        """Hand a path to the kernels."""
        if len(links) == 0:
            return
        path = np.asarray(links)
        if path.dtype.kind not in "iu" or path.ndim != 1:
            raise ValueError(f"a path is a list of numbers of links, not {links!r}")
        if len(path) > self._hops:
            self._grow(hops=len(path))
        self._path[: len(path)] = path

    def _grow(self, slots: int = 0, hops: int = 0, members: int = 0) -> None:
        self._slots = max(self._slots, slots)
        self._hops = max(self._hops, hops)
        self._members = max(self._members, members)
        flows = with_room(self._flows, self._slots, self._hops, self._members)
        if self._meters is not None:
            shift = int(flows.all["shift"][0])
            self._meters = meters_with_room(self._meters, self._slots, shift)
        self._keep(flows)

    def _check_link(self, link: int) -> None:
        if not 0 <= link < self.links:
            raise ValueError(f"there is no link {link}; links are 0 to {self.links - 1}")

    def _refuse(self, answer: float, now_s: float, flow: int = 0) -> None:
        """Raise if a kernel answered with a code."""
        if answer == events.NO_SLOT:
            raise KeyError(f"no flow {flow} is in flight")
        if answer < 0.0:
            self._refuse_time(now_s)

    def _refuse_time(self, now_s: float) -> None:
        changed_s = float(self._flows.all["now_s"][0])
        if now_s < changed_s:
            raise ValueError(f"{now_s} s is before the last change, at {changed_s} s")
        raise ValueError(
            f"{now_s} s is after the completion at {self.next_completion_s()} s: pop it before"
        )


def _time(now_s: float) -> float:
    """A time that kernels take."""
    if not math.isfinite(now_s):
        raise ValueError(f"the time is {now_s} s; it takes a finite number")
    return float(now_s)


def _bad_capacity(link: int, capacity: float) -> str:
    return f"the capacity of link {link} is {capacity} bytes/s; it takes a finite number from 0 on"


def _bad_cap(cap: float) -> str:
    return f"a cap is {cap} bytes/s; it takes 0 or more"
