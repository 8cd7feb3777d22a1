"""Which leaves each server is on."""

from __future__ import annotations

import networkx as nx

from sim.site.build import gpu_names
from sim.site.types import Site


def leaves_of_servers(graph: nx.Graph, site: Site) -> tuple[tuple[str, ...], ...]:
    """[servers] the names of the leaves that the server is on, in the graph's order; () for none.

    Those that the server itself, a GPU of it or a NIC of either has a cable to: rail by rail one
    for each NIC.
    """
    kind = {name: about["kind"] for name, about in graph.nodes.items()}
    order = {name: place for place, name in enumerate(kind)}
    inside: list[list[str]] = [[host] for host in site.node_names]
    for gpu, server in zip(gpu_names(site), site.gpu_node.tolist(), strict=True):
        inside[server].append(gpu)
    found = []
    for ends in inside:
        nics = [nic for end in ends for nic in graph.adj[end] if kind[nic] == "nic"]
        beside = {other for end in (*ends, *nics) for other in graph.adj[end]}
        found.append(tuple(sorted((o for o in beside if kind[o] == "leaf"), key=order.__getitem__)))
    return tuple(found)
