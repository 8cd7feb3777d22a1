"""How many switches and cables a built-in fabric has: ports, levels, pods; nothing is built here.

A switch of radix R has ``down`` ports below and ``up`` above, such that down·nic/(up·port) is the
oversubscription. Leaves have u uplinks, spread evenly over S spines: S is the smallest divisor of u
whose ports suffice, u/S cables to each. Where even u spines are too small, leaves stand in pods of
R/2 with u spines each, and spine s of every pod is joined to plane s of the cores by the same rule.
With 64 ports and no oversubscription these are the counts of NVIDIA's SuperPODs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sim.errors import BuildError
from sim.site.fabric.types import FabricPlan
from sim.site.types import IntArray, Site

#: How far a ratio of ports may be from the oversubscription that was asked for, relative: ratios
#: such as 15/11 are written, and suggested, with six digits.
_SAME = 1e-5
#: Kinds that ``size_tree`` sizes.
TREES = ("rail-optimised", "leaf-spine", "fat-tree")


@dataclass(frozen=True)
class Tree:
    """Leaves, spines and cores. Spines and cores are numbered pod by pod and plane by plane."""

    leaf_of_nic: IntArray  # [NICs of the site, node by node]
    leaves: int
    up: int  # uplinks of a leaf
    pods: int  # 1 where there are no cores
    spines_per_pod: int  # 0: one leaf is all there is
    leaf_cables: int  # between a leaf and each spine of its pod
    cores_per_plane: int = 0  # 0: two levels
    core_cables: int = 0  # between a spine and each core of its plane
    leaf_of_storage: IntArray | None = None  # [NICs of storage nodes, node by node]; None: none

    @property
    def spines(self) -> int:
        """All spines."""
        return self.pods * self.spines_per_pod

    @property
    def cores(self) -> int:
        """All cores."""
        return self.spines_per_pod * self.cores_per_plane

    def pod_of(self, leaf: int) -> int:
        """The pod of a leaf: leaves are spread evenly, in order."""
        return leaf * self.pods // self.leaves


def size_tree(site: Site, plan: FabricPlan) -> Tree:
    """The switches and cables of ``rail-optimised``, ``leaf-spine`` or ``fat-tree``.

    Raises:
        BuildError: NICs (or those of storage nodes) faster than the switch's ports, an
            oversubscription that no number of uplinks gives, a radix too small for a server or for
            the site, cables that do not fit.
    """
    assert plan.radix is not None
    down, up = _ports(site, plan)
    place = _by_rail if plan.kind == "rail-optimised" else _by_node
    leaf_of_nic, stored, leaves = place(site, plan, down)
    if leaves == 1:
        return Tree(leaf_of_nic, 1, 0, 1, 0, 0, leaf_of_storage=stored)
    spines = _spread(leaves * up, up, plan.radix)
    if spines is not None:
        cables = _cables(plan, up, up // spines, leaves)
        return Tree(leaf_of_nic, leaves, up, 1, up // cables, cables, leaf_of_storage=stored)
    nics = len(leaf_of_nic) + len(stored)
    if plan.kind == "leaf-spine":
        most = plan.radix * down
        raise BuildError(
            "fabric.kind",
            f"two levels of {plan.radix}-port switches, {down} ports of a leaf for NICs, reach at "
            f"most {most:,} NICs, and the site has {nics:,}: write 'kind: fat-tree'",
        )
    half = plan.radix // 2
    pods = -(-leaves // half)
    cores = _spread(pods * half, half, plan.radix)
    if cores is None:
        raise BuildError(
            "fabric.switch",
            f"three levels of {plan.radix}-port switches reach at most "
            f"{plan.radix * half * down:,} NICs, and the site has {nics:,}",
        )
    if plan.cables not in (None, 1):
        raise BuildError(
            "fabric.cables",
            f"of three levels, a leaf has one cable to each of its {up} spines, not {plan.cables}",
        )
    return Tree(leaf_of_nic, leaves, up, pods, up, 1, cores, half // cores, stored)


def _check_single(site: Site, plan: FabricPlan) -> None:
    """Refuse a single switch that is too small or too slow for the site's NICs.

    Raises:
        BuildError: that.
    """
    stored = plan.storage.nodes * plan.storage.nics
    nics = sum(node.nics for node in site.node_types) + stored
    if plan.radix is not None and nics > plan.radix:
        raise BuildError(
            "fabric.switch",
            f"the site has {nics:,} NICs{f' ({stored} of storage nodes)' if stored else ''}, more "
            f"than the {plan.radix} ports of one switch; leave "
            "the switch out (one of as many ports as needed), or write 'kind: fat-tree'",
        )
    if plan.radix is not None:
        _refuse_faster(site, plan)


def check_plan(site: Site, plan: FabricPlan) -> None:
    """Whether ``fabric_graph`` will build it, without building it.

    Raises:
        BuildError: as ``fabric_graph``.
    """
    if plan.kind in TREES:
        size_tree(site, plan)
    elif plan.kind == "single-switch":
        _check_single(site, plan)
    elif plan.kind == "nvlink-domain":
        domains = int(site.gpu_domain.max()) + 1
        if domains > 1:
            other = next(g for g, d in enumerate(site.gpu_domain) if d != site.gpu_domain[0])
            raise BuildError(
                "fabric.kind",
                f"the site has {domains:,} NVLink domains, and nothing would join "
                f"{site.node_names[site.gpu_node[other]]} to {site.node_names[0]}: write "
                "'kind: rail-optimised', or 'kind: none' if nothing is to cross",
            )


def nic_rate(site: Site) -> float:
    """The rate of the fastest NIC of the site's servers, bytes/s."""
    return max(node.nic_bytes_per_s for node in site.node_types)


