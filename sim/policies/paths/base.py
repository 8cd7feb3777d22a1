"""The seam of path policies: what they see of the network, and who takes their suggestions.

A policy yields paths, best first; a path is a tuple of directed links. ``choose_path`` takes the
first that is whole and alive. A path once chosen stays for the flow's life, unless a link of it
dies: then it is chosen anew.

Shortest means the fewest links over switches of the network. Servers are no routers: only the two
ends' own hosts and NICs may be passed, and no GPU ever is, except where a policy says so. A host is
passed only inside a server, or where its NICs are the only way left (a GPU's own NIC is dead): data
for another rail crosses a spine rather than the host.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol, SupportsFloat, TypeAlias

import numpy as np
from numpy.typing import NDArray

from sim.errors import PartitionError, RackplanError
from sim.rng import KeyedBits, mix64
from sim.site.fabric.failures import NetworkState
from sim.site.fabric.types import VERTICES
from sim.site.types import IntArray

Path: TypeAlias = tuple[int, ...]

_GPU, _NIC, _NODE, _STORAGE, _DISKS = (
    VERTICES.index(kind) for kind in ("gpu", "nic", "node", "storage", "disks")
)
#: Distances to so many targets are kept.
_KEPT = 256


class Routes:
    """Distances in a network as it is now; kept per target until something fails or returns."""

    def __init__(self, network: NetworkState) -> None:
        self.network = network
        self._version = network.version
        self._known: OrderedDict[tuple[int, bool], NDArray[np.int16]] = OrderedDict()
        self._server = _servers(network)

    def distances(self, source: int, target: int) -> NDArray[np.int16]:
        """[V] links to ``target``, as they count for a flow from ``source``; -1: no way."""
        server = self._server[source]
        if server < 0 or server != self._server[target]:
            direct = self.past_hosts(target)
            if direct[source] >= 0:
                return direct
        return self._kept(target, hosts=True)

    def past_hosts(self, target: int) -> NDArray[np.int16]:
        """[V] links on a shortest path to ``target`` that passes no host; -1: there is none."""
        return self._kept(target, hosts=False)

    def _kept(self, target: int, *, hosts: bool) -> NDArray[np.int16]:
        if self._version != self.network.version:
            self._known.clear()
            self._version = self.network.version
        known = self._known.get((target, hosts))
        if known is None:
            known = self._known[target, hosts] = self._search(target, hosts)
            if len(self._known) > _KEPT:
                self._known.popitem(last=False)
        else:
            self._known.move_to_end((target, hosts))
        return known

    def next_links(self, vertex: int, distances: NDArray[np.int16]) -> IntArray:
        """The living links out of ``vertex`` that lead one closer, in order of their number."""
        fabric = self.network.fabric
        out = fabric.out_of(vertex)
        closer = distances[fabric.link_to[out]] == distances[vertex] - 1
        return np.sort(out[closer & self.network.alive[out]])

    def _search(self, target: int, hosts: bool) -> NDArray[np.int16]:
        """Breadth first from the target, against the direction of the links."""
        fabric, alive = self.network.fabric, self.network.alive
        distances = np.full(len(fabric.kinds), -1, dtype=np.int16)
        distances[target] = 0
        front = np.array([target], dtype=np.int64)
        step = 0
        while len(front):
            step += 1
            starts, ends = fabric.out_ptr[front], fabric.out_ptr[front + 1]
            sizes = ends - starts
            before = np.repeat(np.cumsum(sizes) - sizes, sizes)
            out = fabric.out_link[np.repeat(starts, sizes) + np.arange(sizes.sum()) - before]
            here, there = fabric.link_from[out], fabric.link_to[out]
            # A link and its way back are 2 c and 2 c + 1: the flow comes over the other one.
            good = alive[out ^ 1] & (distances[there] < 0)
            good &= self._passes(here, there, target, hosts)
            front = np.unique(there[good])
            distances[front] = step
        return distances

    def _passes(
        self, here: IntArray, there: IntArray, target: int, hosts: bool
    ) -> NDArray[np.bool_]:
        """Whether ``here`` hands on to the target what comes from ``there``."""
        kinds = self.network.fabric.kinds
        at, of = kinds[here], kinds[there]
        foreign = (self._server[here] >= 0) & (self._server[here] != self._server[target])
        # In a server on the sending side the flow only goes out: GPU to host or NIC, host to NIC;
        # and from its disks.
        outward = ((at == _NIC) & ((of == _NODE) | (of == _GPU))) | ((at == _NODE) & (of == _GPU))
        outward |= of == _DISKS
        fine: NDArray[np.bool_] = (~foreign | outward) & (at != _GPU)
        fine &= hosts | (at != _NODE)
        fine |= here == target
        return fine


def _servers(network: NetworkState) -> IntArray:
    """[V] the node that a GPU, a NIC or a host is in, storage nodes after them; -1: a switch."""
    fabric = network.fabric
    server = np.full(len(fabric.kinds), -1, dtype=np.int64)
    server[: fabric.gpus] = fabric.gpu_node
    hosts = np.flatnonzero(fabric.kinds == _NODE)
    server[hosts] = np.arange(len(hosts))
    to_nic = fabric.kinds[fabric.link_to] == _NIC
    from_host = fabric.kinds[fabric.link_from] == _NODE
    inside = np.flatnonzero(to_nic & from_host)
    server[fabric.link_to[inside]] = server[fabric.link_from[inside]]
    to_gpu_nic = fabric.gpu_nic[fabric.gpu_nic >= 0]
    server[to_gpu_nic] = fabric.gpu_node[fabric.gpu_nic >= 0]
    storage = np.flatnonzero(fabric.kinds == _STORAGE)
    server[storage] = len(hosts) + np.arange(len(storage))
    from_disks = np.flatnonzero(fabric.kinds[fabric.link_from] == _DISKS)
    server[fabric.link_from[from_disks]] = server[fabric.link_to[from_disks]]
    return server


class Loads(Protocol):
    """What each link carries now, bytes/s."""

    def __getitem__(self, link: int, /) -> SupportsFloat: ...


@dataclass(frozen=True)
class PathView:
    """What a path policy sees when a flow starts.

    ``source`` and ``target`` are vertices: GPUs, hosts, storage nodes or disks.
    ``load_bytes_per_s[link]`` is what a link carries now. ``pair_flow`` counts the flows between
    these two ends, from 0.
    """

    routes: Routes
    source: int
    target: int
    flow: int
    pair_flow: int
    load_bytes_per_s: Loads


class PathPolicy(Protocol):
    """Chooses a flow's path: yields paths from its source to its target, best first.

    A policy may also have ``label(view) -> int``: of two flows between the same ends with the same
    label it says that they take the same path, as long as nothing fails or returns.
    """

    def new_state(self) -> Any:
        """What this policy remembers during one run."""
        ...

    def decide(self, view: PathView, state: Any, rng: KeyedBits) -> Iterator[Path]:
        """Paths, best first; ``rng`` is keyed by what ``draw`` makes of its words."""
        ...


def draw(rng: KeyedBits, bound: int, *words: int) -> int:
    """An integer in [0, bound) that depends on the run's seed and on ``words`` only."""
    mixed = 0
    for word in words:
        mixed = mix64(mixed ^ word)
    return rng.below(mixed, bound)


