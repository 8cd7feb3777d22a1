"""The electrical tree when all that is placed draws its most at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from functools import lru_cache

import numpy as np

from sim.policies.base import PlacementView
from sim.policies.placement.domains import Place
from sim.site.load import intake, milliwatts, server_out_mw, tree_flow
from sim.site.power import feeds_of
from sim.site.types import ON_INTAKE, PowerTree

#: Whose limits count. A server's own does not: it is built to carry its GPUs.
LEVELS = ("rack", "pdu", "ups", "msb", "utility")


class PlannedPower:
    """The tree with everything that is placed at its most."""

    def __init__(self, view: PlacementView, tree: PowerTree) -> None:
        self._view, self._tree = view, tree
        site = view.site
        self._node: list[int] = site.gpu_node.tolist()
        self._rack: list[int] = site.node_rack.tolist()
        parked = [milliwatts(gpu.parked_w) for gpu in site.gpu_types]
        self._gpu_mw = [
            each * node.gpus for each, node in zip(parked, site.node_types, strict=True)
        ]
        for pool, replicas in view.placed.items():
            for server, gpus in self._by_server(gpu for place in replicas for gpu in place).items():
                self._gpu_mw[server] += gpus * self._more_mw(server, pool)
        self._server_out = lru_cache(maxsize=None)(server_out_mw)  # few servers differ
        out = [
            self._server_out(node, mw)
            for node, mw in zip(site.node_types, self._gpu_mw, strict=True)
        ]
        self._out = tree_flow(tree, np.array(out, dtype=np.int64))[0].tolist()
        self._feeds = feeds_of(tree)
        self._known: dict[tuple[tuple[int, int, int], ...], tuple[float, ...]] = {}

    def loads(self, place: Place) -> tuple[float, ...]:
        """Load over limit of every limited node above a place, the replica there, most first."""
        servers = sorted(self._by_server(place).items())
        # Servers of a rack that carry as much are alike, so are places on them.
        key = tuple((self._rack[server], self._gpu_mw[server], gpus) for server, gpus in servers)
        if key not in self._known:
            self._known[key] = self._loads(dict(servers))
        return self._known[key]

    def _loads(self, servers: Mapping[int, int]) -> tuple[float, ...]:
        more: dict[int, float] = {}
        for server, gpus in servers.items():
            node_type, now = self._view.site.node_types[server], self._gpu_mw[server]
            after = now + gpus * self._more_mw(server, self._view.pool)
            here = int(self._tree.server_index[server])
            more[here] = self._server_out(node_type, after) - self._server_out(node_type, now)
        loads = []
        while more:
            node = max(more)  # feeds come before what they feed
            out = self._out[node] + more.pop(node)
            one = self._tree.nodes[node]
            curve = intake(one.loss)
            taken = curve.in_mw(round(out))
            stated = [limit for limit in (one.rating_w, one.budget_w) if limit is not None]
            if one.kind in LEVELS and stated:
                judged = taken if one.kind in ON_INTAKE else out
                loads.append(judged / 1000.0 / min(stated))
            added = taken - curve.in_mw(self._out[node])
            for parent, share in self._feeds[node]:
                more[parent] = more.get(parent, 0.0) + added * share
        return tuple(sorted(loads, reverse=True))

    def _by_server(self, gpus: Iterable[int]) -> Counter[int]:
        return Counter(self._node[gpu] for gpu in gpus)

    def _more_mw(self, server: int, pool: str) -> int:
        """What a GPU of a server may draw more with a replica of a pool on it than parked."""
        gpu = self._view.site.gpu_types[server]
        most_w = self._view.draw_w.get(pool, {}).get(gpu.name, gpu.tdp_w)
        return milliwatts(most_w) - milliwatts(gpu.parked_w)
