"""The network of a site as a networkx graph, made for reading and for editing.

Vertices are named; ``kind`` is one of ``VERTICES``. Edges carry ``bytes_per_s`` and ``latency_s``
of one cable in one direction, ``cables`` in parallel, and ``together``: True where traffic is
spread over the cables evenly (NVLink), False where a flow keeps to one of them. A ``nic`` stands
for the adapter with its place on the server's PCIe, a ``node`` for the host, ``storage`` for a
storage node with its NICs. Rails, pods and units are noted on switches for readers; nothing is
computed from them.
"""

from __future__ import annotations

from collections import Counter

import networkx as nx

from sim import catalog
from sim.site.build import gpu_names
from sim.site.fabric.plan import TREES, Tree, check_plan, nic_rates, size_tree
from sim.site.fabric.types import FabricPlan, Storage
from sim.site.types import IntArray, Site


def nic_names(site: Site) -> tuple[str, ...]:
    """``row-1-rack-2-node-3-nic-1`` for every NIC, in site order."""
    return tuple(
        f"{node}-nic-{number}"
        for node, kind in zip(site.node_names, site.node_types, strict=True)
        for number in range(1, kind.nics + 1)
    )


def fabric_graph(site: Site, plan: FabricPlan) -> nx.Graph:
    """The graph of a built-in kind.

    Raises:
        BuildError: the site does not fit this kind, its radix, its oversubscription or its cables.
    """
    check_plan(site, plan)
    graph = inside(site)
    nics = nic_names(site)
    rates = nic_rates(site, plan)
    # Each end of a path crosses half of a switch here, each cable between switches a whole one.
    latency_s = catalog.link("nic").latency_s + plan.switch_latency_s / 2
    if plan.kind in TREES:
        tree = size_tree(site, plan)
        _switches(graph, plan, tree)
        leaf = [f"leaf-{number + 1}" for number in tree.leaf_of_nic]
        stored = [f"leaf-{number + 1}" for number in _of(tree.leaf_of_storage)]
    elif plan.kind == "single-switch":
        stored = ["leaf-1"] * (plan.storage.nodes * plan.storage.nics)
        ports = plan.radix or len(nics) + len(stored)
        graph.add_node("leaf-1", kind="leaf", ports=ports)
        leaf = ["leaf-1"] * len(nics)
    else:
        graph.add_nodes_from(plan.storage.names, kind="storage")
        return graph
    at = 0
    for rate, kind in zip(rates, site.node_types, strict=True):
        for _ in range(kind.nics):
            _join(graph, nics[at], leaf[at], rate, latency_s)
            at += 1
    _store(graph, plan.storage, stored, latency_s)
    return graph


def _of(leaves: IntArray | None) -> list[int]:
    return [] if leaves is None else leaves.tolist()


def _store(graph: nx.Graph, storage: Storage, leaf: list[str], latency_s: float) -> None:
    """Storage nodes, each NIC on the leaf of its place; several on one leaf are cables."""
    for node, name in enumerate(storage.names):
        graph.add_node(name, kind="storage")
        own = Counter(leaf[node * storage.nics : (node + 1) * storage.nics])
        for there, cables in own.items():
            _join(graph, name, there, storage.nic_bytes_per_s, latency_s, cables=cables)


def inside(site: Site) -> nx.Graph:
    """GPUs, NICs and hosts, joined by PCIe; and the NVLink (or xGMI) switch of each domain."""
    graph = nx.Graph()
    names = gpu_names(site)
    graph.add_nodes_from(names, kind="gpu")
    graph.add_nodes_from(nic_names(site), kind="nic")
    graph.add_nodes_from(site.node_names, kind="node")
    pcie = catalog.link("pcie")
    assert pcie.bytes_per_s is not None
    at = 0
    for node, (host, kind) in enumerate(zip(site.node_names, site.node_types, strict=True)):
        gpu_type = site.gpu_types[node]
        own = gpu_type.link_bytes_per_s if gpu_type.link == "pcie" else pcie.bytes_per_s
        for nic in range(kind.nics):
            _join(graph, f"{host}-nic-{nic + 1}", host, pcie.bytes_per_s, pcie.latency_s)
        for gpu in range(kind.gpus):
            if kind.nics:
                nic = gpu * kind.nics // kind.gpus
                _join(graph, names[at + gpu], f"{host}-nic-{nic + 1}", own, pcie.latency_s)
            _join(graph, names[at + gpu], host, own, pcie.latency_s)
        at += kind.gpus
    _domains(graph, site, names)
    return graph


def _domains(graph: nx.Graph, site: Site, names: tuple[str, ...]) -> None:
    """One switch for each NVLink domain of more than one GPU: its planes count as one."""
    first: dict[int, str] = {}
    sizes: dict[int, int] = {}
    for domain in site.gpu_domain.tolist():
        sizes[domain] = sizes.get(domain, 0) + 1
    for gpu, (name, domain) in enumerate(zip(names, site.gpu_domain.tolist(), strict=True)):
        node = int(site.gpu_node[gpu])
        gpu_type = site.gpu_types[node]
        if gpu_type.link == "pcie" or sizes[domain] == 1:
            continue
        if domain not in first:
            rack = int(site.node_rack[node])
            per_rack = site.rack_types[rack].nvlink_domain == "rack"
            home = site.rack_names[rack] if per_rack else site.node_names[node]
            first[domain] = f"{home}-nvswitch"
            graph.add_node(first[domain], kind="nvswitch")
        link = catalog.link(gpu_type.link)
        _join(
            graph,
            name,
            first[domain],
            gpu_type.link_bytes_per_s / link.cables,
            link.latency_s,
            cables=link.cables,
            together=True,
        )


def _switches(graph: nx.Graph, plan: FabricPlan, tree: Tree) -> None:
    """Leaves, spines and cores with the cables between them."""
    rate, latency_s = plan.port_bytes_per_s, plan.switch_latency_s
    for leaf in range(tree.leaves):
        graph.add_node(f"leaf-{leaf + 1}", kind="leaf", ports=plan.radix, pod=tree.pod_of(leaf) + 1)
    for spine in range(tree.spines):
        pod = spine // tree.spines_per_pod
        graph.add_node(f"spine-{spine + 1}", kind="spine", ports=plan.radix, pod=pod + 1)
    for core in range(tree.cores):
        graph.add_node(f"core-{core + 1}", kind="core", ports=plan.radix)
    for leaf in range(tree.leaves):
        first = tree.pod_of(leaf) * tree.spines_per_pod
        for spine in range(first, first + tree.spines_per_pod):
            ends = f"leaf-{leaf + 1}", f"spine-{spine + 1}"
            _join(graph, *ends, rate, latency_s, cables=tree.leaf_cables)
    for spine in range(tree.spines if tree.cores else 0):
        first = spine % tree.spines_per_pod * tree.cores_per_plane
        for core in range(first, first + tree.cores_per_plane):
            ends = f"spine-{spine + 1}", f"core-{core + 1}"
            _join(graph, *ends, rate, latency_s, cables=tree.core_cables)


def _join(
    graph: nx.Graph,
    one: str,
    other: str,
    bytes_per_s: float,
    latency_s: float,
    *,
    cables: int = 1,
    together: bool = False,
) -> None:
    graph.add_edge(
        one, other, bytes_per_s=bytes_per_s, latency_s=latency_s, cables=cables, together=together
    )