def over_nvlink(view: PathView) -> Iterator[Path]:
    """The way between two GPUs of one NVLink domain, where both links of it live."""
    network = view.routes.network
    fabric = network.fabric
    if max(view.source, view.target) >= fabric.gpus or view.source == view.target:
        return
    if fabric.gpu_domain[view.source] != fabric.gpu_domain[view.target]:
        return
    switch = VERTICES.index("nvswitch")
    for up in fabric.out_of(view.source):
        middle = fabric.link_to[up]
        if fabric.kinds[middle] != switch or not network.alive[up]:
            continue
        for down in fabric.out_of(middle):
            if fabric.link_to[down] == view.target and network.alive[down]:
                yield int(up), int(down)


def choose_path(policy: PathPolicy, view: PathView, state: Any, rng: KeyedBits) -> Path:
    """The first suggestion that holds; () between a vertex and itself.

    Raises:
        PartitionError: nothing joins the two ends; it names the one that is cut off.
        RackplanError: the policy suggests nothing although the ends are joined.
    """
    if view.source == view.target:
        return ()
    for path in policy.decide(view, state, rng):
        if holds(view, path):
            return path
    routes = view.routes
    fabric = routes.network.fabric
    if routes.distances(view.source, view.target)[view.source] < 0:
        raise _partition(view)
    ends = f"{fabric.names[view.source]} to {fabric.names[view.target]}"
    raise RackplanError(f"{type(policy).__name__} suggests no path that holds from {ends}")


def holds(view: PathView, path: Path) -> bool:
    """Whether a path leads from source to target over living links, nowhere twice."""
    network = view.routes.network
    fabric = network.fabric
    at, seen = view.source, {view.source}
    for link in path:
        if not 0 <= link < fabric.links or fabric.link_from[link] != at or not network.alive[link]:
            return False
        at = int(fabric.link_to[link])
        if at in seen:
            return False
        seen.add(at)
    return at == view.target


def _partition(view: PathView) -> PartitionError:
    routes = view.routes
    names = routes.network.fabric.names
    switch = np.isin(routes.network.fabric.kinds, [VERTICES.index(k) for k in ("leaf", "spine")])
    ends = (view.target, view.source)
    cut = [end for end in ends if not (routes.distances(end, end)[switch] >= 0).any()]
    entity = names[cut[0]] if cut else names[view.source]
    why = "it is cut off from the network" if cut else "the network is in pieces"
    failed = routes.network.failed
    told = f"; failed: {', '.join(failed[:3])}{', …' if len(failed) > 3 else ''}" if failed else ""
    return PartitionError(
        entity, f"no path from {names[view.source]} to {names[view.target]}: {why}{told}"
    )
