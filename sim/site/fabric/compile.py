"""A graph, wherever it is from, against the site; and as arrays of directed links."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import Any

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from sim.errors import did_you_mean
from sim.site.build import gpu_names
from sim.site.fabric.elements import Finding, finding
from sim.site.fabric.graph import nic_names
from sim.site.fabric.reach import cut_off
from sim.site.fabric.types import LEVELS, NO_STORAGE, VERTICES, Fabric, Storage, disks_of
from sim.site.types import Site

#: Beyond so many, more of the same helps nobody.
_MOST_TOLD = 20
_MOST_STRANGE = 3
_WORD = {"gpu": "GPU", "nic": "NIC", "node": "node", "storage": "storage node"}
#: What may stand at the two ends of a link, in order of name.
_JOINS: set[tuple[str, ...]] = {
    ("gpu", "nic"),
    ("gpu", "node"),
    ("gpu", "nvswitch"),
    ("nic", "node"),
    ("nvswitch", "nvswitch"),
    *(tuple(sorted((end, level))) for end in ("nic", "storage") for level in LEVELS),
    *((one, other) for one in LEVELS for other in LEVELS if one <= other),
}


def findings_of(graph: nx.Graph, site: Site, storage: Storage = NO_STORAGE) -> list[Finding]:
    """What keeps a graph of sound elements from being the network of ``site``, at most 20."""
    found: list[Finding] = []
    for problem in _problems(graph, site, storage):
        found.append(problem)
        if len(found) == _MOST_TOLD:
            return found
    return found or list(islice(_partition(graph, site, storage), _MOST_TOLD))


def _problems(graph: nx.Graph, site: Site, storage: Storage) -> Iterator[Finding]:
    own = _own(site, storage)
    reserved = {name: parent for name, parent, _ in _disks(site, storage)}
    owner = _owners(site)
    strange: Counter[str] = Counter()
    for name, about in graph.nodes.items():
        kind = about["kind"]
        is_own = own.get(name)
        if name in reserved:
            yield finding(about, f"{name!r} is the name of the disks of {reserved[name]}")
        if kind in _WORD and is_own is None:
            strange[kind] += 1
            if strange[kind] > _MOST_STRANGE:
                continue
            hint = did_you_mean(name, (known for known, of in own.items() if of == kind), most=8)
            if kind == "storage" and not storage.nodes:
                hint = "; 'storage: {nodes: 2}' in the scenario states some"
            yield finding(about, f"{name!r} is no {_WORD[kind]} of the site{hint}")
        elif is_own is not None and is_own != kind:
            yield finding(about, f"{name!r} is a {_WORD[is_own]} of the site, not a {kind}")
    for kind, word in _WORD.items():
        more = strange[kind] - _MOST_STRANGE
        if more > 0:
            yield Finding(0, "", f"{more:,} more {word}s are not the site's")
        absent = [name for name, of in own.items() if of == kind and name not in graph]
        if absent:
            few = ", ".join(absent[:3]) + (", …" if len(absent) > 3 else "")
            yield Finding(0, "", f"lacks {len(absent):,} of the site's {word}s: {few}")
    for one, other, about in graph.edges(data=True):
        kinds = graph.nodes[one]["kind"], graph.nodes[other]["kind"]
        if tuple(sorted(kinds)) not in _JOINS:
            yield finding(about, f"a {kinds[0]} cannot be joined to a {kinds[1]}{_instead(kinds)}")
        elif one in owner and other in owner and owner[one] != owner[other]:
            yield finding(about, f"{one} and {other} are in different servers")
    yield from _ports(graph)
    yield from _loose_nics(graph, site)


def _instead(kinds: tuple[str, str]) -> str:
    if "nvswitch" in kinds:
        return "; an nvswitch joins GPUs"
    if set(kinds) <= {"nic"}:
        return "; put a leaf between them"
    return "; servers are joined by their NICs"


def _ports(graph: nx.Graph) -> Iterator[Finding]:
    """Switches with more cables than they have ports, where those are stated."""
    for name, about in graph.nodes.items():
        ports = about.get("ports")
        used = sum(edge["cables"] for edge in graph.adj[name].values()) if ports else 0
        if ports and used > ports:
            yield finding(about, f"{name} has {used:,} cables and only {ports:,} ports")


def _loose_nics(graph: nx.Graph, site: Site) -> Iterator[Finding]:
    """NICs that no switch is joined to, in a network where switches join others."""
    nics = [name for name in nic_names(site) if name in graph]
    loose = [
        name
        for name in nics
        if not any(graph.nodes[other]["kind"] in LEVELS for other in graph.adj[name])
    ]
    if loose and len(loose) < len(nics):
        more = f" (nor are {len(loose) - 1:,} more NICs)" if len(loose) > 1 else ""
        message = f"{loose[0]} is joined to no switch{more}: give it a link, such as to a leaf"
        yield finding(graph.nodes[loose[0]], message)


def _partition(graph: nx.Graph, site: Site, storage: Storage) -> Iterator[Finding]:
    """Whoever cannot reach the others: for want of links, or as only servers lie between."""
    names = gpu_names(site)
    reached = nx.node_connected_component(graph, names[0])
    away = [name for name in names if name not in reached]
    if away:
        lost = "" if len(away) == 1 else f" and {len(away) - 1:,} more GPUs"
        end = site.node_names[site.gpu_node[names.index(away[0])]]
        yield Finding(
            0, "", f"{away[0]}{lost} cannot reach {names[0]}: no link leads there from {end}"
        )
    for name in storage.names:
        if name not in reached:
            message = f"{name} cannot reach {names[0]}: give it a link, such as to a leaf"
            yield finding(graph.nodes[name], message)
    lonely = [name for name in graph.nodes if name not in reached and name not in storage.names]
    for name in lonely if not away else ():
        message = f"{name} has no way to any GPU: give it a link, or leave it out"
        yield finding(graph.nodes[name], message)
    if reached.issuperset((*names, *storage.names)) and (pair := cut_off(graph, site, storage)):
        yield Finding(
            0,
            "",
            f"{pair[0]} cannot send to {pair[1]}: they have no switches in common, and servers do "
            "not route for others; give the switches between them a link",
        )


def _disks(site: Site, storage: Storage) -> list[tuple[str, str, float]]:
    """(vertex, what it belongs to, bytes/s) of whatever is read from at a rate of its own."""
    found = []
    if storage.read_bytes_per_s is not None:
        found += [(disks_of(name), name, storage.read_bytes_per_s) for name in storage.names]
    if storage.local_bytes_per_s is not None:
        found += [(disks_of(name), name, storage.local_bytes_per_s) for name in site.node_names]
    return found


def _own(site: Site, storage: Storage) -> dict[str, str]:
    """Name → kind of everything of the site that the network joins."""
    return {
        **dict.fromkeys(gpu_names(site), "gpu"),
        **dict.fromkeys(nic_names(site), "nic"),
        **dict.fromkeys(site.node_names, "node"),
        **dict.fromkeys(storage.names, "storage"),
    }


def _owners(site: Site) -> dict[str, int]:
    """Name of a GPU, NIC or node → the node that it is in."""
    owner = {name: node for node, name in enumerate(site.node_names)}
    owner.update(zip(gpu_names(site), site.gpu_node.tolist(), strict=True))
    for node, (name, kind) in enumerate(zip(site.node_names, site.node_types, strict=True)):
        owner.update((f"{name}-nic-{number + 1}", node) for number in range(kind.nics))
    return owner


def compile_fabric(graph: nx.Graph, site: Site, storage: Storage = NO_STORAGE) -> Fabric:
    """The arrays of a graph in which ``findings_of`` finds nothing."""
    disks = _disks(site, storage)
    if disks:
        graph = graph.copy()
        for name, parent, rate in disks:
            graph.add_node(name, kind="disks")
            graph.add_edge(name, parent, bytes_per_s=rate, latency_s=0.0, cables=1)
    names = [*_own(site, storage)]
    names += [name for name in graph.nodes if graph.nodes[name]["kind"] not in _WORD]
    vertex = {name: index for index, name in enumerate(names)}
    edges = sorted(
        (
            (*sorted((vertex[one], vertex[other])), about)
            for one, other, about in graph.edges(data=True)
        ),
        key=lambda edge: edge[:2],
    )
    ends: list[tuple[int, int]] = []
    rates: list[float] = []
    latencies: list[float] = []
    numbers: list[int] = []
    merged: list[int] = []
    for one, other, about in edges:
        count = about["cables"]
        spread = about.get("together", False) and count > 1
        for number in range(1 if spread else count):
            ends.append((one, other))
            rates.append(about["bytes_per_s"] * (count if spread else 1))
            latencies.append(about["latency_s"])
            numbers.append(number + 1 if count > 1 and not spread else 0)
            merged.append(count if spread else 1)
    both = np.array(ends, dtype=np.int64).reshape(-1, 2)
    link_from, link_to = both.ravel(), both[:, ::-1].ravel()
    order = np.lexsort((np.arange(len(link_from)), link_to, link_from))
    out_ptr = np.zeros(len(names) + 1, dtype=np.int64)
    np.cumsum(np.bincount(link_from, minlength=len(names)), out=out_ptr[1:])
    kinds = [VERTICES.index(graph.nodes[name]["kind"]) for name in names]
    nic, rail = _nics(graph, site, vertex)
    return Fabric(
        names=tuple(names),
        kinds=_frozen(np.array(kinds, dtype=np.int64)),
        link_from=_frozen(link_from),
        link_to=_frozen(link_to),
        capacity_bytes_per_s=_frozen(np.repeat(np.array(rates, dtype=np.float64), 2)),
        latency_s=_frozen(np.repeat(np.array(latencies, dtype=np.float64), 2)),
        cable_number=_frozen(np.array(numbers, dtype=np.int64)),
        merged=_frozen(np.array(merged, dtype=np.int64)),
        out_ptr=_frozen(out_ptr),
        out_link=_frozen(order.astype(np.int64)),
        gpu_nic=_frozen(np.array(nic, dtype=np.int64)),
        gpu_rail=_frozen(np.array(rail, dtype=np.int64)),
        gpu_domain=site.gpu_domain,
        gpu_node=site.gpu_node,
    )


def _nics(graph: nx.Graph, site: Site, vertex: dict[str, int]) -> tuple[list[int], list[int]]:
    """Each GPU's first NIC as a vertex and as a number in its node; -1 where it has none."""
    nics: list[int] = []
    rails: list[int] = []
    place = {f"{node}-nic-{n + 1}": n
             for node, kind in zip(site.node_names, site.node_types, strict=True)
             for n in range(kind.nics)}  # fmt: skip
    for name in gpu_names(site):
        beside = [other for other in graph.adj[name] if other in place]
        first = min(beside, key=vertex.__getitem__, default=None)
        nics.append(-1 if first is None else vertex[first])
        rails.append(-1 if first is None else place[first])
    return nics, rails


def _frozen(array: NDArray[Any]) -> NDArray[Any]:
    array = np.ascontiguousarray(array)
    array.flags.writeable = False
    return array
