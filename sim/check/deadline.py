"""By when control must have acted: how long the weakest UPS above the watched nodes holds out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from sim.catalog.protection import UpsProduct
from sim.site import server_out_mw, tree_flow
from sim.site.guards import bank_rating_mw
from sim.site.load import milliwatts
from sim.site.losses import after_loss
from sim.site.power import parents_of
from sim.site.types import IntArray, PowerTree, Site


@dataclass(frozen=True)
class Weakest:
    """The UPS that lets go first at its worst planned load, on mains.

    The load is the highest with every GPU at its TDP, all well or one switchboard, UPS or module of
    it lost. ``lost``: which one; empty: none. ``tolerance_s``: inf = it is carried for ever.
    """

    name: str
    product: str
    load: float  # of its rating, or that of its modules
    lost: str
    tolerance_s: float

    def __str__(self) -> str:
        lost = f" and {self.lost} lost" if self.lost else ""
        return (
            f"{self.name} ({self.product}) carries {100.0 * self.load:.3g} % of its rating, every "
            f"GPU at its TDP{lost}"
        )


def weakest_ups(site: Site, tree: PowerTree, nodes: Sequence[int]) -> Weakest | None:
    """The weakest of the UPSs that ``nodes`` are or hang from; None: none states its product."""
    products = dict(_with_products(tree, _upward(tree, nodes)))
    if not products:
        return None
    worst: Weakest | None = None
    for lost, out_mw in _planned_mw(site, tree):
        for index, product in products.items():
            ups = tree.nodes[index]
            loads = [(lost, int(out_mw[index]) / bank_rating_mw(ups))]
            modules = None if ups.ups is None else ups.ups.modules
            if not lost and modules is not None and modules.count > 1:
                fewer_mw = bank_rating_mw(ups, modules.count - 1)
                loads.append(("one of its modules", int(out_mw[index]) / fewer_mw))
            for without, load in loads:
                tolerance_s = product.inverter.seconds_left(0.0, load)
                if worst is None or (-tolerance_s, load) > (-worst.tolerance_s, worst.load):
                    worst = Weakest(ups.name, product.name, load, without, tolerance_s)
    return worst


def full_servers_mw(site: Site) -> IntArray:
    """[servers] what their supplies deliver with every GPU at its TDP."""
    servers = [
        server_out_mw(node, node.gpus * milliwatts(gpu.tdp_w))
        for node, gpu in zip(site.node_types, site.gpu_types, strict=True)
    ]
    return np.array(servers, dtype=np.int64)


def _planned_mw(site: Site, tree: PowerTree) -> Iterator[tuple[str, IntArray]]:
    """What is lost, and what every node delivers then; at first nothing is."""
    full_mw = full_servers_mw(site)
    yield "", tree_flow(tree, full_mw)[0]
    for index, node in enumerate(tree.nodes):
        if node.kind in ("msb", "ups"):
            yield node.name, after_loss(tree, index).out_mw(full_mw)


def _with_products(tree: PowerTree, nodes: Iterable[int]) -> Iterator[tuple[int, UpsProduct]]:
    for node in sorted(nodes):
        ups = tree.nodes[node].ups
        if ups is not None and ups.product is not None:
            yield node, ups.product


def _upward(tree: PowerTree, nodes: Sequence[int]) -> set[int]:
    """``nodes`` and whatever may feed them."""
    parents = parents_of(tree)
    found: set[int] = set()
    rest = list(nodes)
    while rest:
        node = rest.pop()
        if node not in found:
            found.add(node)
            rest += parents[node]
    return found
