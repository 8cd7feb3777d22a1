"""Who can send to whom in a graph, by the rules of paths: servers do not route for others.

Links alone do not tell: two switches that only a server joins are apart. What is found here is what
``sim.policies.paths`` would find flow by flow.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import networkx as nx

from sim.site.build import gpu_names
from sim.site.fabric.types import LEVELS, Storage
from sim.site.types import Site

#: Networks of switches, each by a number.
_Nets = frozenset[int]


@dataclass(frozen=True)
class _End:
    """A GPU or a storage node: the networks it sends into and hears from."""

    name: str
    server: int
    out: _Nets
    into: _Nets
    nvlink: _Nets


def cut_off(graph: nx.Graph, site: Site, storage: Storage) -> tuple[str, str] | None:
    """Two ends of which the first cannot send to the second; None: everyone can.

    The graph joins all GPUs and storage nodes, if only through servers.
    """
    alike: dict[tuple[_Nets, _Nets], dict[tuple[int, _Nets], _End]] = {}
    for end in _ends(graph, site, storage):
        alike.setdefault((end.out, end.into), {}).setdefault((end.server, end.nvlink), end)
    for (out, _), ones in alike.items():
        for (_, into), others in alike.items():
            if out & into:
                continue
            for one in ones.values():
                for other in others.values():
                    if one.server != other.server and not one.nvlink & other.nvlink:
                        return one.name, other.name
    return None


def _ends(graph: nx.Graph, site: Site, storage: Storage) -> Iterable[_End]:
    kind = {name: about["kind"] for name, about in graph.nodes.items()}
    nets = _pieces(graph, LEVELS)
    domains = _pieces(graph, ("nvswitch",))
    inside = {
        name: piece
        for piece in nx.connected_components(
            graph.subgraph([name for name in kind if kind[name] in ("nic", "node")])
        )
        for name in piece
    }
    beside = {
        name: frozenset(nets[other] for other in graph.adj[name] if other in nets)
        for name in kind
        if kind[name] in ("nic", "storage")
    }
    for name, server in zip(gpu_names(site), site.gpu_node.tolist(), strict=True):
        # Out over a NIC of the GPU's own, or over its host to any of the host's.
        way = [nic for nic in graph.adj[name] if kind[nic] == "nic"]
        hosts = [host for host in graph.adj[name] if kind[host] == "node"]
        way += [nic for host in hosts for nic in graph.adj[host] if kind[nic] == "nic"]
        heard = {nic for near in (*way, *hosts) for nic in inside[near] if kind[nic] == "nic"}
        yield _End(
            name,
            server,
            _joined(beside[nic] for nic in way),
            _joined(beside[nic] for nic in heard),
            frozenset(domains[other] for other in graph.adj[name] if other in domains),
        )
    for number, name in enumerate(storage.names):
        yield _End(name, -1 - number, beside[name], beside[name], frozenset())


def _pieces(graph: nx.Graph, kinds: tuple[str, ...]) -> dict[str, int]:
    """Switch → number of the connected piece of switches of these kinds that it is in."""
    switches = [name for name, about in graph.nodes.items() if about["kind"] in kinds]
    pieces = nx.connected_components(graph.subgraph(switches))
    return {name: number for number, piece in enumerate(pieces) for name in piece}


def _joined(sets: Iterable[_Nets]) -> _Nets:
    return frozenset().union(*sets)
