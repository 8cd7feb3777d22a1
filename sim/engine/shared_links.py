"""Flows on shared links in a simulation: SimPy's clock, the solver of ``sim.kernels``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from simpy import Environment, Event
from simpy.events import EventPriority

from sim.kernels.flow_network import FlowNetwork

#: SimPy serves what is due at one time by rising priority: after all that is normal (1).
_LAST = EventPriority(2)


class SharedLinks:
    """Transfers over the links of a network; each is an event that occurs when it is complete.

    One time-out waits for the next completion. Whatever starts or changes at one time is solved
    once, after everything else of that time.
    """

    def __init__(self, env: Environment, network: FlowNetwork) -> None:
        self._env = env
        self._network = network
        self._waiting: dict[int, Event] = {}
        self._armed_s = math.inf
        self._due: Event | None = None
        self._asked = False

    def transfer(
        self, size_bytes: float, links: Sequence[int], cap_bytes_per_s: float = math.inf
    ) -> Event:
        """Start a flow now; its event has the exact time of completion as its value, s.

        Raises:
            ValueError: as ``FlowNetwork.add`` does.
        """
        self._complete()
        flow = self._network.add(self._env.now, size_bytes, links, cap_bytes_per_s)
        self._waiting[flow] = done = Event(self._env)
        self._ask()
        return done

    def set_capacity(self, link: int, capacity_bytes_per_s: float) -> None:
        """Change what a link carries from now on; 0 is down.

        Raises:
            ValueError: as ``FlowNetwork.set_capacity`` does.
        """
        self._complete()
        self._network.set_capacity(self._env.now, link, capacity_bytes_per_s)
        self._ask()

    def stand(self, links: Sequence[int], demand_bytes_per_s: float) -> int:
        """Start a flow now that never ends; its id, for ``set_demand`` and ``remove``.

        Raises:
            ValueError: as ``FlowNetwork.stand`` does.
        """
        self._complete()
        flow = self._network.stand(self._env.now, links, demand_bytes_per_s)
        self._ask()
        return flow

    def set_demand(self, flow: int, demand_bytes_per_s: float) -> None:
        """Change the demand of a standing flow from now on.

        Raises:
            ValueError, KeyError: as ``FlowNetwork.set_cap`` does.
        """
        self._complete()
        self._network.set_cap(self._env.now, flow, demand_bytes_per_s)
        self._ask()

    def remove(self, flow: int) -> None:
        """End a standing flow.

        Raises:
            KeyError: as ``FlowNetwork.remove`` does.
        """
        self._complete()
        self._network.remove(self._env.now, flow)
        self._ask()

    # ---- the time-out ------------------------------------------------------------------------

    def _complete(self) -> None:
        """Let the events of flows that are complete occur."""
        if self._env.now < self._armed_s:
            return
        self._armed_s = math.inf
        self._due = None
        for flow, finish_s in self._network.pop(self._env.now):
            self._waiting.pop(flow).succeed(finish_s)
        self._ask()

    def _ask(self) -> None:
        """Have the time-out set again once this time is over."""
        if not self._asked:
            self._asked = True
            event = Event(self._env)
            event._ok, event._value = True, None
            event.callbacks.append(self._arm)
            self._env.schedule(event, _LAST)

    def _arm(self, _: Any) -> None:
        self._asked = False
        next_s = self._network.next_completion_s()
        if next_s == self._armed_s:
            return
        self._armed_s, self._due = next_s, None
        if next_s < math.inf:
            self._due = self._env.timeout(max(0.0, next_s - self._env.now))
            self._due.callbacks.append(self._on_due)

    def _on_due(self, event: Event) -> None:
        if event is self._due:
            # The clock may be one rounding before the time that it was set to.
            self._armed_s = min(self._armed_s, self._env.now)
            self._complete()
