"""Tenants of pools, and what their replicas are to share with nobody else's."""

from __future__ import annotations

from collections import Counter

from sim.check.collector import Collector
from sim.site.fabric.source import FabricSource
from sim.site.types import Site
from sim.spec.nodes import Path
from sim.spec.pools import PoolSpec

_LEAF = "leaf"


def check_tenants(
    found: Collector, site: Site | None, fabric: FabricSource | None
) -> tuple[tuple[str, ...], ...]:
    """[servers] the leaves that each is on, if a pool is to share none; what cannot be is told."""
    pools = [(i, spec) for i, spec in enumerate(found.document.spec.pools) if spec is not None]
    apart = [(i, spec) for i, spec in pools if spec.isolation is not None]
    _idle(found, pools, apart)
    leaves: tuple[tuple[str, ...], ...] = ()
    asking = [i for i, spec in apart if spec.isolation == _LEAF]
    if asking and site is not None:
        leaves = _leaves(found, ("pools", asking[0], "isolation"), site, fabric)
    for i, spec in apart:
        here: Path = ("pools", i, "isolation")
        if spec.tenant is None:
            found.error(here, "needs a tenant whose replicas are to be alone: state 'tenant: bank'")
        elif site is not None:
            _room(found, here, spec, pools, domains_of(site, leaves, spec.isolation or ""))
    return leaves


def _idle(
    found: Collector, pools: list[tuple[int, PoolSpec]], apart: list[tuple[int, PoolSpec]]
) -> None:
    """Warn of tenants and isolation that change nothing."""
    whole = ("pools",) not in found.document.failed and len(pools) == len(found.document.spec.pools)
    named = [i for i, spec in pools if spec.tenant is not None]
    if named and not apart:
        found.warn(("pools", named[0], "tenant"), "has no effect: no pool states 'isolation'")
    owners = {spec.tenant for _, spec in pools}
    if apart and whole and len(owners) == 1 and None not in owners:
        i, spec = apart[0]
        text = f"has no effect: every pool is of tenant {spec.tenant}"
        found.warn(("pools", i, "isolation"), text)


def _leaves(
    found: Collector, here: Path, site: Site, fabric: FabricSource | None
) -> tuple[tuple[str, ...], ...]:
    """The leaves of every server; told where some have none, so that nothing is meant by it."""
    if fabric is None:
        if found.document.spec.fabric is None and ("fabric",) not in found.document.failed:
            text = "needs a network that has leaves: state 'fabric: {kind: rail-optimised}'"
            found.error(here, text)
        return ()
    from sim.site.fabric.below import leaves_of_servers

    leaves = leaves_of_servers(fabric.graph(site), site)
    without = [site.node_names[server] for server, own in enumerate(leaves) if not own]
    if not without:
        return leaves
    if len(without) == len(leaves):
        what = f"'kind: {fabric.kind}'" if fabric.plan is not None else "this network"
        text = f"{what} has no leaves: write 'fabric: {{kind: rail-optimised}}' or another network"
        found.error(here, f"{text}, or 'isolation: rack'")
    else:
        more = f" (and {len(without) - 1} other servers)" if len(without) > 1 else ""
        found.error(
            here, f"{without[0]}{more} is on no leaf of this network; write 'isolation: rack'"
        )
    return ()


def domains_of(
    site: Site, leaves: tuple[tuple[str, ...], ...], level: str
) -> list[tuple[str, ...]]:
    """[servers] the names of the nodes, racks or leaves that each is in."""
    if level == _LEAF:
        return list(leaves)
    if level == "rack":
        return [(site.rack_names[rack],) for rack in site.node_rack.tolist()]
    return [(name,) for name in site.node_names]


def _room(
    found: Collector,
    here: Path,
    spec: PoolSpec,
    pools: list[tuple[int, PoolSpec]],
    domains: list[tuple[str, ...]],
) -> None:
    """Where one rack or leaf holds every server there is no place beside an isolated tenant."""
    other = next((one for _, one in pools if one.tenant != spec.tenant), None)
    servers = Counter(name for own in domains for name in own)
    everywhere = next((name for name in servers if servers[name] == len(domains)), None)
    if other is None or everywhere is None:
        return
    whose = "no tenant" if other.tenant is None else f"tenant {other.tenant}"
    found.error(
        here,
        f"{everywhere} has every server of the site, so that beside tenant {spec.tenant} there is "
        f"no place for pool {other.name}, which is of {whose}",
    )
