"""The planned side of stranded power: what the site takes at full draw, and what holds the rest.

Full draw: every GPU installed at its TDP, the loads that checks and ``check/cooling`` use.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from sim.check.cooling import full_heat_w
from sim.check.deadline import full_servers_mw
from sim.cost.built import Built
from sim.cost.waterfall import STRANDED, Cascade
from sim.site import tree_flow
from sim.site.cooling import cooling
from sim.site.load import milliwatts
from sim.site.power import parents_of
from sim.site.types import IntArray, PowerTree

#: Levels of the electrical tree that deliver power, from the top; kind → in words.
FEEDERS = {"msb": "switchboards", "ups": "UPSs", "pdu": "PDUs"}


@dataclass(frozen=True)
class FullDraw:
    """The tree with every GPU at its TDP, in mW: [nodes] delivered and taken in.

    ``cooling_mw``: of the plant at the hottest hour, where the tree feeds it; else 0.
    """

    out_mw: IntArray
    in_mw: IntArray
    cooling_mw: int

    def losses_mw(self, tree: PowerTree, kind: str) -> int:
        """What all nodes of a kind lose."""
        nodes = [i for i, node in enumerate(tree.nodes) if node.kind == kind]
        return int((self.in_mw[nodes] - self.out_mw[nodes]).sum())

    def site_mw(self, tree: PowerTree) -> int:
        """What the site takes in."""
        utility = next(i for i, node in enumerate(tree.nodes) if node.kind == "utility")
        return int(self.in_mw[utility]) + self.cooling_mw


def full_draw(built: Built) -> FullDraw:
    """The tree at full draw; the plant's own feed is added above it, without further losses."""
    tree = built.power
    out_mw, in_mw = tree_flow(tree, full_servers_mw(built.site))
    plants = [i for i, node in enumerate(tree.nodes) if node.kind == "cooling"]
    cooling_mw = _cooling_mw(built) if plants else 0
    for plant in plants:
        for node in _above(tree, plant):
            if tree.nodes[node].kind in FEEDERS:
                out_mw[node] += cooling_mw
                in_mw[node] += cooling_mw
    return FullDraw(out_mw, in_mw, cooling_mw)


def _cooling_mw(built: Built) -> int:
    plant, bulbs = built.facility.plant, built.facility.wet_bulb_c
    assert plant is not None
    assert bulbs is not None
    # Of what was given as its design, rounding may be a hair above.
    air_w, liquid_w = full_heat_w(built.site, built.power)
    air_w, liquid_w = min(air_w, plant.air.design_w), min(liquid_w, plant.liquid.design_w)
    return milliwatts(float(cooling(plant, air_w, liquid_w, max(bulbs.values)).total_w))


def _above(tree: PowerTree, node: int) -> set[int]:
    parents = parents_of(tree)
    found, rest = set[int](), list(parents[node])
    while rest:
        one = rest.pop()
        if one not in found:
            found.add(one)
            rest += parents[one]
    return found


def strand_free(cascade: Cascade, built: Built, full: FullDraw, drawn_mw: int) -> None:
    """Take what the site does not draw even at full load, by what binds at each level.

    ``drawn_mw``: what it takes at most; what is above that is free.
    """
    free: float = max(0, cascade.provisioned_mw - drawn_mw)
    for level, name, usable_mw, meaning in _bounds(built, full, drawn_mw):
        bound = max(0.0, free - usable_mw)  # nothing where a level states no limit
        cascade.take(name, STRANDED, level, bound, meaning)
        free -= bound
    cascade.take(
        "no servers installed",
        STRANDED,
        "site",
        free,
        "contracted, and every level below could deliver it, but no server is there to draw it",
    )


def _bounds(built: Built, full: FullDraw, drawn_mw: int) -> Iterator[tuple[str, str, float, str]]:
    """(level, name, how much more could be drawn in mW, meaning) from the top down."""
    tree = built.power
    twice = _two_feeds(tree)
    for kind, word in FEEDERS.items():
        nodes = _feeders(tree, kind)
        if not nodes:
            continue
        limits = np.array([_limit_mw(tree, node) for node in nodes])
        loads = full.out_mw[nodes].astype(np.float64)
        yield (
            kind,
            f"more than the {word} carry",
            float(np.maximum(limits - loads, 0.0).sum()),
            f"free power beyond what the budgets or ratings of the {word} leave over their load at "
            "full draw",
        )
        if twice and len(nodes) > 1:
            yield (
                kind,
                f"reserve of the {word}",
                max(0.0, float((limits / 2.0).sum() - loads.sum())),
                f"free power that the {word} could deliver only from the half of their rating that "
                "2N keeps for the loss of the other feed",
            )
    if built.positions and all(stated is not None for _, stated in built.positions):
        empty = sum((stated or 0) - racks for racks, stated in built.positions)
        each_mw = drawn_mw / len(built.site.rack_types)
        yield (
            "rack",
            "no position for a rack",
            max(0, empty) * each_mw,
            "free power beyond what racks as those installed would draw at full load on the "
            "positions that are left (site.halls[].limits.racks)",
        )


def _two_feeds(tree: PowerTree) -> bool:
    feeds = [0] * len(tree.nodes)
    for child, _, _ in tree.edges:
        feeds[child] += 1
    return all(feeds[i] == 2 for i, node in enumerate(tree.nodes) if node.kind == "rack")


def _feeders(tree: PowerTree, kind: str) -> list[int]:
    """Nodes of a kind that carry load while all is well."""
    busy = {parent for _, parent, _ in tree.edges}
    return [i for i, node in enumerate(tree.nodes) if node.kind == kind and i in busy]


def _limit_mw(tree: PowerTree, node: int) -> float:
    one = tree.nodes[node]
    stated = [w for w in (one.budget_w, one.rating_w) if w is not None]
    return 1e3 * min(stated, default=math.inf)
