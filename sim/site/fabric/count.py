"""How many switches, ports and cables a network has, without building more of it than needed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sim.site.fabric.plan import TREES, size_tree
from sim.site.fabric.source import FabricSource
from sim.site.fabric.types import LEVELS, FabricPlan
from sim.site.types import Site


@dataclass(frozen=True)
class NetworkParts:
    """What is bought for a network between servers; NICs come with the servers.

    ``ports``: of all switches, used or not; of a graph of one's own those that have a cable.
    """

    switches: int
    ports: int
    cables: int


def count_network(source: FabricSource, site: Site) -> NetworkParts:
    """The parts of the network of ``site``."""
    if source.plan is None:
        return _of_graph(source.given)
    plan = source.plan
    if plan.kind in TREES:
        return _of_tree(plan, site)
    if plan.kind != "single-switch":
        return NetworkParts(0, 0, 0)
    cables = sum(node.nics for node in site.node_types) + plan.storage.nodes * plan.storage.nics
    return NetworkParts(1, cables if plan.radix is None else plan.radix, cables)


def _of_tree(plan: FabricPlan, site: Site) -> NetworkParts:
    tree = size_tree(site, plan)
    assert plan.radix is not None
    switches = tree.leaves + tree.spines + tree.cores
    stored = 0 if tree.leaf_of_storage is None else len(tree.leaf_of_storage)
    cables = (
        len(tree.leaf_of_nic)
        + stored
        + tree.leaves * tree.spines_per_pod * tree.leaf_cables
        + tree.spines * tree.cores_per_plane * tree.core_cables
    )
    return NetworkParts(switches, switches * plan.radix, cables)


def _of_graph(given: Any) -> NetworkParts:
    kinds = given.nodes(data="kind")
    switches = {name for name, kind in kinds if kind in LEVELS}
    ports = cables = 0
    for one, other, number in given.edges(data="cables", default=1):
        ends = (one in switches) + (other in switches)
        ports += ends * number
        cables += number if ends else 0
    return NetworkParts(len(switches), ports, cables)