def nic_rates(site: Site, plan: FabricPlan) -> tuple[float, ...]:
    """The rate of each node's NICs, bytes/s."""
    return tuple(
        node.nic_bytes_per_s if plan.nic_bytes_per_s is None else plan.nic_bytes_per_s
        for node in site.node_types
    )


def _refuse_faster(site: Site, plan: FabricPlan) -> float:
    fastest = max(nic_rates(site, plan))
    if fastest > plan.port_bytes_per_s * (1.0 + 1e-9):
        raise BuildError(
            "fabric.nic" if plan.nic_bytes_per_s is not None else "fabric",
            f"NICs of {_rate(fastest)} are faster than the switch's ports "
            f"({_rate(plan.port_bytes_per_s)}): name a faster 'switch:' or a slower 'nic:'",
        )
    if plan.storage.nic_bytes_per_s > plan.port_bytes_per_s * (1.0 + 1e-9):
        raise BuildError(
            "storage.nic",
            f"NICs of {_rate(plan.storage.nic_bytes_per_s)} are faster than the switch's ports "
            f"({_rate(plan.port_bytes_per_s)}): give each storage node more and slower 'nics:'",
        )
    return fastest


def _ports(site: Site, plan: FabricPlan) -> tuple[int, int]:
    """Ports of a leaf below and above: the most of them that give the oversubscription."""
    assert plan.radix is not None
    weight = _refuse_faster(site, plan) / plan.port_bytes_per_s
    asked = plan.oversubscription
    for down in range(plan.radix - 1, 0, -1):
        exact = down * weight / asked
        up = round(exact)
        if up >= 1 and down + up <= plan.radix and abs(exact - up) <= _SAME * exact:
            return down, up
    raise BuildError("fabric.oversubscription", _no_ratio(plan, weight))


def _no_ratio(plan: FabricPlan, weight: float) -> str:
    """What is possible near an oversubscription that is not."""
    assert plan.radix is not None
    radix, asked = plan.radix, plan.oversubscription
    whole = 3 * radix // 4  # leaves that waste more of their ports are no advice
    near = {
        down * weight / up: (down, up)
        for down in range(1, radix)
        for up in range(1, radix - down + 1)
        if down + up >= whole and down * weight / up >= 1.0
    }
    below = max((ratio for ratio in near if ratio < asked), default=None)
    above = min((ratio for ratio in near if ratio > asked), default=None)
    told = " and ".join(
        f"{ratio:.6g} ({near[ratio][0]} down, {near[ratio][1]} up)"
        for ratio in (below, above)
        if ratio is not None
    )
    if not told:
        return f"a switch of {radix} ports gives no oversubscription of 1 or more"
    return f"no number of uplinks of a {radix}-port leaf gives {asked:g}; near it are {told}"


def _by_rail(site: Site, plan: FabricPlan, down: int) -> tuple[IntArray, IntArray, int]:
    """NIC k of a node → leaf k of its scalable unit of ``down`` nodes; the number of leaves.

    NICs of storage nodes take the ports of servers after the last one, rail by rail in turn.
    """
    rails = max(node.nics for node in site.node_types)
    nodes, stored = len(site.node_types), plan.storage.nodes * plan.storage.nics
    leaf = [
        node // down * rails + rail
        for node, kind in enumerate(site.node_types)
        for rail in range(kind.nics)
    ]
    storage = [(nodes + nic // rails) // down * rails + nic % rails for nic in range(stored)]
    units = -(-(nodes - (-stored // rails)) // down)
    return np.array(leaf, dtype=np.int64), np.array(storage, dtype=np.int64), units * rails


def _by_node(site: Site, plan: FabricPlan, down: int) -> tuple[IntArray, IntArray, int]:
    """All NICs of a node → one leaf; nodes in site order, as many on a leaf as it has ports.

    Storage nodes come after the servers.
    """
    leaf: list[int] = []
    current, free = 0, down
    nodes = [(n, kind.nics) for n, kind in zip(site.node_names, site.node_types, strict=True)]
    nodes += [(name, plan.storage.nics) for name in plan.storage.names]
    for name, nics in nodes:
        if nics > down:
            raise BuildError(
                "fabric.switch",
                f"{name} has {nics} NICs, more than the {down} ports that a leaf of "
                f"{plan.radix} ports has for them: name a larger 'switch:'",
            )
        if nics > free:
            current, free = current + 1, down
        free -= nics
        leaf += [current] * nics
    both = np.array(leaf, dtype=np.int64)
    own = len(both) - plan.storage.nodes * plan.storage.nics
    return both[:own], both[own:], current + 1


def _spread(cables: int, up: int, radix: int) -> int | None:
    """The fewest switches above, a divisor of ``up``, whose ports take all ``cables``."""
    return next((n for n in range(1, up + 1) if up % n == 0 and n * radix >= cables), None)


def _cables(plan: FabricPlan, up: int, most: int, leaves: int) -> int:
    """Parallel cables between a leaf and a spine: what is asked for, else ``most``."""
    asked = plan.cables
    if asked is None:
        return most
    fitting = [n for n in range(1, most + 1) if up % n == 0]
    if asked in fitting:
        return asked
    raise BuildError(
        "fabric.cables",
        f"{asked} cables from each of {leaves} leaves with {up} uplinks to each spine do not come "
        f"out even on spines of {plan.radix} ports: write {' or '.join(map(str, fitting))}",
    )


def _rate(bytes_per_s: float) -> str:
    return f"{bytes_per_s * 8 / 1e9:g} Gb/s"
