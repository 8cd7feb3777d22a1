"""Tenants: who has replicas on which node, rack and leaf, and who is to share one with nobody.

Isolation binds both sides: an isolated replica comes nowhere near another tenant's, and nobody
else's comes near it. A replica has its place from the moment on at which GPUs are held for it until
it gives them up, whether it serves or is down.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from sim.check.scenario import Pool, Scenario
from sim.check.tenants import domains_of
from sim.engine.arbiter import Refusal
from sim.engine.world import PlacedReplica
from sim.spec.pools import ISOLATION


class Tenants:
    """The replicas in each domain, a node, a rack or a leaf, by tenant ("": of none)."""

    def __init__(self, scenario: Scenario) -> None:
        self._pools, self._gpu_node = scenario.pools, scenario.site.gpu_node
        stated = {pool.isolation for pool in scenario.pools}
        #: Level → [servers] the domains that each is in; only levels that some pool states.
        self._domains = {
            level: domains_of(scenario.site, scenario.leaves, level)
            for level in ISOLATION
            if level in stated
        }
        self._guests: dict[tuple[str, str], Counter[str]] = {}
        self._alone: dict[tuple[str, str], Counter[str]] = {}  # of them, those to be alone there

    def copy(self) -> Tenants:
        """As it stands, for one run."""
        other = Tenants.__new__(Tenants)
        other.__dict__.update(self.__dict__)
        other._guests = {domain: Counter(who) for domain, who in self._guests.items()}
        other._alone = {domain: Counter(who) for domain, who in self._alone.items()}
        return other

    def refuse(self, pool: Pool, gpus: tuple[int, ...]) -> Refusal | None:
        """Whether a replica of ``pool`` on ``gpus`` would share what somebody is to have alone."""
        for server in self._servers(gpus):
            reason = self._conflict(pool, server)
            if reason is not None:
                return Refusal("isolation", reason)
        return None

    def barred(self, pool: Pool) -> NDArray[np.bool_]:
        """[G] GPUs of servers to which no replica of ``pool`` may come."""
        servers = range(int(self._gpu_node.max()) + 1)
        barred = np.array([self._conflict(pool, server) is not None for server in servers])
        return np.asarray(barred[self._gpu_node])

    def accept(self, placed: PlacedReplica) -> None:
        """A replica holds these GPUs from now on."""
        self._count(placed, 1)

    def release(self, placed: PlacedReplica) -> None:
        """And these not any more."""
        self._count(placed, -1)

    def _count(self, placed: PlacedReplica, sign: int) -> None:
        pool = self._pools[placed.pool]
        for server in self._servers(placed.gpus):
            for domain in self._around(server):
                self._guests.setdefault(domain, Counter())[pool.tenant] += sign
                if domain[0] == pool.isolation:
                    self._alone.setdefault(domain, Counter())[pool.tenant] += sign

    def _conflict(self, pool: Pool, server: int) -> str | None:
        """Why no replica of ``pool`` may come to a server, or None."""
        for domain in self._around(server):
            level, name = domain
            others = [
                tenant
                for tenant, count in self._guests.get(domain, Counter()).items()
                if count and tenant != pool.tenant
            ]
            for tenant in others:
                if self._alone.get(domain, Counter())[tenant]:
                    return (
                        f"{_whom(tenant)} has {name} to itself, and this replica is of "
                        f"{_whom(pool.tenant)}"
                    )
            if others and level == pool.isolation:
                return (
                    f"{_whom(pool.tenant)} is to have {name} to itself, and {_whom(others[0])} "
                    "has a replica there"
                )
        return None

    def _around(self, server: int) -> Iterator[tuple[str, str]]:
        """(level, name) of every domain that a server is in."""
        for level, domains in self._domains.items():
            for name in domains[server]:
                yield level, name

    def _servers(self, gpus: tuple[int, ...]) -> list[int]:
        return sorted({int(self._gpu_node[gpu]) for gpu in gpus})


def _whom(tenant: str) -> str:
    return f"tenant {tenant}" if tenant else "no tenant"
